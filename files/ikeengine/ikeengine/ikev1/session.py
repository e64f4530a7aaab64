# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One IKE SA of IKEv1, which RFC 2408 calls an ISAKMP SA: its messages, their repetition, its states and child SAs.

What each exchange says and means is in a file of its own; this one only carries messages to it. Child SAs belong to the
two peers rather than to an ISAKMP SA: where there are two of these, the one that stays takes them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..crypto.errors import CryptoError, IntegrityError
from ..ike.children import Child, ChildState, rekey_fraction, rekey_later
from ..ike.context import Context
from ..ike.events import IkeEstablished, IkeRekeyed
from ..ike.pace import Pace
from ..ike.refusal import Refusal
from ..ike.session import IkeSession
from ..ike.state import NO_SPI, State
from ..negotiation.answers import not_authentic
from ..negotiation.reasons import Reason
from ..security_association import Datagram, Path, SocketAddress
from ..vpn.model import EndpointPair, Gateway, IkeVersion, Mode, Route, Tunnel
from ..wire import payload_rules
from ..wire.errors import MalformedMessage, WireError
from ..wire.header import HEADER_SIZE, Header
from ..wire.v1.constants import EncapsulationMode, ExchangeType, HeaderFlag, NotifyType, PayloadType, ProtocolId
from ..wire.v1.delete import Delete
from ..wire.v1.fragment import Fragment
from ..wire.v1.message import (
    Chain,
    Payload,
    decode_clear_message,
    encode_behind_hash,
    encode_header,
    encode_message,
    encode_payloads,
)
from ..wire.v1.notify import Notify
from . import aggressive_mode, main_mode, transitions
from .deletion import Deletions
from .exchanges import Exchanges
from .fragments import Reassembly, cut
from .liveness import Liveness
from .message_ids import MessageIds
from .notifications import notify_name
from .payload_rules import PHASE_1
from .phase1 import NotProven, Phase1, modes
from .protection import IvChain, Protection
from .quick_mode import Wish
from .received import Received
from .retransmission import Repeater
from .state import FIRST_ANSWERS, Step
from .vendor_ids import Abilities

_PATIENCE = 1.5
"""How much longer than the end that ought to close an SA the other end waits for it to do so."""


class Ikev1Session(IkeSession):
    """An ISAKMP SA in ``mode``. ``predecessor`` is the one that it is to replace, if any."""

    version = IkeVersion.V1

    def __init__(self, context: Context, *, initiator: bool, gateway: Gateway | None, local: SocketAddress,
                 remote: SocketAddress, now: float, pair: EndpointPair | None = None, mode: Mode | None = None,
                 predecessor: Ikev1Session | None = None) -> None:
        super().__init__(context, initiator=initiator, gateway=gateway, local=local, remote=remote, now=now, pair=pair)
        if mode is None:
            mode = modes(gateway)[0] if gateway is not None else Mode.MAIN
        self.mode = mode
        self.step = Step.NEW
        if predecessor is not None:
            self.originator = predecessor.originator
        self.phase1 = Phase1()
        self.abilities = Abilities()
        self.liveness: Liveness | None = None
        self.deletions = Deletions()
        self.exchanges = Exchanges(self)
        self.message_ids = MessageIds(context.random)
        self._protection: Protection | None = None
        self._repeater: Repeater | None = None
        #: The peer's last message of Phase 1 and what answered it.
        self._answered: tuple[bytes, bytes] = b"", b""
        self._reassembly = Reassembly()
        self._fragments_sent = 0
        self._predecessor = predecessor
        self._successor: Ikev1Session | None = None
        #: The ISAKMP SA that has taken this one's children.
        self._heir: Ikev1Session | None = None

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    def suite(self) -> str:
        return self.protection.suite

    @property
    def has_keys(self) -> bool:
        return self._protection is not None

    @property
    def protection(self) -> Protection:
        """Raises IntegrityError where there are no keys yet that could have made a message."""
        if self._protection is None:
            raise IntegrityError("there are no keys yet")
        return self._protection

    @protection.setter
    def protection(self, protection: Protection) -> None:
        self._protection = protection
        if self.context.settings.export_keys:
            self.context.emit(protection.exported(self.spi_i, self.spi_r))

    @property
    def encapsulation_mode(self) -> EncapsulationMode:
        edition = self.abilities.nat_traversal
        return edition.mode if self.nat_detected and edition is not None else EncapsulationMode.TUNNEL

    @property
    def holder(self) -> Ikev1Session:
        last = self if self._heir is None else self._heir.holder
        return self if last.state is State.CLOSED else last

    @property
    def encapsulation_modes(self) -> tuple[EncapsulationMode, ...]:
        """What the peer may ask for, ours first. Nothing proves the digests by which NATs are detected, so the two ends
        may have found different things; then no NAT lies between, and both ways serve."""
        edition = self.abilities.nat_traversal
        if edition is None:
            return (EncapsulationMode.TUNNEL,)
        either = (edition.mode,) if self.context.encapsulate(self.name) else (EncapsulationMode.TUNNEL, edition.mode)
        return either[::-1] if self.nat_detected else either

    @property
    def idle_at(self) -> float | None:
        """When the peer has been silent for so long that it is to be asked whether it lives."""
        return self._liveness_due()

    # ---------------------------------------------------------------------------------------------- orders

    def begin(self, now: float) -> None:
        try:
            (main_mode if self.mode is Mode.MAIN else aggressive_mode).begin(self, now)
        except (Refusal, CryptoError) as error:
            self.close(str(error), now, failed=True)

    def ask_for(self, wanted: Iterable[tuple[Tunnel, Route]], now: float) -> None:
        asked = self.asked_for()
        self.exchanges.add([Wish(tunnel, route) for tunnel, route in wanted if (tunnel.name, route) not in asked], now)

    def asked_for(self) -> set[tuple[str, Route]]:
        return self.exchanges.asked_for()

    def rekey(self, now: float) -> None:
        """A new ISAKMP SA takes over (RFC 2409 has no other way); this one serves until it is up."""
        if self.state is not State.ESTABLISHED or self._successor is not None or self._gives_way:
            return
        new = Ikev1Session(self.context, initiator=True, gateway=self.gateway, local=self.local, remote=self.remote,
                           now=now, pair=self.pair, mode=self.mode, predecessor=self)
        self._successor = new
        new.begin(now)
        if new.state is not State.CLOSED:
            self.context.succeeded(self, new, now)

    def rekey_child(self, child: Child, now: float) -> None:
        if child.state is ChildState.INSTALLED:
            child.state = ChildState.REKEYING
            self.exchanges.add([Wish(child.tunnel, child.sa.declared[0], child)], now)

    def probe(self, now: float) -> None:
        if self.liveness is not None and self.abilities.dead_peer_detection:
            self.liveness.ask(self, now)

    def delete_child(self, child: Child, reason: str, now: float) -> None:
        """It is gone here at once; the peer may have to be told again."""
        if child.state is ChildState.GONE:
            return
        if self.step is Step.UP and self.state is not State.CLOSED:
            self.holder.deletions.say(self.holder, child.sa, now)
        self.uninstall(child, reason)

    def leave(self, reason: str, now: float) -> None:
        if self.step is Step.UP:
            for child in self.children:
                self.inform([Delete(child.sa.protocol.value, (child.sa.spi_in.to_bytes(4, "big"),))], now)
            self.inform([Delete(ProtocolId.ISAKMP, (self.spi_i + self.spi_r,))], now)
        self.close(reason, now)

    # ---------------------------------------------------------------------------------------------- what leaves

    def ask(self, payloads: Sequence[Payload], exchange: ExchangeType, step: Step, now: float, *,
            encrypted: bool = False) -> None:
        """A message of Phase 1, sent again until ``step`` has what it waits for."""
        data = self._phase1_message(payloads, exchange, encrypted=encrypted)
        self._move_to(step)
        self._repeater = Repeater(self.context, data, now, self._pace())
        self.transmit(data, now)

    def answer(self, received: Received, payloads: Sequence[Payload], step: Step, now: float, *,
               encrypted: bool = False, repeated: bool = False) -> None:
        """As `ask`; sent again when the peer repeats itself, and by itself where ``repeated``."""
        data = self._phase1_message(payloads, ExchangeType(received.header.exchange), encrypted=encrypted)
        self._move_to(step)
        self._answered = received.data, data
        self._repeater = Repeater(self.context, data, now, self._pace()) if repeated else None
        self.transmit(data, now)

    def _pace(self) -> Pace:
        """Where another mode is left to try, a silent peer is not waited for as long."""
        settings = self.context.settings
        falls_back = self.gateway is not None and self.mode is not modes(self.gateway)[-1]
        tries = settings.retransmit_tries if self.tries is None else self.tries
        return Pace.usual(settings, min(tries, settings.fallback_tries)
                          if falls_back and self.step in FIRST_ANSWERS else tries)

    def _move_to(self, step: Step) -> None:
        self.step = step
        if step is not Step.UP:
            self.state = step.state

    def _phase1_message(self, payloads: Sequence[Payload], exchange: ExchangeType, *, encrypted: bool) -> bytes:
        if not encrypted:
            return encode_message(cookie_i=self.spi_i, cookie_r=self.spi_r, exchange=exchange, payloads=payloads)
        return self._encrypted(*encode_payloads(payloads), exchange, 0, self.protection.phase1)

    def seal(self, payloads: Sequence[Payload], proof: Callable[[bytes], bytes], exchange: ExchangeType,
             message_id: int, ivs: IvChain) -> bytes:
        """A message after Phase 1: a HASH payload in front, which ``proof`` makes of those that follow."""
        first_type, octets = encode_payloads(payloads)
        octets = encode_behind_hash(proof(octets), first_type, octets)
        return self._encrypted(PayloadType.HASH, octets, exchange, message_id, ivs)

    def _encrypted(self, first_type: int, octets: bytes, exchange: ExchangeType, message_id: int,
                   ivs: IvChain) -> bytes:
        body = self.protection.encrypt(octets, ivs)
        return encode_header(cookie_i=self.spi_i, cookie_r=self.spi_r, first_payload=first_type, exchange=exchange,
                             flags=HeaderFlag.ENCRYPTION, message_id=message_id, body_size=len(body)) + body

    def inform(self, payloads: Sequence[Payload], now: float) -> bytes:
        """An Informational exchange, which nothing answers. Returns the message."""
        message_id, protection = self.message_ids.fresh(), self.protection
        data = self.seal(payloads, lambda octets: protection.hash_1(message_id, octets), ExchangeType.INFORMATIONAL,
                         message_id, protection.exchange(message_id))
        self.transmit(data, now)
        return data

    def transmit(self, data: bytes, now: float, path: Path | None = None) -> None:
        if len(data) <= HEADER_SIZE or not self.abilities.fragmentation:
            super().transmit(data, now, path)
            return
        self._fragments_sent = self._fragments_sent % 0xFFFF + 1
        for piece in cut(data, self._fragments_sent, self.context.settings.largest_datagram, self.remote.address):
            super().transmit(piece, now, path)

    # ---------------------------------------------------------------------------------------------- what arrives

    def is_meant(self, header: Header) -> bool:
        if header.major != self.version.value or header.spi_i != self.spi_i:
            return False
        return header.spi_r == self.spi_r or (self.initiator and self.step in FIRST_ANSWERS)

    def receive(self, datagram: Datagram, now: float) -> None:
        if self.state is State.CLOSED:
            return
        try:
            header, chain = decode_clear_message(datagram.data)
        except WireError:
            self.context.count("malformed")
            return
        if chain is not None and chain.payloads and isinstance(chain.payloads[0], Fragment):
            self._receive_fragment(chain.payloads[0], datagram, now)
        else:
            self._receive_whole(Received(header, chain, datagram), now)

    def repeat_answer(self, datagram: Datagram, now: float) -> bool:
        """Answer a message of Phase 1 again; False where these are not the same octets."""
        if datagram.data != self._answered[0]:
            return False
        self.transmit(self._answered[1], now)
        return True

    def _receive_fragment(self, piece: Fragment, datagram: Datagram, now: float) -> None:
        whole = self._reassembly.add(piece)
        if whole is None:
            return
        try:
            header, chain = decode_clear_message(whole)
        except WireError:
            self.context.count("malformed")
            return
        if not self.is_meant(header):
            self.context.count("unknown_spi")
            return
        self._receive_whole(Received(header, chain, Datagram(datagram.local, datagram.remote, whole)), now)

    def _receive_whole(self, received: Received, now: float) -> None:
        if self.repeat_answer(received.datagram, now):
            return
        header = received.header
        row = transitions.on_message(self.step, header.exchange)
        is_of_phase_1 = self.step is not Step.UP and header.exchange != ExchangeType.INFORMATIONAL
        if row.take is None or (is_of_phase_1 and header.spi_r == NO_SPI):
            self.context.count("unexpected_exchange" if row.take is not None else row.story)
            return
        if self.step is not Step.UP and received.header.exchange != ExchangeType.INFORMATIONAL:
            self.account.reached = self.step.value
        try:
            if is_of_phase_1:
                self._check_phase1(received)
            row.take(self, received, now)
        except NotProven as refusal:
            self.context.count("not_authentic")
            self._suspect(refusal, now)
        except CryptoError:
            self.context.count("not_authentic")
        except WireError:
            self.context.count("malformed")
        except Refusal as refusal:
            self._refuse(refusal, now)

    def _check_phase1(self, received: Received) -> None:
        """Raises MalformedMessage."""
        if received.header.message_id:
            raise MalformedMessage("a message of Phase 1 has a message identifier (RFC 2408 §3.1)")
        if received.chain is not None:
            payload_rules.check(PHASE_1[self.step], received.chain.payloads)

    def decrypted(self, received: Received, ivs: IvChain) -> Chain:
        """The encrypted message of Phase 1 that is due. Raises NotProven where it makes no sense, IntegrityError where
        it is not encrypted at all, and MalformedMessage where its payloads are not those that are due."""
        received.require_encryption()
        try:
            chain = self.protection.decrypt(received.header.next_payload, received.data, ivs)
        except IntegrityError:
            raise NotProven(NotifyType.PAYLOAD_MALFORMED, self.phase1.proven_by.other_keys()) from None
        payload_rules.check(PHASE_1[self.step], chain.payloads)
        return chain

    def _suspect(self, refusal: NotProven, now: float) -> None:
        """The operator and the peer hear it once: neither knows who made the message, so the next may still be good."""
        if self.phase1.suspicion:
            return
        self.phase1.suspicion = refusal.reason
        self._tell_in_clear(refusal.notify, now)
        self.fail(refusal.reason, notify_name(refusal.notify))

    def _refuse(self, refusal: Refusal, now: float) -> None:
        """Phase 1 ends without an ISAKMP SA; Quick Modes refuse by themselves."""
        if self.step is Step.UP:
            self.context.count("refused")
            return
        self._tell_in_clear(refusal.notify, now)
        self._give_up(refusal.reason, refusal.notify, now)

    def _tell_in_clear(self, notify: int, now: float) -> None:
        self.transmit(encode_message(cookie_i=self.spi_i, cookie_r=self.spi_r, exchange=ExchangeType.INFORMATIONAL,
                                     message_id=self.message_ids.fresh(), payloads=[Notify(notify)]), now)

    def refused_by_peer(self, notify: int, reason: Reason, now: float) -> None:
        self._give_up(self.phase1.suspicion or reason, notify, now)

    def _give_up(self, reason: Reason | str, notify: int | None, now: float) -> None:
        """As initiator try the gateway's other mode, if there is one; then only the last one's failure counts."""
        gateway = self.gateway
        self.key_refused = self.step is Step.MAIN_6
        if not self.initiator or gateway is None or self.mode is modes(gateway)[-1]:
            self.close(reason, now, failed=True, notify=notify_name(notify) if notify else None)
            return
        new = Ikev1Session(self.context, initiator=True, gateway=gateway, local=self.local, remote=self.remote, now=now,
                           pair=self.pair, mode=modes(gateway)[-1], predecessor=self._predecessor)
        new.is_probe, new.tries = self.is_probe, self.tries
        if self._predecessor is not None:
            self._predecessor._successor = new
            self._predecessor = None
        new.exchanges.inherit(self.exchanges)
        self._replaced = True
        self.close(reason, now)
        new.begin(now)
        if new.state is not State.CLOSED:
            self.context.succeeded(self, new, now)

    def _ask_at_once(self, now: float) -> None:
        if self.liveness is not None:
            self.liveness.inquire(self, now)
        elif self._repeater is not None:
            self._repeater.once_more(now)

    def _ask_soon(self, now: float) -> None:
        if self.liveness is not None:
            self.liveness.hurry(self, now)

    def heard(self, datagram: Datagram, now: float) -> None:
        super().heard(datagram, now)
        if self.liveness is not None:
            self.liveness.heard()

    # ---------------------------------------------------------------------------------------------- becoming and ending

    def establish(self, life: int, now: float) -> None:
        """Both ends are authenticated: the ISAKMP SA lives for ``life`` seconds."""
        self.step, self.state = Step.UP, State.ESTABLISHED
        self.established_at, self._predecessor = now, None
        self.confirmed = self.initiator or self.mode is Mode.AGGRESSIVE  # whose last message is the initiator's
        self._half_open_until = None
        self._repeater = None
        self.phase1 = Phase1()
        self.liveness = Liveness(self, now)
        self.begin_lifetime(life, now)
        self.context.emit(IkeEstablished(self.name, self.spi_i, self.spi_r, self.initiator, self.suite))
        self.context.established(self, now)
        self.exchanges.proceed(now)

    def shorten(self, life: int, now: float) -> None:
        """The responder has a shorter life."""
        assert self.established_at is not None
        ends_at = self.established_at + life
        if self.expires_at is not None and ends_at < self.expires_at:
            self.expires_at = ends_at
            self.rekey_at = max(now, self.established_at + life * rekey_fraction(self, self.initiator))

    def hands_children_to(self, winner: IkeSession) -> bool:
        """By another endpoint pair the peer may be another machine, which has none of them."""
        return isinstance(winner, Ikev1Session) and winner.pair == self.pair

    def give_way(self, winner: IkeSession, reason: str, now: float) -> None:
        """``winner`` takes the children. What is under way here may end; the end that made the one to go closes it."""
        if not isinstance(winner, Ikev1Session) or self.state is not State.ESTABLISHED:
            return
        anew = winner.began_after(self)
        # Nothing answers a DELETE, nor the last message of a Quick Mode: until these have come the peer sends on here.
        patience = 1.0 if (winner if anew else self).initiator else _PATIENCE
        leave_at = now + patience * self.context.settings.duplicate_grace
        if not self.hands_children_to(winner):
            self.leave_at(leave_at, reason)
            return
        self.state, self._replaced, self._heir = State.REPLACED, True, winner
        if anew:
            winner.originator = self.originator
        for child in self.children:
            if winner.initiator and child.superseded:
                # It is made anew as well, by one end, and not at once with all that is to be done now.
                child.rekey_at = now + self.context.settings.rekey_retry * self.context.fraction()
            child.superseded = False
        winner.children.extend(self.children)
        winner.deletions.inherit(self.deletions)
        self.children.clear()
        winner.exchanges.inherit(self.exchanges)
        self.context.emit(IkeRekeyed(self.name, self.spi_i, winner.spi_i, winner.spi_r))
        self.leave_at(leave_at, "rekeyed" if anew else reason)
        winner.exchanges.proceed(now)

    def close_for_peer(self, now: float) -> None:
        """Its DELETE came. Another ISAKMP SA with the same peer, on its way out or not, goes on with the children."""
        if self._leave_at is not None:
            self.close(self._leave_at[1], now)
            return
        other = self.context.sibling(self)
        if isinstance(other, Ikev1Session) and self.hands_children_to(other):
            other.stay()
            self.give_way(other, "", now)
        self.close("the peer closed it", now)

    def stay(self) -> None:
        if self.state is State.REPLACED:
            self.state, self._replaced, self._heir = State.ESTABLISHED, False, None
        super().stay()

    def _abandon(self, reason: str, now: float) -> None:
        self.exchanges.abandon(now)
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None:
            predecessor._successor = None
            rekey_later(self, predecessor, now, refused=True)

    # ---------------------------------------------------------------------------------------------- child SAs

    def take_child(self, child: Child, now: float) -> None:
        """A Quick Mode has made it. It replaces what was there for its route when the Quick Mode began; what came up
        since is the other half of both ends beginning at once, which the nonces settle.

        A responder receives on it before we know it: some install it when message 3 comes. So its initiator sends on
        the one before for a moment.
        """
        if child.state is ChildState.GONE:
            return
        if self.holder is not self:
            self.holder.take_child(child, now)
            return
        for old in self.children:
            if old.is_live and old.sa.routes == child.sa.routes and old.installed_at <= child.initiated_at:
                self._retire(old, 1.0 if child.created_by_us else _PATIENCE, now)
                if child.created_by_us:
                    child.replaces = old
                    child.outbound_due = now + self.context.settings.quick_mode_grace
        child.state, child.installed_at = ChildState.INSTALLED, now
        self.add_child(child, now)

    def take_answered(self, child: Child) -> None:
        """Receive on it, until its Quick Mode ends."""
        child.state = ChildState.ANSWERED
        self.holder.children.append(child)
        self.install_inbound(child)

    def _settle(self, one: Child, other: Child, now: float) -> Child:
        """The peer's DELETE may be lost, or never come: what it leaves be we close."""
        loser = super()._settle(one, other, now)
        if loser.is_live:
            self._retire(loser, _PATIENCE, now)
        return loser

    def _retire(self, child: Child, patience: float, now: float) -> None:
        """What is on its way still comes by it. Whoever did not begin waits longer for the DELETE."""
        child.state = ChildState.REPLACED
        child.retires_at = now + self.context.settings.replaced_grace * patience

    def closed_by_peer(self, child: Child, now: float) -> None:
        """Its DELETE came. What the child SA had replaced, if it is still there, goes on: where our ends do not agree
        that two were made at once, the peer closes the one that we took for the later."""
        was_live = child.is_live
        before = [row for row in self.children if row.state is ChildState.REPLACED and row.sa.routes == child.sa.routes]
        if was_live and before:
            before[-1].state, before[-1].retires_at = ChildState.INSTALLED, None
        self.remove_child(child, "rekeyed" if child.state is ChildState.REPLACED else "the peer closed it")
        if was_live:
            self.context.child_lost(self, child.sa.tunnel, now)

    def uninstall(self, child: Child, reason: str) -> None:
        self.holder.remove_child(child, reason)

    def _handle_child_timer(self, child: Child, now: float) -> None:
        if child.retires_at is not None and now >= child.retires_at:
            self.delete_child(child, "rekeyed", now)
        else:
            super()._handle_child_timer(child, now)

    # ---------------------------------------------------------------------------------------------- time

    def next_timer(self) -> float | None:
        if self.state is State.CLOSED:
            return None
        times = [time for time in (
            self._repeater.due if self._repeater is not None else None, self._half_open_until, self.expires_at,
            self.rekey_at if self.state is State.ESTABLISHED else None, self._keep_alive_due(),
            self.liveness.next_timer(self) if self.liveness is not None and self.state is State.ESTABLISHED else None,
            self.deletions.next_timer(), self.exchanges.next_timer(),
            self._leave_at[0] if self._leave_at else None, self.trial.due if self.trial else None) if time is not None]
        times.extend(time for child in self.children if (time := child.next_timer()) is not None)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        if self.state is State.CLOSED:
            return
        if self._half_open_until is not None and now >= self._half_open_until:
            self.close(self.phase1.suspicion or "the peer began and never authenticated itself", now, failed=True)
            return
        if self._repeater is not None and now >= self._repeater.due:
            if self._repeater.again(now):
                self.transmit(self._repeater.data, now)
            else:
                self._give_up(self.phase1.suspicion or self._silence, None, now)
                return
        if self.expires_at is not None and now >= self.expires_at:
            self.leave("the lifetime of the IKE SA is over", now)
            return
        if self.trial is not None:
            self.trial.handle_timer(self, now)
        reason = self._leaves(now)
        if reason is not None:
            self.leave(reason, now)
            return
        if self.state is State.ESTABLISHED:
            if self.rekey_at is not None and now >= self.rekey_at:
                self.rekey_at = None
                self.rekey(now)
            dead = self.liveness.handle_timer(self, now) if self.liveness is not None else None
            if dead is not None:
                self.close(dead, now, failed=True)
                return
            self._keep_alive(now)
        self.deletions.handle_timer(self, now)
        self.exchanges.handle_timer(now)
        for child in list(self.children):
            self._handle_child_timer(child, now)

    @property
    def _silence(self) -> Reason:
        if self.step is Step.MAIN_6 and self.gateway is not None and self.pair is not None and not self.unsent:
            return not_authentic(self.gateway, self.pair, self.remote, "nothing to our identity")
        return self.silence(self.step.sent)
