# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick Mode (RFC 2409 §5.5): a child SA for one tunnel route, in three messages. Any number may be under way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..crypto.errors import CryptoError, IntegrityError, InvalidKeyExchange
from ..crypto.isakmp_keys import quick_mode_keys
from ..crypto.key_exchange import KeyExchange
from ..ike.account import ChildAccount
from ..ike.children import Child, ChildState, check_path, make_child, rekey_later
from ..ike.context import NONCE_SIZE
from ..ike.refusal import Refusal
from ..negotiation import ikev1_identities
from ..negotiation.answers import (
    chose_another,
    no_mirror,
    no_proposal,
    no_secrecy_group,
    quick_mode_silent,
    refused,
)
from ..negotiation.ikev1_proposals import (
    NO_EXPIRATION,
    ChildChoice,
    child_offers,
    choose_child,
    kept_child,
    offer_child,
    read_lives,
    shorter,
    write_lives,
)
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_proposal
from ..negotiation.reasons import Reason
from ..negotiation.routes_apart import no_route
from ..security_association import DirectionKeys
from ..vpn.model import Expiration, Protocol, Route, Tunnel
from ..vpn.selectors import Address, Selector
from ..wire import payload_rules
from ..wire.errors import MalformedMessage, WireError
from ..wire.payloads import all_of, first, require
from ..wire.v1.attributes import decode_attributes, encode_attributes
from ..wire.v1.constants import ExchangeType, NotifyType
from ..wire.v1.identification import Identification
from ..wire.v1.message import Chain, Payload
from ..wire.v1.nonce import Nonce
from ..wire.v1.notify import Notify
from ..wire.v1.opaque import KeyExchange as KeyExchangePayload
from ..wire.v1.security_association import SecurityAssociation
from .notifications import notify_name
from .payload_rules import QUICK_MODE
from .protection import check
from .retransmission import Repeater

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session


@dataclass(frozen=True, slots=True)
class Wish:
    """A route that wants a child SA; ``rekeyed`` is the one that it is to replace, if any."""

    tunnel: Tunnel
    route: Route
    rekeyed: Child | None = None

    def fell_through(self, session: Ikev1Session, now: float) -> None:
        """What it was to replace serves on, and is rekeyed later; else its route is left without."""
        if self.rekeyed is None:
            session.context.child_lost(session, self.tunnel.name, now)
        elif self.rekeyed.is_live:
            self.rekeyed.state = ChildState.INSTALLED
            rekey_later(session, self.rekeyed, now, refused=True)


class QuickMode(ABC):
    """One exchange at one end. It stays for a while after its end, for the peer that did not get its last message."""

    def __init__(self, session: Ikev1Session, message_id: int, now: float) -> None:
        self.message_id = message_id
        self.started_at = now
        self.ivs = session.protection.exchange(message_id)
        self.nonce_i = b""
        self.nonce_r = b""
        self.repeater: Repeater | None = None
        self.is_over = False
        self.forgotten_at = now + session.context.settings.half_open_timeout
        #: The peer's last message and our answer.
        self._answered = b""
        self._answer = b""

    def next_timer(self) -> float:
        return self.repeater.due if self.repeater is not None else self.forgotten_at

    def handle_timer(self, session: Ikev1Session, now: float) -> None:
        if self.repeater is None:
            if now >= self.forgotten_at:
                session.exchanges.forget(self)
        elif now >= self.repeater.due:
            if self.repeater.again(now):
                session.transmit(self.repeater.data, now)
            else:
                self.fail(session, None, self.silence(session), now)

    def receive(self, session: Ikev1Session, received: Received, now: float) -> None:
        """Raises IntegrityError and WireError, and nothing has changed then."""
        if received.data == self._answered:
            session.transmit(self._answer, now)
            return
        if self.is_over:  # CONNECTED, by which a peer ends what it began with the commit bit (RFC 2408 §3.1)
            return
        chain = session.protection.decrypt(received.header.next_payload, received.data, self.ivs)
        check(chain, self.expected_hash(session, chain))
        session.protection.accept(received.data, self.ivs)
        session.heard(received.datagram, now)
        try:
            self.take(session, chain, received.data, now)
        except Refusal as refusal:
            self.refuse(session, received, refusal.notify, refusal.reason, now)
        except InvalidKeyExchange as error:
            self.refuse(session, received, NotifyType.INVALID_KEY_INFORMATION,
                        f"phase 2: the peer's key exchange value is invalid: {error}", now)
        except (CryptoError, WireError) as error:
            self.refuse(session, received, NotifyType.PAYLOAD_MALFORMED,
                        f"phase 2: the peer's message cannot be used: {error}", now)

    def end(self, session: Ikev1Session, now: float) -> None:
        self.is_over, self.repeater = True, None
        self.forgotten_at = now + session.context.settings.half_open_timeout
        session.exchanges.proceed(now)

    def refuse(self, session: Ikev1Session, received: Received, notify: int, reason: Reason | str, now: float) -> None:
        """Tell the peer, by the SPI that the initiator chose, and again where it repeats the message."""
        known = notify if notify in NotifyType._value2member_map_ else NotifyType.NO_PROPOSAL_CHOSEN
        self._answered = received.data
        self._answer = session.inform([Notify(known, protocol=self.protocol, spi=self.initiators_spi)], now)
        self.fail(session, known, reason, now)

    @abstractmethod
    def silence(self, session: Ikev1Session) -> Reason | str:
        """What the operator hears where no answer comes."""

    @property
    @abstractmethod
    def protocol(self) -> int: ...

    @property
    @abstractmethod
    def initiators_spi(self) -> bytes: ...

    @abstractmethod
    def expected_hash(self, session: Ikev1Session, chain: Chain) -> bytes:
        """Of the message that comes next. Raises MalformedMessage."""

    @abstractmethod
    def take(self, session: Ikev1Session, chain: Chain, data: bytes, now: float) -> None:
        """The next message, which is authentic. Raises Refusal, CryptoError and WireError."""

    @abstractmethod
    def fail(self, session: Ikev1Session, notify: int | None, reason: Reason | str, now: float) -> None:
        """It ends without a child SA. ``notify`` is the wire's word for it, where there was one."""

    @abstractmethod
    def abandon(self, session: Ikev1Session, now: float) -> None:
        """The IKE SA closes."""


class Initiated(QuickMode):
    """Ours: it offers the route and waits for message 2."""

    def __init__(self, session: Ikev1Session, wish: Wish, now: float) -> None:
        """Raises Refusal where the data plane gives no SPI, or a NAT lies between the ends of an AH tunnel."""
        check_path(session, wish.tunnel)
        super().__init__(session, session.message_ids.fresh(), now)
        self.wish = wish
        tunnel = wish.tunnel
        self.spi_in = session.context.allocate_spi(session.local.address, session.remote.address,
                                                   tunnel.proposals[0].protocol, tunnel.name)
        self._account: ChildAccount | None = None
        self.key_exchange = KeyExchange(tunnel.pfs) if tunnel.pfs is not None else None
        self.nonce_i = session.context.random(NONCE_SIZE)

    def silence(self, session: Ikev1Session) -> Reason:
        if session.unsent:
            return session.silence("Quick Mode")
        return quick_mode_silent(self.wish.tunnel, [self.wish.route], session.remote.address)

    @property
    def protocol(self) -> int:
        return self.wish.tunnel.proposals[0].protocol.value

    @property
    def initiators_spi(self) -> bytes:
        return self.spi_in.to_bytes(4, "big")

    def begin(self, session: Ikev1Session, now: float) -> None:
        """Message 1."""
        tunnel, route = self.wish.tunnel, self.wish.route
        session.account.children[tunnel.name] = self._account = ChildAccount(
            tunnel.name, True, now, partial(child_offers, tunnel.proposals, tunnel.pfs, (session.encapsulation_mode,)),
            [route])
        payloads: list[Payload] = [
            offer_child(tunnel.proposals, tunnel.pfs, self.spi_in, session.encapsulation_mode), Nonce(self.nonce_i)]
        if self.key_exchange is not None:
            payloads.append(KeyExchangePayload(self.key_exchange.public))
        payloads += [ikev1_identities.to_wire(route.local), ikev1_identities.to_wire(route.remote)]
        protection = session.protection
        data = session.seal(payloads, lambda octets: protection.hash_1(self.message_id, octets), ExchangeType.QUICK,
                            self.message_id, self.ivs)
        self.repeater = Repeater(session.context, data, now)
        session.transmit(data, now)

    def expected_hash(self, session: Ikev1Session, chain: Chain) -> bytes:
        return session.protection.hash_2(self.message_id, self.nonce_i, chain.after_first)

    def take(self, session: Ikev1Session, chain: Chain, data: bytes, now: float) -> None:
        """Message 2, and message 3 for it. The peer receives on the new SA already."""
        payloads, tunnel, route = chain.payloads, self.wish.tunnel, self.wish.route
        payload_rules.check(QUICK_MODE, payloads)
        answer = require(payloads, SecurityAssociation)
        if self._account is not None:
            self._account.theirs, self._account.selectors = kept_child(answer), partial(str, route)
        choice = choose_child(answer, tunnel.proposals, tunnel.pfs, (session.encapsulation_mode,))
        if (isinstance(choice, NoMatch) or len(answer.proposals) != 1 or len(answer.proposals[0].transforms) != 1):
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 2 proposal", session.remote.address))
        _same_routes(session, route, payloads)
        self.nonce_r = require(payloads, Nonce).data
        shared = _shared_secret(self.key_exchange, payloads) if self.key_exchange is not None else b""
        lives = [read_lives(decode_attributes(row.data)) for row in all_of(payloads, Notify)
                 if row.notify_type == NotifyType.RESPONDER_LIFETIME]
        life = choice.proposal.expiration
        for announced in lives:
            life = shorter(life, announced)
        child = _child(session, self, tunnel, route, choice, life, self.spi_in, shared, created_by_us=True, now=now)
        protection = session.protection
        self._answered = data
        self._answer = session.seal([], lambda _none: protection.hash_3(self.message_id, self.nonce_i, self.nonce_r),
                                    ExchangeType.QUICK, self.message_id, self.ivs)
        session.transmit(self._answer, now)
        session.take_child(child, now)
        self.end(session, now)

    def told(self, session: Ikev1Session, row: Notify, now: float) -> None:
        """The peer sends an error in the place of message 2."""
        self.fail(session, row.notify_type, self._refused(session.remote.address, row.notify_type), now)

    def _refused(self, peer: Address, kind: int) -> Reason:
        tunnel, word = self.wish.tunnel, notify_name(kind)
        if kind == NotifyType.NO_PROPOSAL_CHOSEN:
            return no_proposal(tunnel, peer, word, with_pfs=True)
        if kind == NotifyType.INVALID_ID_INFORMATION:
            return no_mirror(tunnel, [self.wish.route], peer, word)
        if kind == NotifyType.INVALID_KEY_INFORMATION:
            return no_secrecy_group(tunnel, peer, word)
        return refused(peer, word)

    def fail(self, session: Ikev1Session, notify: int | None, reason: Reason | str, now: float) -> None:
        session.fail(reason, notify_name(notify) if notify else None, tunnel=self.wish.tunnel.name)
        self.end(session, now)
        self.wish.fell_through(session, now)

    def abandon(self, session: Ikev1Session, now: float) -> None:
        if self.wish.rekeyed is not None and self.wish.rekeyed.state is ChildState.REKEYING:
            self.wish.rekeyed.state = ChildState.INSTALLED


class Answered(QuickMode):
    """The peer's: it takes message 1, and then waits for message 3."""

    def __init__(self, session: Ikev1Session, message_id: int, now: float) -> None:
        super().__init__(session, message_id, now)
        self._child: Child | None = None
        self._tunnel: str | None = None
        self._spi = bytes(4)
        self._protocol = Protocol.ESP.value

    def silence(self, session: Ikev1Session) -> str:
        return "the peer began a Quick Mode and never confirmed it"

    @property
    def protocol(self) -> int:
        return self._protocol

    @property
    def initiators_spi(self) -> bytes:
        return self._spi

    def expected_hash(self, session: Ikev1Session, chain: Chain) -> bytes:
        if self._child is None:
            return session.protection.hash_1(self.message_id, chain.after_first)
        return session.protection.hash_3(self.message_id, self.nonce_i, self.nonce_r)

    def take(self, session: Ikev1Session, chain: Chain, data: bytes, now: float) -> None:
        if self._child is None:
            self._take_offer(session, chain.payloads, data, now)
        else:
            session.take_child(self._child, now)
            self.end(session, now)

    def _take_offer(self, session: Ikev1Session, payloads: Sequence[Payload], data: bytes, now: float) -> None:
        """Message 1, and message 2 for it. From here on we receive on the new SA, and send on it after message 3."""
        offered = require(payloads, SecurityAssociation)
        if offered.proposals[0].spi:
            self._spi, self._protocol = offered.proposals[0].spi, offered.proposals[0].protocol
        payload_rules.check(QUICK_MODE, payloads)
        self.nonce_i, self.nonce_r = require(payloads, Nonce).data, session.context.random(NONCE_SIZE)
        account = session.account.children[""] = ChildAccount(
            "", False, now, tuple, [route for tunnel in session.tunnels() for route in tunnel.secured],
            kept_child(offered), partial(_proposed, payloads))
        tunnel, route = _meant(session, payloads)
        account.tunnel = self._tunnel = tunnel.name
        account.ours = partial(child_offers, tunnel.proposals, tunnel.pfs, session.encapsulation_modes)
        session.account.children[tunnel.name] = session.account.children.pop("")
        check_path(session, tunnel)
        choice = choose_child(offered, tunnel.proposals, tunnel.pfs, session.encapsulation_modes)
        if isinstance(choice, NoMatch):
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN,
                          no_common_proposal(choice, session.remote.address, tunnel.name))
        session.nat_detected = choice.in_udp
        key_exchange = KeyExchange(tunnel.pfs) if tunnel.pfs is not None else None
        shared = _shared_secret(key_exchange, payloads) if key_exchange is not None else b""
        spi_in = session.context.allocate_spi(session.local.address, session.remote.address, choice.proposal.protocol,
                                              tunnel.name)
        ours = choice.proposal.expiration
        life = shorter(ours, choice.offered)
        answer: list[Payload] = [choice.answer(spi_in), Nonce(self.nonce_r)]
        if key_exchange is not None:
            answer.append(KeyExchangePayload(key_exchange.public))
        answer += all_of(payloads, Identification)
        if life != choice.offered:
            answer.append(Notify(NotifyType.RESPONDER_LIFETIME, encode_attributes(write_lives(life)),
                                 choice.proposal.protocol.value, spi_in.to_bytes(4, "big")))
        self._child = _child(session, self, tunnel, route, choice, life, spi_in, shared, created_by_us=False, now=now)
        protection = session.protection
        self._answered = data
        self._answer = session.seal(answer, lambda octets: protection.hash_2(self.message_id, self.nonce_i, octets),
                                    ExchangeType.QUICK, self.message_id, self.ivs)
        # The peer notices the loss of message 2, but not that of its message 3.
        self.repeater = Repeater(session.context, self._answer, now)
        session.take_answered(self._child)
        session.transmit(self._answer, now)

    def fail(self, session: Ikev1Session, notify: int | None, reason: Reason | str, now: float) -> None:
        self.abandon(session, now)
        session.fail(reason, notify_name(notify) if notify else None, tunnel=self._tunnel)
        self.end(session, now)

    def abandon(self, session: Ikev1Session, now: float) -> None:
        """Its initiator may take the child SA for good."""
        if self._child is not None and not self.is_over:
            session.holder.delete_child(self._child, "its Quick Mode did not end", now)


def receive(session: Ikev1Session, received: Received, now: float) -> None:
    """A message of any Quick Mode. Raises IntegrityError and WireError."""
    received.require_encryption()
    exchange = session.exchanges.find(received.header.message_id)
    if exchange is not None:
        exchange.receive(session, received, now)
        return
    if received.header.message_id in session.message_ids:
        raise IntegrityError("the message identifier was used before")
    if len(session.exchanges.under_way(Answered)) >= session.context.settings.quick_modes_at_once:
        session.context.count("too_many_quick_modes")
        return
    begun = Answered(session, received.header.message_id, now)
    begun.receive(session, received, now)  # raises where it is not authentic, and then nothing is left of it
    session.exchanges.keep(begun)


def _meant(session: Ikev1Session, payloads: Sequence[Payload]) -> tuple[Tunnel, Route]:
    """The route of ours that both identifications name: they cannot be narrowed, so they have to equal it. Without
    them the two gateways' own addresses are meant (RFC 2409 §5.5). Raises Refusal."""
    rows = all_of(payloads, Identification)
    if len(rows) not in (0, 2):
        raise MalformedMessage(f"{len(rows)} ID payloads")
    remote, local = (ikev1_identities.from_wire(row) for row in rows) if rows else (
        Selector.between(session.remote.address, session.remote.address),
        Selector.between(session.local.address, session.local.address))
    declared = [(tunnel, route) for tunnel in session.tunnels() for route in tunnel.secured]
    for tunnel, route in declared:
        if (route.local, route.remote) == (local, remote):
            return tunnel, route
    reason = no_route([ikev1_identities.to_selector(row) for row in rows[1:]],
                      [ikev1_identities.to_selector(row) for row in rows[:1]], declared, session.remote.address)
    raise Refusal(NotifyType.INVALID_ID_INFORMATION, replace(
        reason, rule="a Quick Mode is for one declared route, so the answer is INVALID_ID_INFORMATION"))


def _proposed(payloads: Sequence[Payload]) -> str:
    """The routes that the peer's identifications name, in words, from our side."""
    return " <-> ".join(map(ikev1_identities.text, reversed(all_of(payloads, Identification)[:2])))


def _same_routes(session: Ikev1Session, route: Route, payloads: Sequence[Payload]) -> None:
    """An answer names what we proposed, or nothing. Raises Refusal."""
    rows = all_of(payloads, Identification)
    if rows and [ikev1_identities.from_wire(row) for row in rows] != [route.local, route.remote]:
        raise Refusal(NotifyType.INVALID_ID_INFORMATION, Reason(
            "an answer repeats what was proposed (RFC 2409 §5.5)", "Mend the peer, or its tunnel route", "tunnel route",
            f"the peer {session.remote.address} answered {' <-> '.join(map(ikev1_identities.text, rows[:2]))}",
            f"we proposed {route}"))


def _shared_secret(key_exchange: KeyExchange, payloads: Sequence[Payload]) -> bytes:
    theirs = first(payloads, KeyExchangePayload)
    if theirs is None:
        raise Refusal(NotifyType.INVALID_KEY_INFORMATION, "phase 2: PFS was agreed on, and the peer sends no key "
                      "exchange")
    return key_exchange.shared_secret(theirs.data)


def _child(session: Ikev1Session, exchange: QuickMode, tunnel: Tunnel, route: Route, choice: ChildChoice,
           life: Expiration, spi_in: int, shared_secret: bytes, *, created_by_us: bool, now: float) -> Child:
    """The child SA with its keys: each direction's come from the SPI that its packets bear."""
    proposal, protection = choice.proposal, session.protection
    nonces = exchange.nonce_i, exchange.nonce_r
    ours, theirs = (DirectionKeys(*quick_mode_keys(
        protection.transform.authentication, protection.keys.skeyid_d, proposal.protocol.value, spi.to_bytes(4, "big"),
        *nonces, proposal.encryption, proposal.authentication, shared_secret)) for spi in (spi_in, choice.spi))
    # What the exchange's initiator sends bears the responder's SPI.
    of_initiator, of_responder = (theirs, ours) if created_by_us else (ours, theirs)
    proposal = replace(proposal, expiration=proposal.expiration if life == NO_EXPIRATION else life)
    return make_child(session, tunnel, [(route, route)], proposal, spi_in=spi_in, spi_out=choice.spi,
                      of_initiator=of_initiator, of_responder=of_responder, lowest_nonce=min(nonces),
                      created_by_us=created_by_us, initiated_at=exchange.started_at, now=now)
