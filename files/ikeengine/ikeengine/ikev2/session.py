# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One IKE SA (RFC 7296): message identifiers, retransmission, states, and its child SAs. Sans-I/O.

Octets and time go in by `receive` and `handle_timer`; datagrams and events go out through the context. What each
exchange says and means is in a file of its own; this one only carries messages to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..crypto.errors import CryptoError, InvalidKeyExchange
from ..security_association import Datagram, SocketAddress
from ..vpn.model import Gateway, Route, Transform, Tunnel
from ..wire.constants import ExchangeType, HeaderFlag, NotifyType, ProtocolId
from ..wire.delete import Delete
from ..wire.errors import MalformedMessage, UnsupportedCriticalPayload, WireError
from ..wire.message import Message, Payload, encode_message
from ..wire.notify import Notify
from .children import Child, ChildState, rekey_fraction
from .context import IKE_PORT, NAT_TRAVERSAL_PORT, Context
from .create_child_sa import CreateChild
from .events import ChildInbound, ChildMoved, ChildOutbound, ChildRemoved, Failed, IkeClosed, IkeEstablished, IkeRekeyed
from .exchange import Refusal, notify_name
from .ike_sa_init import derive
from .informational import DeleteChild, DeleteIke, Liveness
from .protection import Protection
from .rekey_ike import RekeyIke
from .requests import Requests
from .responders import RESPONDERS
from .state import NO_SPI, State

if TYPE_CHECKING:
    from ..crypto.key_exchange import KeyExchange


class IkeSession:
    """One IKE SA at one end. ``gateway`` is None at a responder until IKE_AUTH says who the peer is."""

    def __init__(self, context: Context, *, initiator: bool, gateway: Gateway | None, local: SocketAddress,
                 remote: SocketAddress, now: float) -> None:
        self.context = context
        self.initiator = initiator
        self.gateway = gateway
        self.candidates: tuple[Gateway, ...] = (gateway,) if gateway else ()
        self.local = local
        self.remote = remote
        self.state = State.INITIATING if initiator else State.RESPONDING
        self.spi_i = context.random(8) if initiator else NO_SPI
        self.spi_r = NO_SPI if initiator else context.random(8)
        self.created_at = now
        self.established_at: float | None = None

        # What IKE_SA_INIT leaves for IKE_AUTH (RFC 7296 §2.15).
        self.init_request = b""
        self.init_response = b""
        self.nonce_i = b""
        self.nonce_r = b""
        self.answered_by: Datagram | None = None
        self.answered_spi_r = NO_SPI
        self.chosen: Transform | None = None
        self.key_exchange: KeyExchange | None = None
        self.peer_public = b""
        self.nat_detected = False
        self.behind_nat = False
        self.peer_behind_nat = False
        self._protection: Protection | None = None

        self.remote_identity = ""
        self.children: list[Child] = []
        #: SPIs that the peer deleted before its answer, which would have told us of them, arrived.
        self.deleted_ahead: set[int] = set()
        #: The successor that the peer made by rekeying this IKE SA, while our own rekey is under way.
        self.rival: IkeSession | None = None
        #: This IKE SA was made by a rekey that is not settled yet: the children are still with the one before.
        self.awaits_children = False
        self.rekey_at: float | None = None
        self.expires_at: float | None = None
        self._half_open_until: float | None = None if initiator else now + context.settings.half_open_timeout

        self.requests = Requests(self)
        self._expected_request = 0
        self._last_request = b""
        self._last_response = b""
        self._heard_at = now
        self._sent_at = now
        self._closes_after_answer = ""
        self._replaced = False
        self._leave_at: tuple[float, str] | None = None
        self._gives_way = False
        self._heir: IkeSession | None = None

        # The manager's notes.
        self.half_open_key: tuple[SocketAddress, bytes] | None = None
        self.noted_timer: float | None = None

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    def own_spi(self) -> bytes:
        return self.spi_i if self.initiator else self.spi_r

    @property
    def protection(self) -> Protection:
        """The keys; a responder derives them only when IKE_AUTH comes, so that a flood costs it no exponentiation."""
        if self._protection is None:
            self._protection = derive(self)
        return self._protection

    @protection.setter
    def protection(self, protection: Protection) -> None:
        self._protection = protection

    @property
    def udp_encapsulated(self) -> bool:
        return self.nat_detected

    @property
    def lowest_nonce(self) -> bytes:
        """Settles which of two IKE SAs stays (RFC 7296 §2.8.1, §2.8.2)."""
        return min(self.nonce_i, self.nonce_r)

    @property
    def is_replaced(self) -> bool:
        return self._replaced

    @property
    def name(self) -> str:
        return self.gateway.name if self.gateway else ""

    def child_by_spi_out(self, spi: int) -> Child | None:
        return next((child for child in self.children if child.sa.spi_out == spi), None)

    def is_covered(self, tunnel: str, route: Route) -> bool:
        return any(child.is_live and child.sa.tunnel == tunnel and child.sa.declared == route
                   for child in self.children)

    # ---------------------------------------------------------------------------------------------- what leaves

    def _proceed(self, now: float) -> None:
        """Go on with what waits, here and at the successor, now that the answer is on its way before it."""
        self.requests.proceed(now)
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.requests.proceed(now)

    def say_once(self, payloads: Sequence[Payload], now: float) -> None:
        """An INFORMATIONAL request that is not waited for: the last words of an IKE SA that closes."""
        self.transmit(self.encode(payloads, ExchangeType.INFORMATIONAL, self.requests.next_id, response=False), now)

    def encode(self, payloads: Sequence[Payload], exchange: int, message_id: int, *, response: bool) -> bytes:
        flags = (HeaderFlag.INITIATOR if self.initiator else 0) | (HeaderFlag.RESPONSE if response else 0)
        if exchange == ExchangeType.IKE_SA_INIT:
            return encode_message(spi_i=self.spi_i, spi_r=self.spi_r, exchange=exchange, flags=flags,
                                  message_id=message_id, payloads=payloads)
        return self.protection.seal(payloads, spi_i=self.spi_i, spi_r=self.spi_r, exchange=exchange, flags=flags,
                                    message_id=message_id)

    def transmit(self, data: bytes, now: float) -> None:
        self._sent_at = now
        self.context.send(Datagram(self.local, self.remote, data))

    # ---------------------------------------------------------------------------------------------- what arrives

    def receive(self, message: Message, datagram: Datagram, now: float) -> None:
        """Take a message whose SPIs are ours. Whatever its octets, it raises nothing."""
        header = message.header
        if self.state is State.CLOSED or header.is_initiator == self.initiator:
            self.context.count("wrong_direction")
        elif header.is_response:
            self._receive_response(message, datagram, now)
        else:
            self._receive_request(message, datagram, now)

    def _receive_response(self, message: Message, datagram: Datagram, now: float) -> None:
        header = message.header
        outstanding = self.requests.answered_by(header)
        if outstanding is None:
            self.context.count("unexpected_response")
            return
        try:
            if header.exchange == ExchangeType.IKE_SA_INIT:
                payloads = self._init_payloads(message, datagram)
            else:
                payloads = self._authenticated(message, datagram)
        except CryptoError:
            self.context.count("not_authentic")
            return
        except WireError:
            self.context.count("malformed")
            if header.exchange != ExchangeType.IKE_SA_INIT:
                self.close("the peer's answer is authentic but malformed", now, failed=True)
            return
        self.requests.done(outstanding)
        if header.exchange != ExchangeType.IKE_SA_INIT:
            self._heard(datagram, now)
        try:
            outstanding.task.response(self, payloads, now)
        except Refusal as refusal:
            outstanding.task.abandoned(self, refusal.reason, now)
            self.close(refusal.reason, now, failed=True, notify=refusal.notify)
        except (CryptoError, WireError) as error:
            outstanding.task.abandoned(self, str(error), now)
            self.close(f"the peer's answer cannot be used: {error}", now, failed=True)
        self._proceed(now)

    def _init_payloads(self, message: Message, datagram: Datagram) -> tuple[Payload, ...]:
        if message.encrypted is not None:
            raise MalformedMessage("IKE_SA_INIT is encrypted")
        self.init_response = datagram.data
        self.answered_by = datagram
        self.answered_spi_r = message.header.spi_r
        return message.payloads

    def _authenticated(self, message: Message, datagram: Datagram) -> tuple[Payload, ...]:
        plaintext = self.protection.open(message, datagram.data)
        return self.protection.payloads(message, plaintext)

    def _receive_request(self, message: Message, datagram: Datagram, now: float) -> None:
        header = message.header
        if self.state is State.INITIATING:  # there are no keys that could have made it
            self.context.count("not_authentic")
            return
        if header.message_id == self._expected_request - 1 and self._last_response:
            if datagram.data == self._last_request:
                self.context.send(Datagram(datagram.local, datagram.remote, self._last_response))
            else:
                self.context.count("unexpected_request")
            return
        if header.message_id != self._expected_request:
            self.context.count("unexpected_request")
            return
        fatal: Refusal | None = None
        try:
            plaintext = self.protection.open(message, datagram.data)
        except InvalidKeyExchange as error:
            self.close(f"the peer's key exchange value is invalid: {error}", now, failed=True)
            return
        except CryptoError:
            self.context.count("not_authentic")
            return
        self._heard(datagram, now)
        try:
            answer = self._respond(header.exchange, self.protection.payloads(message, plaintext), now)
        except UnsupportedCriticalPayload as error:
            self.context.count("unsupported_critical_payload")
            answer = [Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([error.payload_type]))]
        except WireError as error:
            self.context.count("malformed")
            fatal = Refusal(NotifyType.INVALID_SYNTAX, f"the peer's request is authentic but malformed: {error}")
            answer = [fatal.answer]
        except Refusal as refusal:
            answer = [refusal.answer]
            if refusal.fatal:
                fatal = refusal
            elif refusal.reason:
                self.context.emit(Failed(self.name, None, notify_name(refusal.notify), refusal.reason))
        if answer is not None:
            self._expected_request += 1
            self._last_request = datagram.data
            self._last_response = self.encode(answer, header.exchange, header.message_id, response=True)
            self._sent_at = now
            self.context.send(Datagram(datagram.local, datagram.remote, self._last_response))
        if fatal is not None:
            self.close(fatal.reason, now, failed=True, notify=fatal.notify)
        elif self._closes_after_answer:
            self.close(self._closes_after_answer, now)
        self._proceed(now)

    @property
    def last_exchange(self) -> tuple[bytes, bytes] | None:
        """The peer's last protected request and our answer, for its retransmission to one that has closed since."""
        if not self._last_response or self._last_response is self.init_response:
            return None
        return self._last_request, self._last_response

    def close_after_answer(self, reason: str) -> None:
        """For a responder: close once the answer to this request is on its way."""
        self._closes_after_answer = reason

    def _respond(self, exchange: int, payloads: Sequence[Payload], now: float) -> list[Payload] | None:
        if self.state is State.AUTHENTICATING:
            self.context.count("early_request")  # the peer is ahead of a lost answer, and will ask again
            return None
        responder = RESPONDERS.get((self.state, exchange))
        if responder is None:
            self.context.count("unexpected_exchange")
            raise Refusal(NotifyType.INVALID_SYNTAX, f"exchange {exchange} while {self.state.value}",
                          fatal=self.state is State.RESPONDING)
        return responder(self, payloads, now)

    def answer_init(self, payloads: Sequence[Payload], datagram: Datagram, now: float) -> None:
        """A responder's first message, kept for the peer's retransmission and for AUTH."""
        self.init_request = self._last_request = datagram.data
        self.init_response = self._last_response = self.encode(payloads, ExchangeType.IKE_SA_INIT, 0, response=True)
        self._expected_request = 1
        self.transmit(self._last_response, now)

    def repeat_init_answer(self, datagram: Datagram) -> bool:
        """Answer a retransmitted IKE_SA_INIT request again; False where these are not the same octets."""
        if datagram.data != self.init_request:
            return False
        self.context.send(Datagram(datagram.local, datagram.remote, self.init_response))
        return True

    def _heard(self, datagram: Datagram, now: float) -> None:
        """Something authentic came: the peer lives; one behind a NAT may have a new mapping (RFC 7296 §2.23)."""
        self._heard_at = now
        moved = (datagram.local, datagram.remote) != (self.local, self.remote)
        if moved and (self.peer_behind_nat or self.state is State.RESPONDING):
            self.local, self.remote = datagram.local, datagram.remote
            for child in self.children:
                self.context.emit(ChildMoved(child.sa, self.local, self.remote))

    # ---------------------------------------------------------------------------------------------- becoming and ending

    def float_to_nat_traversal_port(self) -> None:
        """An initiator goes on at port 4500 once a NAT was seen (RFC 7296 §2.23)."""
        if self.local.port == IKE_PORT:
            self.local = SocketAddress(self.local.address, NAT_TRAVERSAL_PORT)
        if self.remote.port == IKE_PORT:
            self.remote = SocketAddress(self.remote.address, NAT_TRAVERSAL_PORT)

    def establish(self, now: float) -> None:
        """Both ends are authenticated: lifetimes begin."""
        self.state = State.ESTABLISHED
        self.established_at = now
        self._half_open_until = None
        self.init_request = self.init_response = b""
        self.key_exchange = None
        self.begin_lifetime(now)
        self.context.emit(IkeEstablished(self.name, self.spi_i, self.spi_r, self.initiator, self.protection.suite))
        self.context.established(self, now)

    def make_successor(self, transform: Transform, skeyseed: bytes, *, initiator: bool, spi_i: bytes, spi_r: bytes,
                       nonce_i: bytes, nonce_r: bytes, now: float) -> IkeSession:
        """The IKE SA that rekeys this one: up from the start, known to the context, without children until
        ``hand_over``."""
        new = IkeSession(self.context, initiator=initiator, gateway=self.gateway, local=self.local, remote=self.remote,
                         now=now)
        new.spi_i, new.spi_r, new.nonce_i, new.nonce_r = spi_i, spi_r, nonce_i, nonce_r
        new.protection = Protection(transform, skeyseed, nonce_i, nonce_r, spi_i, spi_r, initiator=initiator)
        new.nat_detected, new.behind_nat, new.peer_behind_nat = self.nat_detected, self.behind_nat, self.peer_behind_nat
        new.candidates, new.remote_identity = self.candidates, self.remote_identity
        new.state, new.established_at, new.awaits_children = State.ESTABLISHED, now, True
        new._half_open_until = None
        new.begin_lifetime(now)
        self.context.succeeded(self, new, now)
        return new

    def hand_over(self, new: IkeSession, now: float) -> None:
        """The surviving IKE SA inherits all child SAs (RFC 7296 §2.8), what was still to be done, and whether it is to
        give way to another; this one only waits for its DELETE."""
        new.awaits_children = False
        new.children.extend(self.children)
        self.children.clear()
        new.requests.inherit(self.requests)
        new._leave_at, new._gives_way = self._leave_at, self._gives_way
        self._leave_at = None
        self.state, self.rival, self._replaced = State.REPLACED, None, True
        self.expires_at = now + self.context.settings.half_open_timeout
        self.context.emit(IkeRekeyed(self.name, self.spi_i, new.spi_i, new.spi_r))
        self._heir = new

    def leave(self, reason: str, now: float) -> None:
        """Close it with a DELETE."""
        self._gives_way = True
        if not self.requests.has(DeleteIke):
            self.requests.take_waiting()
            self.requests.add(DeleteIke(reason), now)

    def leave_at(self, time: float, reason: str) -> None:
        """Close it with a DELETE at that time, if the peer has not; until then it sends nothing more."""
        self._leave_at, self._gives_way = (time, reason), True

    def stay(self) -> None:
        """Whatever it was to give way to is gone: it serves again."""
        if self._gives_way:
            self._leave_at, self._gives_way = None, False
            for child in self.children:
                if child.is_live and child.replaces is None:
                    self.activate_outbound(child)

    def begin_lifetime(self, now: float) -> None:
        life = self.protection.transform.sa_life
        self.rekey_at = now + life * rekey_fraction(self, self.initiator)
        self.expires_at = now + life

    def close(self, reason: str, now: float, *, failed: bool = False, notify: int | None = None) -> None:
        """Forget everything; nothing is sent. ``failed`` says that a negotiation ended without success."""
        if self.state is State.CLOSED:
            return
        was_up = self.established_at is not None
        self.state = State.CLOSED
        for task in self.requests.clear():
            task.abandoned(self, reason, now)
        for child in list(self.children):
            self.remove_child(child, reason)
        if failed:
            self.context.emit(Failed(self.name, None, notify_name(notify) if notify else None, reason))
        if was_up:
            self.context.emit(IkeClosed(self.name, self.spi_i, self.spi_r, reason))
        self.context.closed(self, now)

    def add_child(self, child: Child, now: float) -> None:
        """Install a new child SA: inbound now; outbound too, unless it waits for the end of the one that it replaces
        or is about to go itself. One that was taken down, or declared otherwise, while its exchange was under way is
        not installed but deleted."""
        if not self.context.is_wanted(child.tunnel, child.sa.declared):
            self.requests.add(DeleteChild(child, "it is not wanted any more"), now)
            return
        twins = [row for row in self.children if row.is_live and row.replacement is not child
                 and (row.sa.tunnel, row.sa.declared) == (child.sa.tunnel, child.sa.declared)]
        self.children.append(child)
        self.context.emit(ChildInbound(child.sa))
        losers = [self._settle(child, twin, now) for twin in twins]
        if child.replaces is None and child not in losers and not self._gives_way:
            child.outbound = True
            self.context.emit(ChildOutbound(child.sa))

    def _settle(self, one: Child, other: Child, now: float) -> Child:
        """Both ends made a child SA for one route at once, new or by rekeying: the one with the lowest nonce is closed
        by the end that created it (RFC 7296 §2.8.1). Returns it."""
        loser = one if one.lowest_nonce < other.lowest_nonce else other
        if loser.created_by_us and loser.state is ChildState.INSTALLED:
            self.requests.add(DeleteChild(loser, "a second SA for the same route stays"), now)
        return loser

    def activate_outbound(self, child: Child) -> None:
        """Send on the new child SA: the peer has ceased to use the old one."""
        if not child.outbound and child.state is not ChildState.GONE:
            child.outbound, child.outbound_due = True, None
            replaced, child.replaces = child.replaces, None
            self.context.emit(ChildOutbound(child.sa, replaced.sa if replaced else None))

    def remove_child(self, child: Child, reason: str) -> None:
        if child in self.children:
            self.children.remove(child)
            child.state = ChildState.GONE
            self.context.emit(ChildRemoved(child.sa, reason))

    # ---------------------------------------------------------------------------------------------- time

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, or None."""
        if self.state is State.CLOSED:
            return None
        outstanding = self.requests.outstanding
        times = [time for time in (
            outstanding.due if outstanding else None, self._half_open_until, self.expires_at,
            self.rekey_at if self.state is State.ESTABLISHED else None, self._liveness_due(), self._keep_alive_due(),
            self._leave_at[0] if self._leave_at else None,
        ) if time is not None]
        times.extend(time for child in self.children if (time := child.next_timer()) is not None)
        return min(times, default=None)

    def _liveness_due(self) -> float | None:
        detection = self.gateway.dead_peer_detection if self.gateway else None
        if self.state is not State.ESTABLISHED or detection is None or self.requests.outstanding:
            return None
        return self._heard_at + detection.idle

    def _keep_alive_due(self) -> float | None:
        if self.state is not State.ESTABLISHED or not self.behind_nat or self.gateway is None:
            return None
        return self._sent_at + self.gateway.nat_keep_alive

    def handle_timer(self, now: float) -> None:
        """Do all that is due."""
        if self.state is State.CLOSED:
            return
        if self._half_open_until is not None and now >= self._half_open_until:
            self.close("the peer began and never authenticated itself", now, failed=True)
            return
        outstanding = self.requests.outstanding
        if outstanding is not None and now >= outstanding.due and not self.requests.retransmit(outstanding, now):
            what = outstanding.task.exchange.name
            self.close(f"the peer {self.remote} is silent: no answer to {what}", now, failed=True)
            return
        if self.expires_at is not None and now >= self.expires_at:
            self.say_once([Delete(ProtocolId.IKE, ())], now)
            self.close("the lifetime of the IKE SA is over", now)
            return
        if self._leave_at is not None and now >= self._leave_at[0]:
            reason, self._leave_at = self._leave_at[1], None
            self.leave(reason, now)
        if self.state is State.ESTABLISHED:
            if self.rekey_at is not None and now >= self.rekey_at:
                self.rekey_at = None
                if not self.requests.has(RekeyIke) and not self.requests.has(DeleteIke):
                    self.requests.add(RekeyIke(), now)
            liveness = self._liveness_due()
            if liveness is not None and now >= liveness:
                self.requests.add(Liveness(), now)
            keep_alive = self._keep_alive_due()
            if keep_alive is not None and now >= keep_alive:
                self.transmit(b"\xff", now)
        for child in list(self.children):
            self._handle_child_timer(child, now)

    def _handle_child_timer(self, child: Child, now: float) -> None:
        if child.outbound_due is not None and now >= child.outbound_due:
            self.activate_outbound(child)
        if child.expires_at is not None and now >= child.expires_at:
            child.expires_at = None
            if child.state is not ChildState.DELETING:
                self.requests.add(DeleteChild(child, "its lifetime is over"), now)
                self.context.child_lost(self, now)
        elif child.rekey_at is not None and now >= child.rekey_at and child.state is ChildState.INSTALLED:
            child.rekey_at = None
            if self.state is State.ESTABLISHED:
                self.requests.add(CreateChild(child.tunnel, child.sa.declared, child), now)

    def describe_identities(self) -> tuple[str, str]:
        """(local, remote) as status shows them."""
        if self.gateway is None:
            return "", self.remote_identity
        pair = self.gateway.endpoints[0]
        return pair.local.identity.value, self.remote_identity or pair.remote.identity.value

    def tunnels(self) -> Sequence[Tunnel]:
        return self.context.tunnels_of(self.name)
