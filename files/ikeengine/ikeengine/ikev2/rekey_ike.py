# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeying the IKE SA itself (RFC 7296 §1.3.2, §2.8.2, §2.18)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..crypto.key_derivation import rekeyed_skeyseed
from ..crypto.key_exchange import KeyExchange
from ..ike.children import ChildState
from ..ike.context import NONCE_SIZE
from ..ike.refusal import Refusal
from ..ike.state import State
from ..negotiation.answers import chose_another, no_transform, refused
from ..negotiation.ikev2_proposals import choose_ike, offer_ike
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_transform
from ..vpn.algorithms import KeyGroup
from ..vpn.model import Transform
from ..wire import key_exchange as wire
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Payload, notify
from ..wire.nonce import Nonce
from ..wire.security_association import ProposalSubstructure, SecurityAssociation
from .create_child_sa import CreateChild
from .exchange import Task, error_in, notify_name, require
from .informational import DeleteChild, DeleteIke

if TYPE_CHECKING:
    from .session import Ikev2Session


class RekeyIke(Task):
    """The side that begins. The new IKE SA's original initiator is whoever began the rekey."""

    exchange = ExchangeType.CREATE_CHILD_SA

    def __init__(self, group: KeyGroup | None = None) -> None:
        """``group`` is the one that the peer asked for; else that of the suite in force is tried."""
        self._group = group
        self._spi = b""
        self._nonce = b""
        self._key_exchange: KeyExchange | None = None

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if session.state is not State.ESTABLISHED:
            return None
        self._spi, self._nonce = session.context.random(8), session.context.random(NONCE_SIZE)
        group = self._group or session.protection.transform.key_group
        self._key_exchange = KeyExchange(group)
        return [SecurityAssociation(offer_ike(_transforms(session), self._spi)), Nonce(self._nonce),
                wire.KeyExchange(group.number, self._key_exchange.public)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        assert self._key_exchange is not None
        error = error_in(payloads)
        if error is not None:
            corrected = notify(payloads, NotifyType.INVALID_KE_PAYLOAD)
            if corrected is None or not self._change_group(session, corrected.data, now):
                self._refused(session, error, now)
            return
        answer = require(payloads, SecurityAssociation)
        choice = choose_ike(answer.proposals, _transforms(session))
        theirs = require(payloads, wire.KeyExchange)
        if (isinstance(choice, NoMatch) or not answer.is_choice or len(choice.answer.spi) != 8
                or not theirs.group == self._key_exchange.group.number == choice.transform.key_group.number):
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 1 transform", session.remote.address))
        nonce_r = require(payloads, Nonce).data
        seed = _skeyseed(session, self._key_exchange.shared_secret(theirs.data), self._nonce, nonce_r)
        new = session.make_successor(choice.transform, seed, initiator=True, spi_i=self._spi, spi_r=choice.answer.spi,
                                     nonce_i=self._nonce, nonce_r=nonce_r, now=now)
        rival = session.rival
        if rival is not None and new.lowest_nonce < rival.lowest_nonce:
            # Both ends rekeyed and ours has the lowest nonce: we close ours; the peer closes the old one.
            session.hand_over(rival, now)
            new.requests.add(DeleteIke("the peer's rekey at the same time stays"), now)
            return
        session.hand_over(new, now)
        session.requests.add(DeleteIke("rekeyed"), now)

    def _change_group(self, session: Ikev2Session, data: bytes, now: float) -> bool:
        """Begin again with the group that the peer chose (RFC 7296 §1.3), once; False where that cannot be."""
        wanted = next((row.key_group for row in _transforms(session)
                       if row.key_group.number == int.from_bytes(data[:2], "big")), None)
        if wanted is None or self._group is not None or session.rival is not None:
            return False
        session.requests.add_first(RekeyIke(wanted), now)
        return True

    def _refused(self, session: Ikev2Session, kind: int, now: float) -> None:
        if session.rival is not None:
            session.hand_over(session.rival, now)
            return
        session.rekey_at = now + session.context.settings.rekey_retry * (0.5 + session.context.fraction())
        if kind != NotifyType.TEMPORARY_FAILURE:
            peer, word = session.remote.address, notify_name(kind)
            reason = (no_transform(session.gateway, peer, word)
                      if kind == NotifyType.NO_PROPOSAL_CHOSEN and session.gateway else refused(peer, word))
            session.fail(reason.at(f"rekey of gateway {session.name}"), word)


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The other side. Refuses while one of our own exchanges for a child is under way (RFC 7296 §2.25.2)."""
    if isinstance(session.requests.current, CreateChild | DeleteChild | DeleteIke) or any(
            child.state in (ChildState.REKEYING, ChildState.DELETING) for child in session.children):
        raise Refusal(NotifyType.TEMPORARY_FAILURE, "")
    offered = require(payloads, SecurityAssociation)
    choice = choose_ike(offered.proposals, _transforms(session))
    if isinstance(choice, NoMatch):
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN,
                      no_common_transform(choice, session.remote.address).at(f"rekey of gateway {session.name}"))
    if len(choice.answer.spi) != 8:
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, "the peer's rekey brings no SPI of 8 octets")
    theirs, group = require(payloads, wire.KeyExchange), choice.transform.key_group
    if theirs.group != group.number:
        raise Refusal(NotifyType.INVALID_KE_PAYLOAD, "", group.number.to_bytes(2, "big"))
    key_exchange = KeyExchange(group)
    nonce, spi = session.context.random(NONCE_SIZE), session.context.random(8)
    nonce_i = require(payloads, Nonce).data
    new = session.make_successor(
        choice.transform, _skeyseed(session, key_exchange.shared_secret(theirs.data), nonce_i, nonce),
        initiator=False, spi_i=choice.answer.spi, spi_r=spi, nonce_i=nonce_i, nonce_r=nonce, now=now)
    if isinstance(session.requests.current, RekeyIke):
        session.rival = new
    else:
        session.hand_over(new, now)
    row = choice.answer
    return [SecurityAssociation((ProposalSubstructure(row.number, row.protocol, spi, row.transforms),)), Nonce(nonce),
            wire.KeyExchange(group.number, key_exchange.public)]


def _transforms(session: Ikev2Session) -> tuple[Transform, ...]:
    """What may be agreed on: the suite in force first, so that its group saves a round trip."""
    assert session.gateway is not None
    current = session.protection.transform
    return (current, *(row for row in session.gateway.transforms if row != current))


def _skeyseed(session: Ikev2Session, shared_secret: bytes, nonce_i: bytes, nonce_r: bytes) -> bytes:
    return rekeyed_skeyseed(session.protection.prf, session.protection.keys.sk_d, shared_secret, nonce_i, nonce_r)
