# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_SA_INIT (RFC 7296 §1.2, §2.6, §2.7, §2.23): the suite, the key exchange, NAT detection, cookies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..crypto.authentication import IntAuth
from ..crypto.key_derivation import skeyseed
from ..crypto.key_exchange import KeyExchange
from ..ike.context import NONCE_SIZE
from ..ike.refusal import Refusal
from ..ike.state import NO_SPI, State
from ..negotiation.answers import chose_another, no_group, no_transform, no_udp_here, refused, without_its_exchange
from ..negotiation.credentials import no_common_ppk
from ..negotiation.ikev2_proposals import choose_ike, ike_offers, kept, offer_ike
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_transform
from ..security_association import Datagram
from ..vpn import algorithms
from ..vpn.model import CredentialMethod, Transform
from ..wire import key_exchange as wire
from ..wire.constants import ExchangeType, NotifyType
from ..wire.errors import MalformedMessage
from ..wire.message import Message, Payload, notify
from ..wire.nonce import Nonce
from ..wire.notify import Notify
from ..wire.payloads import all_of, require
from ..wire.security_association import SecurityAssociation
from . import authentication, mobike, nat_detection, ppk
from .exchange import Task, error_in, notify_name
from .ike_auth import IkeAuth
from .intermediate import Additional, IkeIntermediate
from .protection import Protection

if TYPE_CHECKING:
    from .session import Ikev2Session

# A peer that is honest asks for one cookie and corrects one group; a few more leave room for a changed secret.
_MOST_REPEATS = 5


class IkeSaInit(Task):
    """The initiator's side. Its answer is not authenticated yet, so it is believed only as far as it must be."""

    exchange = ExchangeType.IKE_SA_INIT

    def __init__(self) -> None:
        self._cookie = b""
        self._repeats = 0
        self._announced: list[Payload] = []

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        gateway = session.gateway
        assert gateway is not None
        if session.key_exchange is None:
            session.key_exchange = KeyExchange(gateway.transforms[0].key_group)
            session.nonce_i = session.context.random(NONCE_SIZE)
            session.account.ours = partial(ike_offers, gateway.transforms)
            pretend = session.context.random if session.context.encapsulate(gateway.name) else None
            self._announced = nat_detection.announce(session.spi_i, session.spi_r, session.local, session.remote,
                                                     pretend)
        payloads: list[Payload] = [Notify(NotifyType.COOKIE, self._cookie)] if self._cookie else []
        payloads += [SecurityAssociation(offer_ike(gateway.transforms)),
                     wire.KeyExchange(session.key_exchange.group.number, session.key_exchange.public),
                     Nonce(session.nonce_i), Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)]
        if gateway.method is CredentialMethod.CERTIFICATE:
            payloads.append(authentication.announce())
        if any(row.additional_key_exchange for row in gateway.transforms):
            payloads.append(Notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED))
        return payloads + ppk.announced([gateway]) + self._announced

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        gateway = session.gateway
        assert gateway is not None
        for row in all_of(payloads, Notify):
            if row.notify_type == NotifyType.COOKIE:
                self._cookie = row.data
                self._repeat(session, now)
                return
            if row.notify_type == NotifyType.INVALID_KE_PAYLOAD:
                self._change_group(session, row.data, now)
                return
        error = error_in(payloads)
        if error is not None:
            peer, word = session.remote.address, notify_name(error)
            raise Refusal(error, no_transform(gateway, peer, word) if error == NotifyType.NO_PROPOSAL_CHOSEN
                          else refused(peer, word))
        answer = require(payloads, SecurityAssociation)
        session.account.theirs = kept(answer.proposals)
        choice = choose_ike(answer.proposals, gateway.transforms)
        if not answer.is_choice or isinstance(choice, NoMatch):
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 1 transform", session.remote.address))
        key_exchange = require(payloads, wire.KeyExchange)
        if (session.key_exchange is None or key_exchange.group != session.key_exchange.group.number
                or choice.transform.key_group.number != key_exchange.group):
            raise Refusal(NotifyType.INVALID_KE_PAYLOAD, "phase 1: the peer's key exchange is of another group")
        if session.answered_spi_r == NO_SPI or session.answered_by is None:
            raise MalformedMessage("the responder's SPI is zero")
        session.spi_r = session.answered_spi_r
        session.nonce_r = require(payloads, Nonce).data
        _choose(session, choice.transform, payloads)
        session.peer_public = key_exchange.data
        session.fragmentation = notify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is not None
        session.signature_hashes = authentication.announced(payloads)
        session.uses_ppk = ppk.is_announced(payloads) and gateway.credential.ppk is not None
        if not session.uses_ppk and gateway.credential.ppk is not None and gateway.credential.ppk.required:
            raise Refusal(NotifyType.AUTHENTICATION_FAILED, no_common_ppk(gateway, session.remote.address, None))
        _take_nat(session, payloads, session.answered_by)
        session.protection = derive(session)
        if session.nat_detected or (session.nat_supported and mobike.is_wanted(session)):
            session.float_to_nat_traversal_port()  # with MOBIKE in any case (RFC 4555 §3.3)
        session.state = State.AUTHENTICATING
        additional = session.additional
        session.requests.add_first(IkeAuth() if additional is None else IkeIntermediate(additional.kem), now)

    def _change_group(self, session: Ikev2Session, data: bytes, now: float) -> None:
        assert session.gateway is not None
        wanted = int.from_bytes(data[:2], "big")
        for transform in session.gateway.transforms:
            if transform.key_group.number == wanted:
                session.key_exchange = KeyExchange(transform.key_group)
                self._repeat(session, now)
                return
        raise Refusal(NotifyType.INVALID_KE_PAYLOAD, no_group(session.gateway, session.remote.address, wanted))

    def _repeat(self, session: Ikev2Session, now: float) -> None:
        self._repeats += 1
        if self._repeats > _MOST_REPEATS:
            raise Refusal(NotifyType.COOKIE, "phase 1: the peer asks for cookies or groups without end")
        session.requests.repeat_init(self, now)


def respond(session: Ikev2Session, message: Message, datagram: Datagram, now: float) -> None:
    """The responder's side, to a request that carries a good cookie or needs none. Raises Refusal or WireError."""
    payloads, context = message.payloads, session.context
    session.spi_i = message.header.spi_i
    account, offered = session.account, require(payloads, SecurityAssociation)
    account.reached, account.theirs = ExchangeType.IKE_SA_INIT.name, kept(offered.proposals)
    session.candidates = tuple(context.candidates(datagram.local.address, datagram.remote.address, session.version))
    if not session.candidates:
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, session.nobody())
    ours: list[Transform] = list(dict.fromkeys(row for gateway in session.candidates for row in gateway.transforms))
    account.ours = partial(ike_offers, ours)
    choice = choose_ike(offered.proposals, ours)
    if isinstance(choice, NoMatch):
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, no_common_transform(choice, datagram.remote.address))
    key_exchange, group = require(payloads, wire.KeyExchange), choice.transform.key_group
    if key_exchange.group != group.number:
        raise Refusal(NotifyType.INVALID_KE_PAYLOAD, "", group.number.to_bytes(2, "big"))
    if len(key_exchange.data) != group.public_size:
        raise MalformedMessage("the key exchange value has the wrong size for its group")
    session.nonce_i, session.nonce_r = require(payloads, Nonce).data, context.random(NONCE_SIZE)
    _choose(session, choice.transform, payloads)
    session.peer_public = key_exchange.data
    session.key_exchange = KeyExchange(algorithms.key_group(group.number))
    _take_nat(session, payloads, datagram)
    pretend = context.random if any(context.encapsulate(row.name) for row in session.candidates) else None
    if pretend and notify(payloads, NotifyType.NAT_DETECTION_SOURCE_IP):
        session.nat_detected = True
    answer: list[Payload] = [SecurityAssociation((choice.answer,)),
                             wire.KeyExchange(group.number, session.key_exchange.public), Nonce(session.nonce_r)]
    session.fragmentation = notify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is not None
    if session.fragmentation:
        answer.append(Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    session.signature_hashes = authentication.announced(payloads)
    certificates = authentication.request(session.candidates)
    if certificates and session.signature_hashes:
        answer.append(authentication.announce())
    if session.additional is not None:
        answer.append(Notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED))
    if ppk.is_announced(payloads):
        answer += ppk.announced(session.candidates)
    answer += nat_detection.announce(session.spi_i, session.spi_r, datagram.local, datagram.remote, pretend)
    answer += certificates
    session.answer_init(answer, datagram, now)


def _choose(session: Ikev2Session, transform: Transform, payloads: Sequence[Payload]) -> None:
    """Take the transform that both have; its additional key exchange needs IKE_INTERMEDIATE (RFC 9370 §2.2.1)."""
    session.chosen, session.additional, kem = transform, None, transform.additional_key_exchange
    if kem is None:
        return
    if notify(payloads, NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, without_its_exchange(kem, session.remote.address))
    session.additional = Additional(kem, IntAuth(transform.authentication))


def _take_nat(session: Ikev2Session, payloads: Sequence[Payload], datagram: Datagram) -> None:
    found = nat_detection.detect(payloads, session.spi_i, session.spi_r if session.initiator else bytes(8),
                                 datagram.local, datagram.remote)
    session.nat_supported = found.supported
    session.behind_nat, session.peer_behind_nat = found.local, found.remote
    session.nat_detected = found.local or found.remote
    if session.gateway is not None and session.context.encapsulate(session.gateway.name):
        if not found.supported:
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, no_udp_here(session.gateway, session.remote.address))
        session.nat_detected = True


def derive(session: Ikev2Session) -> Protection:
    """The keys of a first IKE SA (RFC 7296 §2.14). Raises InvalidKeyExchange where the peer's value is no good."""
    assert session.key_exchange is not None and session.chosen is not None
    shared = session.key_exchange.shared_secret(session.peer_public)
    prf = session.chosen.authentication
    seed = skeyseed(prf, session.nonce_i, session.nonce_r, shared)
    return Protection(session.chosen, seed, session.nonce_i, session.nonce_r, session.spi_i, session.spi_r,
                      initiator=session.initiator)
