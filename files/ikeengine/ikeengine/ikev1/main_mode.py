# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Main Mode (RFC 2409 §5): six messages, of which the last two are encrypted, so that identities stay hidden.

With pre-shared keys the keys that hide the identity come from the very key, so it is chosen by the peer's address.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..ike.refusal import Refusal
from ..negotiation.answers import main_mode_without_address
from ..negotiation.ikev1_proposals import ike_offers, offer_ike
from ..vpn.model import CredentialMethod, Gateway, Mode, Transform
from ..wire.errors import MalformedMessage
from ..wire.payloads import require
from ..wire.v1.constants import ExchangeType, NotifyType
from ..wire.v1.identification import Identification
from ..wire.v1.message import Payload
from ..wire.v1.nonce import Nonce
from ..wire.v1.security_association import SecurityAssociation
from . import phase1, vendor_ids
from .authentication import credentials_of
from .state import Step

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session


def begin(session: Ikev1Session, now: float) -> None:
    """The initiator: message 1. Raises Refusal where we have no credential."""
    assert session.gateway is not None
    session.phase1.credentials = credentials_of(session.gateway, session.remote.address)
    method = session.phase1.proven_by.method
    offer = offer_ike(session.gateway.transforms, method)
    session.account.ours = partial(ike_offers, session.gateway.transforms, method)
    session.phase1.sa_body = offer.encode_body()
    session.ask([offer, *vendor_ids.offer(session.gateway)], ExchangeType.MAIN, Step.MAIN_2, now)


def respond(session: Ikev1Session, received: Received, now: float) -> None:
    """The responder: message 1, and message 2 for it. It costs no exponentiation. Raises Refusal or WireError."""
    payloads = received.in_clear
    session.spi_i = received.header.spi_i
    offered = require(payloads, SecurityAssociation)
    phase1.note_offer(session, offered, "message 1 of Main Mode")
    session.candidates = _may_be_known_by_address(session, phase1.find_candidates(session, Mode.MAIN))
    choice = phase1.choose_gateway(session, offered, session.candidates)
    phase1.take_choice(session, choice)
    session.phase1.sa_body = offered.encode_body()
    assert session.gateway is not None
    session.abilities = vendor_ids.read(payloads, nat_traversal=session.gateway.nat_traversal)
    session.answer(received, [choice.answer, *vendor_ids.answer(session.gateway, session.abilities)], Step.MAIN_3, now)


def _may_be_known_by_address(session: Ikev1Session, candidates: tuple[Gateway, ...]) -> tuple[Gateway, ...]:
    """Raises Refusal where all are pre-shared keys of peers whose address is not declared (RFC 2409 §5.4)."""
    known = tuple(row for row in candidates if row.method is CredentialMethod.CERTIFICATE
                  or any(pair.remote.address is not None for pair in session.pairs_of(row)))
    if not known:
        raise Refusal(NotifyType.UNSUPPORTED_EXCHANGE_TYPE,
                      main_mode_without_address(candidates[0], session.remote.address))
    return known


def take_suite(session: Ikev1Session, received: Received, now: float) -> None:
    """The initiator: message 2, and message 3 for it."""
    payloads = received.in_clear
    assert session.gateway is not None
    session.spi_r = received.header.spi_r
    phase1.take_answered_suite(session, require(payloads, SecurityAssociation))
    session.abilities = vendor_ids.read(payloads, nat_traversal=session.gateway.nat_traversal)
    transform = _transform(session)
    session.nonce_i = phase1.fresh_nonce(session)
    session.ask([phase1.own_key_exchange(session, transform), Nonce(session.nonce_i),
                 *session.phase1.proven_by.request(), *phase1.announce_path(session)],
                ExchangeType.MAIN, Step.MAIN_4, now)


def take_key_exchange(session: Ikev1Session, received: Received, now: float) -> None:
    """The responder: message 3, and message 4 for it."""
    payloads, transform = received.in_clear, _transform(session)
    phase1.take_public_value(session, payloads, transform)
    session.nonce_i, session.nonce_r = require(payloads, Nonce).data, phase1.fresh_nonce(session)
    phase1.take_path(session, payloads, received.datagram)
    session.answer(received, [phase1.own_key_exchange(session, transform), Nonce(session.nonce_r),
                              *session.phase1.proven_by.request(), *phase1.announce_path(session)], Step.MAIN_5, now)


def take_answered_key_exchange(session: Ikev1Session, received: Received, now: float) -> None:
    """The initiator: message 4, and message 5 for it."""
    payloads, transform = received.in_clear, _transform(session)
    phase1.take_public_value(session, payloads, transform)
    session.nonce_r = require(payloads, Nonce).data
    phase1.take_path(session, payloads, received.datagram)
    phase1.derive(session)
    if session.nat_detected:
        session.float_to_nat_traversal_port()
    identity = phase1.own_identity(session)
    session.ask([identity, *phase1.prove(session, identity), *phase1.first_contact(session)],
                ExchangeType.MAIN, Step.MAIN_6, now, encrypted=True)


def take_identity(session: Ikev1Session, received: Received, now: float) -> None:
    """The responder: message 5, and message 6 for it. Only here it does the exponentiation that the keys take."""
    phase1.derive(session)
    payloads: list[Payload] = []

    def take() -> None:
        chain = session.decrypted(received, session.protection.phase1)
        phase1.check_peer(session, _alike(session), chain.payloads, require(chain.payloads, Identification), now)
        payloads.extend(chain.payloads)

    phase1.by_each_key(session, take)
    session.protection.accept(received.data, session.protection.phase1)
    session.heard(received.datagram, now)
    identity = phase1.own_identity(session)
    session.answer(received, [identity, *phase1.prove(session, identity), *phase1.shorter_life(session)], Step.UP, now,
                   encrypted=True)
    phase1.take_first_contact(session, payloads, now)
    session.establish(phase1.agreed_life(session), now)


def _alike(session: Ikev1Session) -> list[Gateway]:
    """The gateways at that address with that suite and kind of credential, which with pre-shared keys is the one key
    that decrypted the message; the one by which the suite was chosen first."""
    method, transform, chosen = session.phase1.proven_by.method, _transform(session), session.gateway
    assert chosen is not None
    return [chosen, *(row for row in session.candidates if row is not chosen and (
        row.credential == chosen.credential or row.method is chosen.method is CredentialMethod.CERTIFICATE)
        and phase1.same_suite(row, transform) is not None
        and credentials_of(row, session.remote.address).method == method)]


def take_answered_identity(session: Ikev1Session, received: Received, now: float) -> None:
    """The initiator: message 6."""
    assert session.gateway is not None
    protection = session.protection
    chain = session.decrypted(received, protection.phase1)
    theirs = require(chain.payloads, Identification)
    phase1.check_peer(session, [session.gateway], chain.payloads, theirs, now)
    protection.accept(received.data, protection.phase1)
    session.heard(received.datagram, now)
    session.establish(phase1.agreed_life(session, chain.payloads), now)


def _transform(session: Ikev1Session) -> Transform:
    if session.phase1.transform is None:
        raise MalformedMessage("no suite was chosen yet")
    return session.phase1.transform
