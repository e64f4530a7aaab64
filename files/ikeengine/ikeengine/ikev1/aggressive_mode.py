# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aggressive Mode (RFC 2409 §5): three messages, identities in clear; the key group cannot be negotiated.

The pre-shared key is chosen by the peer's identifier.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..ike.refusal import Refusal
from ..negotiation.answers import several_groups
from ..negotiation.ikev1_proposals import groups_offered, ike_offers, offer_ike
from ..vpn.model import Mode
from ..wire.payloads import require
from ..wire.v1.constants import ExchangeType, NotifyType
from ..wire.v1.identification import Identification
from ..wire.v1.nonce import Nonce
from ..wire.v1.security_association import SecurityAssociation
from . import phase1, vendor_ids
from .authentication import credentials_of
from .state import Step

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session


def begin(session: Ikev1Session, now: float) -> None:
    """The initiator: message 1, with the transforms that share the first one's group. Raises Refusal where we have no
    credential."""
    gateway = session.gateway
    assert gateway is not None
    session.phase1.credentials = credentials_of(gateway, session.remote.address)
    favourite = gateway.transforms[0]
    transforms = [row for row in gateway.transforms if row.key_group == favourite.key_group]
    method = session.phase1.proven_by.method
    offer = offer_ike(transforms, method)
    session.account.ours = partial(ike_offers, transforms, method)
    session.phase1.sa_body = offer.encode_body()
    session.nonce_i = phase1.fresh_nonce(session)
    session.ask([offer, phase1.own_key_exchange(session, favourite), Nonce(session.nonce_i),
                 phase1.own_identity(session), *session.phase1.proven_by.request(), *vendor_ids.offer(gateway)],
                ExchangeType.AGGRESSIVE, Step.AGGRESSIVE_2, now)


def respond(session: Ikev1Session, received: Received, now: float) -> None:
    """The responder: message 1, and message 2 for it. Raises Refusal, WireError or InvalidKeyExchange."""
    payloads = received.in_clear
    session.spi_i = received.header.spi_i
    theirs, offered = require(payloads, Identification), require(payloads, SecurityAssociation)
    phase1.note_offer(session, offered, "message 1 of Aggressive Mode")
    session.account.presented = theirs.id_type, theirs.data
    candidates = phase1.find_candidates(session, Mode.AGGRESSIVE)
    session.candidates = tuple(row for row in candidates if phase1.pair_meant(session, row, theirs))
    if not session.candidates:
        session.candidates = candidates
        raise Refusal(*phase1.wrong_identity(session, candidates, theirs))
    groups = groups_offered(offered)
    if len(groups) > 1:
        raise Refusal(NotifyType.BAD_PROPOSAL_SYNTAX,
                      several_groups(session.candidates[0], session.remote.address, sorted(groups)))
    choice = phase1.choose_gateway(session, offered, session.candidates)
    assert session.gateway is not None
    phase1.take_meant(session, session.gateway, theirs)
    phase1.take_choice(session, choice)
    session.phase1.sa_body = offered.encode_body()
    phase1.take_public_value(session, payloads, choice.transform)
    session.nonce_i, session.nonce_r = require(payloads, Nonce).data, phase1.fresh_nonce(session)
    session.abilities = vendor_ids.read(payloads, nat_traversal=session.gateway.nat_traversal)
    key_exchange = phase1.own_key_exchange(session, choice.transform)
    phase1.derive(session)
    identity = phase1.own_identity(session)
    session.phase1.peer_id = theirs
    # Its loss the peer notices, that of message 3 only we: so both ends repeat theirs.
    session.answer(received, [choice.answer, key_exchange, Nonce(session.nonce_r), identity,
                              *session.phase1.proven_by.request(), *phase1.prove(session, identity),
                              *vendor_ids.answer(session.gateway, session.abilities), *phase1.announce_path(session)],
                   Step.AGGRESSIVE_3, now, repeated=True)


def take_answer(session: Ikev1Session, received: Received, now: float) -> None:
    """The initiator: message 2, and message 3 for it."""
    payloads, gateway = received.in_clear, session.gateway
    assert gateway is not None
    session.spi_r = received.header.spi_r
    phase1.take_answered_suite(session, require(payloads, SecurityAssociation))
    assert session.phase1.transform is not None
    phase1.take_public_value(session, payloads, session.phase1.transform)
    session.nonce_r = require(payloads, Nonce).data
    session.abilities = vendor_ids.read(payloads, nat_traversal=gateway.nat_traversal)
    theirs = require(payloads, Identification)
    phase1.derive(session)
    # The responder had to choose a key before it knew which one we have.
    phase1.by_each_key(session, lambda: phase1.check_peer(session, [gateway], payloads, theirs, now))
    phase1.take_path(session, payloads, received.datagram)
    session.heard(received.datagram, now)
    if session.nat_detected:
        session.float_to_nat_traversal_port()
    assert session.phase1.own_id is not None
    session.answer(received, [*phase1.prove(session, session.phase1.own_id), *phase1.announce_path(session),
                              *phase1.first_contact(session)], Step.UP, now, encrypted=True)
    session.establish(phase1.agreed_life(session), now)


def take_proof(session: Ikev1Session, received: Received, now: float) -> None:
    """The responder: message 3, which may come in clear (RFC 2409 §5.4)."""
    assert session.phase1.peer_id is not None
    protection = session.protection
    chain = received.chain or session.decrypted(received, protection.phase1)
    assert session.gateway is not None
    phase1.check_peer(session, [session.gateway], chain.payloads, session.phase1.peer_id, now)
    if received.chain is None:
        protection.accept(received.data, protection.phase1)
    phase1.take_path(session, chain.payloads, received.datagram)
    session.heard(received.datagram, now)
    told = phase1.shorter_life(session)
    phase1.take_first_contact(session, chain.payloads, now)
    session.establish(phase1.agreed_life(session), now)
    if told:
        session.inform(told, now)
