# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeying the IKE SA itself (RFC 7296 §1.3.2, §2.8.2, §2.18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..crypto.key_derivation import rekeyed_skeyseed
from ..crypto.key_exchange import KeyExchange
from ..ike.children import ChildState, rekey_later
from ..ike.context import NONCE_SIZE
from ..ike.refusal import Refusal
from ..ike.state import State
from ..negotiation.answers import chose_another, no_transform, refused, unproven
from ..negotiation.ikev2_proposals import choose_ike, offer_ike
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_transform
from ..vpn.algorithms import KeyGroup
from ..vpn.model import Transform
from ..wire import key_exchange as wire
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Payload, notify
from ..wire.nonce import Nonce
from ..wire.payloads import require
from ..wire.security_association import ProposalSubstructure, SecurityAssociation
from . import crash_detection
from .create_child_sa import CreateChild
from .exchange import Task, error_in, notify_name
from .followup_ke import FollowUp, await_it
from .informational import DeleteChild, DeleteIke
from .mobike import CheckRoutability

if TYPE_CHECKING:
    from .session import Ikev2Session


@dataclass(slots=True)
class AgreedIke:
    """An IKE SA that both ends have agreed on, before its keys; ``initiator`` is whether we began this exchange."""

    transform: Transform
    spi_i: bytes
    spi_r: bytes
    nonce_i: bytes
    nonce_r: bytes
    shared_secret: bytes = field(repr=False)
    initiator: bool

    def make(self, session: Ikev2Session, additional: bytes, now: float) -> Ikev2Session:
        """The successor of ``session``; ``additional`` is the secret of IKE_FOLLOWUP_KE, if any."""
        seed = rekeyed_skeyseed(session.protection.prf, session.protection.keys.sk_d, self.shared_secret, self.nonce_i,
                                self.nonce_r, additional)
        return session.make_successor(self.transform, seed, initiator=self.initiator, spi_i=self.spi_i,
                                      spi_r=self.spi_r, nonce_i=self.nonce_i, nonce_r=self.nonce_r, now=now)


class RekeyIke(Task):
    """The side that begins. The new IKE SA's original initiator is whoever began the rekey."""

    exchange = ExchangeType.CREATE_CHILD_SA

    def __init__(self, group: KeyGroup | None = None) -> None:
        """``group`` is the one that the peer asked for; else that of the suite in force is tried."""
        self._group = group
        self._spi = b""
        self._nonce = b""
        self._key_exchange: KeyExchange | None = None
        self._agreed: AgreedIke | None = None
        self._answer: Sequence[Payload] = ()
        self._follow_up: FollowUp | None = None

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if self._follow_up is not None:
            return self._follow_up.request()
        if session.state is not State.ESTABLISHED:
            return None
        self._spi, self._nonce = session.context.random(8), session.context.random(NONCE_SIZE)
        session.context.offer_spi(self._spi, True)
        group = self._group or session.protection.transform.key_group
        self._key_exchange = KeyExchange(group)
        return [SecurityAssociation(offer_ike(_transforms(session), self._spi)), Nonce(self._nonce),
                wire.KeyExchange(group.number, self._key_exchange.public)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        error = error_in(payloads)
        if error is not None:
            session.context.offer_spi(self._spi, False)
            corrected = notify(payloads, NotifyType.INVALID_KE_PAYLOAD)
            if corrected is None or not self._change_group(session, corrected.data, now):
                self._refused(session, error, now)
            return
        if self._follow_up is not None:
            assert self._agreed is not None
            self._made(session, self._agreed.make(session, self._follow_up.secret(payloads), now), now)
            return
        self._answer = payloads
        self._agreed = agreed = self._accept(session, payloads)
        kem = agreed.transform.additional_key_exchange
        if kem is None:
            self._made(session, agreed.make(session, b"", now), now)
        else:
            self._follow_up, self.exchange = FollowUp(kem, payloads), ExchangeType.IKE_FOLLOWUP_KE
            session.requests.add_first(self, now)

    def _accept(self, session: Ikev2Session, payloads: Sequence[Payload]) -> AgreedIke:
        assert self._key_exchange is not None
        answer = require(payloads, SecurityAssociation)
        choice = choose_ike(answer.proposals, _transforms(session))
        theirs = require(payloads, wire.KeyExchange)
        if (isinstance(choice, NoMatch) or not answer.is_choice or len(choice.answer.spi) != 8
                or not theirs.group == self._key_exchange.group.number == choice.transform.key_group.number):
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 1 transform", session.remote.address))
        return AgreedIke(choice.transform, self._spi, choice.answer.spi, self._nonce, require(payloads, Nonce).data,
                         self._key_exchange.shared_secret(theirs.data), initiator=True)

    def _made(self, session: Ikev2Session, new: Ikev2Session, now: float) -> None:
        session.context.offer_spi(self._spi, False)
        crash_detection.keep(new, self._answer)
        rival = session.rival
        if rival is not None and new.lowest_nonce < rival.lowest_nonce:
            # Both ends rekeyed and ours has the lowest nonce: we close ours; the peer closes the old one.
            session.hand_over(rival, now)
            new.requests.add(DeleteIke("the peer's rekey at the same time stays"), now)
            return
        session.hand_over(new, now)
        if session.crash_token:
            new.requests.add(crash_detection.TellToken(), now)
        session.requests.add(DeleteIke("rekeyed"), now)
        if rival is not None:
            rival.await_delete(now)

    def _change_group(self, session: Ikev2Session, data: bytes, now: float) -> bool:
        """Begin again with the group that the peer chose (RFC 7296 §1.3), once; False where that cannot be."""
        wanted = next((row.key_group for row in _transforms(session)
                       if row.key_group.number == int.from_bytes(data[:2], "big")), None)
        if wanted is None or self._group is not None or self._agreed is not None or session.rival is not None:
            return False
        session.requests.add_first(RekeyIke(wanted), now)
        return True

    def _refused(self, session: Ikev2Session, kind: int, now: float) -> None:
        if session.rival is not None:
            session.hand_over(session.rival, now)
            return
        rekey_later(session, session, now, refused=kind != NotifyType.TEMPORARY_FAILURE)
        if kind == NotifyType.NO_ADDITIONAL_SAS and session.expires_at is not None:
            # The peer rekeys none, or not this one: it may take one made anew (RFC 7296 §4). Else it is asked at times.
            session.rekey_at = max(session.rekey_at or now, (now + session.expires_at) / 2)
            session.context.authenticate_anew(session, now)
        if kind != NotifyType.TEMPORARY_FAILURE:
            peer, word = session.remote.address, notify_name(kind)
            reason = (no_transform(session.gateway, peer, word, begins=False)
                      if kind == NotifyType.NO_PROPOSAL_CHOSEN and session.gateway else refused(peer, word))
            session.fail(reason.at(f"rekey of gateway {session.name}"), word)

    def abandoned(self, session: Ikev2Session, reason: str, now: float) -> None:
        session.context.offer_spi(self._spi, False)


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The other side."""
    _check_proofs(session)
    _check_time(session)
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
    agreed = AgreedIke(choice.transform, choice.answer.spi, spi, nonce_i, nonce,
                       key_exchange.shared_secret(theirs.data), initiator=False)
    row, kem = choice.answer, choice.transform.additional_key_exchange
    answer: list[Payload] = [
        SecurityAssociation((ProposalSubstructure(row.number, row.protocol, spi, row.transforms),)), Nonce(nonce),
        wire.KeyExchange(group.number, key_exchange.public),
        *(crash_detection.own(session, (agreed.spi_i, agreed.spi_r)) if session.crash_token else ())]
    if kem is None:
        _install(session, agreed, b"", now)
        return answer
    return [*answer, await_it(session, kem, partial(_install, session, agreed), now)]


def _check_proofs(session: Ikev2Session) -> None:
    """Raises Refusal where a credential that is declared no more would live on in the new IKE SA. The peer is to make
    one anew (RFC 7296 §4)."""
    if not session.is_proven:
        raise Refusal(NotifyType.NO_ADDITIONAL_SAS, unproven(session.remote.address).at(
            f"rekey of gateway {session.name}"))


def _check_time(session: Ikev2Session) -> None:
    """Raises Refusal while one of our own exchanges for a child is under way (RFC 7296 §2.25.2), or the child SAs are
    still with the IKE SA before."""
    is_busy = isinstance(session.requests.current, CreateChild | DeleteChild | DeleteIke | CheckRoutability) or any(
        child.state in (ChildState.REKEYING, ChildState.DELETING) for child in session.children)
    if is_busy or session.predecessor is not None:
        raise Refusal(NotifyType.TEMPORARY_FAILURE, "")


def _install(session: Ikev2Session, agreed: AgreedIke, additional: bytes, now: float) -> None:
    _check_time(session)
    new = agreed.make(session, additional, now)
    if isinstance(session.requests.current, RekeyIke):
        session.rival = new
    else:
        session.hand_over(new, now)


def _transforms(session: Ikev2Session) -> tuple[Transform, ...]:
    """What may be agreed on: the suite in force first, so that its group saves a round trip."""
    assert session.gateway is not None
    current = session.protection.transform
    return (current, *(row for row in session.gateway.transforms if row != current))
