# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One IKE SA of IKEv2 (RFC 7296): message identifiers, retransmission, states, and its child SAs.

What each exchange says and means is in a file of its own; this one only carries messages to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..crypto.errors import CryptoError, InvalidKeyExchange
from ..ike.children import Child
from ..ike.context import Context
from ..ike.events import IkeEstablished, IkeRekeyed
from ..ike.refusal import Refusal
from ..ike.session import IkeSession
from ..ike.state import NO_SPI, State
from ..negotiation.reasons import Reason
from ..security_association import Datagram, Path, SocketAddress
from ..vpn.model import EndpointPair, Gateway, IkeVersion, Route, Transform, Tunnel
from ..vpn.selectors import Address
from ..wire.constants import ExchangeType, HeaderFlag, NotifyType, ProtocolId
from ..wire.delete import Delete
from ..wire.errors import MalformedMessage, UnsupportedCriticalPayload, WireError
from ..wire.header import Header
from ..wire.message import (
    Encrypted,
    Message,
    Payload,
    decode_message,
    decode_payloads,
    encode_encrypted_prefix,
    encode_message,
    encode_payloads,
    notify,
    without_encryption,
)
from . import crash_detection, mobike, payload_rules, transitions
from .create_child_sa import CreateChild
from .exchange import answer as answer_to
from .exchange import notify_name
from .followup_ke import Awaited
from .fragmentation import Opened, Reassembly, TooLarge, largest_message
from .ike_sa_init import IkeSaInit, derive
from .informational import DeleteChild, DeleteIke, Liveness
from .intermediate import Additional
from .mobike import Mobility
from .protection import Protection
from .rekey_ike import RekeyIke
from .requests import Requests
from .transitions import Reaction

if TYPE_CHECKING:
    from ..crypto.key_exchange import KeyExchange

_MOST_DELETED_AHEAD = 64


class Ikev2Session(IkeSession):
    """An IKE SA whose responder knows its gateway from IKE_AUTH on."""

    version = IkeVersion.V2

    def __init__(self, context: Context, *, initiator: bool, gateway: Gateway | None, local: SocketAddress,
                 remote: SocketAddress, now: float, pair: EndpointPair | None = None) -> None:
        super().__init__(context, initiator=initiator, gateway=gateway, local=local, remote=remote, now=now, pair=pair)

        # What IKE_SA_INIT leaves for IKE_AUTH (RFC 7296 §2.15).
        self.init_request = b""
        self.init_response = b""
        self.answered_by: Datagram | None = None
        self.answered_spi_r = NO_SPI
        self.chosen: Transform | None = None
        self.key_exchange: KeyExchange | None = None
        self.peer_public = b""
        #: What the peer may verify signatures with (RFC 7427 §4), empty where it does not say.
        self.signature_hashes: frozenset[int] = frozenset()
        self.additional: Additional | None = None
        #: Both ends have announced a post-quantum pre-shared key.
        self.uses_ppk = False
        self._protection: Protection | None = None
        #: The keys that hold once the answer that is being made is on its way.
        self.protection_after_answer: Protection | None = None

        #: Tunnels of which the peer wants an SA pair for each route, though one for all of them is declared.
        self.single_pairs: set[str] = set()
        #: SPIs that the peer deleted before its answer, which would have told us of them, arrived; the last of them.
        self.deleted_ahead: deque[int] = deque(maxlen=_MOST_DELETED_AHEAD)
        #: The successor that the peer made by rekeying this IKE SA, while our own rekey is under way.
        self.rival: Ikev2Session | None = None
        #: What the peer agreed on with us and has to follow up.
        self.awaited: Awaited | None = None
        #: The IKE SA that has the children still, where the rekey that made this one is not settled yet.
        self.predecessor: Ikev2Session | None = None
        #: The IKE SA before, until the peer has shown that it knows this one.
        self.before: Ikev2Session | None = None

        #: The peer sent digests for the detection of NATs.
        self.nat_supported = False
        #: Both ends have announced MOBIKE.
        self.mobility: Mobility | None = None

        #: By which the peer shows, after a crash, that it has lost this IKE SA (RFC 6290); empty where it gave none.
        self.crash_token = b""
        #: The address of ours that our own is made for.
        self.token_of = local.address
        self.requests = Requests(self)
        #: Both ends take messages in fragments.
        self.fragmentation = False
        self._fragments: dict[bool, Reassembly] = {}  # of a request, of a response
        self._expected_request = 0
        self._last_request = b""
        self._last_response: tuple[bytes, ...] = ()
        self._answered_under: Protection | None = None
        self._closes_after_answer = ""
        self._heir: Ikev2Session | None = None

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    def suite(self) -> str:
        return self.protection.suite

    @property
    def protection(self) -> Protection:
        """The keys; a responder derives them only when IKE_AUTH comes, so that a flood costs it no exponentiation."""
        if self._protection is None:
            self.protection = derive(self)
        assert self._protection is not None
        return self._protection

    @protection.setter
    def protection(self, protection: Protection) -> None:
        self._protection = protection
        if self.context.settings.export_keys:
            self.context.emit(protection.exported(self.spi_i, self.spi_r))

    @property
    def holder(self) -> Ikev2Session:
        return self.predecessor or self

    @property
    def is_mobile(self) -> bool:
        return self.mobility is not None

    @property
    def follows_packets(self) -> bool:
        """With MOBIKE the originator itself decides where both ends are (RFC 4555 §3.5)."""
        return super().follows_packets and not (self.is_mobile and self.originator)

    @property
    def follows_messages(self) -> bool:
        return not self.is_mobile and self.follows_packets  # RFC 4555 §3.8

    @property
    def paths(self) -> Sequence[Path]:
        """Between which addresses a request of ours goes."""
        seen = self.mobility.seen_at if self.mobility is not None else None
        return [(self.local, self.remote), *([seen] if seen is not None else ())]

    def follow_packet(self, local: SocketAddress, remote: SocketAddress, now: float) -> None:
        if self.mobility is None:
            super().follow_packet(local, remote, now)
        else:
            mobike.follow_packet(self, self.mobility, (local, remote), now)

    def relocate(self, local: SocketAddress, remote: SocketAddress) -> None:
        super().relocate(local, remote)
        for other in (self.rival, self.before):
            if other is not None:
                other.local, other.remote = local, remote

    @property
    def takes_no_children(self) -> bool:
        """It is about to go, or its children are still with the one before: the peer tries again later (RFC 7296
        §2.25.2)."""
        return (self.predecessor is not None or self.requests.has(RekeyIke) or self.requests.has(DeleteIke)
                or self.requests.has(mobike.CheckRoutability))

    @property
    def last_exchange(self) -> tuple[bytes, tuple[bytes, ...]] | None:
        if self._answered_under is None or (self.established_at is not None and not self.confirmed):
            return None  # else the peer would come to have what has closed
        return self._last_request, self._last_response

    # ---------------------------------------------------------------------------------------------- orders

    def begin(self, now: float) -> None:
        self.requests.add(IkeSaInit(), now)

    def ask_for(self, wanted: Iterable[tuple[Tunnel, Route]], now: float) -> None:
        asked = self.asked_for()
        self.requests.add_all([CreateChild(tunnel, (route,)) for tunnel, route in wanted
                               if (tunnel.name, route) not in asked], now)

    def asked_for(self) -> set[tuple[str, Route]]:
        return {(task.tunnel.name, route) for task in self.requests.all() if isinstance(task, CreateChild)
                for route in task.routes}

    def rekey(self, now: float) -> None:
        """One that came up by a credential which is declared no more ends with its life, if not before."""
        if not self.is_proven:
            self.context.authenticate_anew(self, now)
        elif not self.requests.has(RekeyIke) and not self.requests.has(DeleteIke):
            self.requests.add(RekeyIke(), now)

    def rekey_child(self, child: Child, now: float) -> None:
        self.requests.add(CreateChild(child.tunnel, child.sa.declared, child), now)

    def probe(self, now: float) -> None:
        if not self.requests.has(Liveness):
            self.requests.add(Liveness(), now)

    def lost_way(self, now: float) -> None:
        mobike.try_elsewhere(self, now)

    def leave_from(self, source: Address, now: float) -> bool:
        if self.mobility is None:
            return False
        mobike.leave_from(self, source, now)
        return True

    def delete_child(self, child: Child, reason: str, now: float) -> None:
        child.superseded = True  # its DELETE may have to wait for its turn
        self.requests.add(DeleteChild(child, reason), now)

    def add_child(self, child: Child, now: float) -> None:
        child.confirmed = child.created_by_us
        super().add_child(child, now)

    def leave(self, reason: str, now: float) -> None:
        self._gives_way = True
        if not self.requests.has(DeleteIke):
            self.requests.take_waiting()
            self.requests.add(DeleteIke(reason), now)

    def drop(self, reason: str, now: float) -> None:
        self.say_once([Delete(ProtocolId.IKE, ())], now)
        self.close(reason, now)

    def close(self, reason: Reason | str, now: float, *, failed: bool = False, notify: str | None = None) -> None:
        if self.rival is not None:
            self.hand_over(self.rival, now)  # the peer has gone on there
            self._proceed(now)
        if self.predecessor is not None and self.predecessor.rival is self:
            self.predecessor.rival = None
        super().close(reason, now, failed=failed, notify=notify)

    def confirm(self, now: float) -> None:
        self.before = None
        super().confirm(now)

    def _abandon(self, reason: str, now: float) -> None:
        self.before = None
        for task in self.requests.clear():
            task.abandoned(self, reason, now)

    # ---------------------------------------------------------------------------------------------- what leaves

    def _proceed(self, now: float) -> None:
        """Go on with what waits, here and at the successor, now that the answer is on its way before it."""
        self.requests.proceed(now)
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.requests.proceed(now)

    def say_once(self, payloads: Sequence[Payload], now: float) -> None:
        """An INFORMATIONAL request that is not waited for: the last words of an IKE SA that closes."""
        for data in self.encode(payloads, ExchangeType.INFORMATIONAL, self.requests.next_id, response=False):
            self.transmit(data, now)

    def encode(self, payloads: Sequence[Payload], exchange: int, message_id: int, *,
               response: bool) -> tuple[bytes, ...]:
        """The datagrams of a message."""
        flags = (HeaderFlag.INITIATOR if self.initiator else 0) | (HeaderFlag.RESPONSE if response else 0)
        if exchange == ExchangeType.IKE_SA_INIT:
            return (encode_message(spi_i=self.spi_i, spi_r=self.spi_r, exchange=exchange, flags=flags,
                                   message_id=message_id, payloads=payloads),)
        if exchange == ExchangeType.IKE_INTERMEDIATE:
            first_payload, plaintext = encode_payloads(payloads)
            self._note_intermediate(response, encode_encrypted_prefix(
                spi_i=self.spi_i, spi_r=self.spi_r, exchange=exchange, flags=flags, message_id=message_id,
                first_payload=first_payload, body_size=len(plaintext)) + plaintext)
        largest = (largest_message(self.remote.address, self.context.settings.largest_datagram)
                   if self.fragmentation else None)
        return self.protection.seal(payloads, largest=largest, spi_i=self.spi_i, spi_r=self.spi_r, exchange=exchange,
                                    flags=flags, message_id=message_id)

    def _repeat_answer(self, datagram: Datagram) -> None:
        for data in self._last_response:
            self.context.send(Datagram(datagram.local, datagram.remote, data))

    # ---------------------------------------------------------------------------------------------- what arrives

    def is_meant(self, header: Header) -> bool:
        if header.major != self.version.value or header.spi_i != self.spi_i:
            return False
        return header.is_initiator is not self.initiator and (
            header.spi_r == self.spi_r or self.state is State.INITIATING)

    def receive(self, datagram: Datagram, now: float) -> None:
        try:
            message = decode_message(datagram.data)
        except UnsupportedCriticalPayload:
            self.context.count("unsupported_critical_payload")
        except WireError:
            self.context.count("malformed")
        else:
            if message.header.is_response:
                self._receive_response(message, datagram, now)
            else:
                self._receive_request(message, datagram, now)

    def _receive_response(self, message: Message, datagram: Datagram, now: float) -> None:
        header = message.header
        if message.encrypted is None and header.exchange != ExchangeType.IKE_SA_INIT:
            self._hear_unprotected(message, now)
            return
        row = transitions.on_response(self.state, header.exchange)
        outstanding = self.requests.answered_by(header) if row.reaction is Reaction.TAKE else None
        if outstanding is None:
            self.context.count("unexpected_response" if row.reaction is Reaction.TAKE else row.story)
            return
        try:
            if header.exchange == ExchangeType.IKE_SA_INIT:
                payloads = self._init_payloads(message, datagram)
            else:
                opened = self._open(message, datagram)
                if opened is None:
                    return
                payloads = decode_payloads(opened.encrypted.first_payload, opened.plaintext)
            payload_rules.check(header.exchange, True, payloads)
        except CryptoError:
            self.context.count("not_authentic")
            return
        except WireError as error:
            self.context.count("malformed")
            if header.exchange != ExchangeType.IKE_SA_INIT:
                self._give_up(f"the peer's answer is authentic but malformed: {error}", now)
            return
        self.requests.done(outstanding)
        if self.established_at is None:
            self.account.reached = outstanding.task.exchange.name
        if header.exchange != ExchangeType.IKE_SA_INIT:
            self.heard(datagram, now)
        if self.mobility is not None and not isinstance(outstanding.task, mobike.UpdateAddresses):
            self.mobility.tried.clear()
        try:
            outstanding.task.response(self, payloads, now)
        except Refusal as refusal:
            outstanding.task.abandoned(self, str(refusal), now)
            if self.established_at is None:
                self.close(refusal.reason, now, failed=True, notify=notify_name(refusal.notify))
            else:
                self._give_up(refusal.reason, now, notify_name(refusal.notify))
        except (CryptoError, WireError) as error:
            if header.exchange == ExchangeType.IKE_SA_INIT:
                # Whoever sent it need not be the peer: its own answer may still come (RFC 6989 §2.5).
                self.context.count("malformed")
                self.requests.resume(outstanding)
                return
            outstanding.task.abandoned(self, str(error), now)
            self._give_up(f"the peer's answer cannot be used: {error}", now)
        self._proceed(now)

    def _hear_unprotected(self, message: Message, now: float) -> None:
        """The peer knows this IKE SA no more, or somebody says so: its token proves it (RFC 6290 §4.5), and else it is
        asked whether it lives."""
        if notify(message.payloads, NotifyType.INVALID_IKE_SPI) is None:
            self.context.count("not_authentic")
        elif crash_detection.is_proven(self, message.payloads):
            self.doubted = True
            self.close("the peer has started anew and knows it no more", now)
        else:
            self.doubt(now)

    def _ask_at_once(self, now: float) -> None:
        if not self.requests.repeat(now) and self.state is State.ESTABLISHED:
            self.probe(now)

    def _ask_soon(self, now: float) -> None:
        self.requests.hurry(now)

    def _give_up(self, reason: Reason | str, now: float, notify: str | None = None) -> None:
        """Close for an answer that cannot be used, by a peer that takes this IKE SA for good: tell it."""
        self.say_once([Delete(ProtocolId.IKE, ())], now)
        self.close(reason, now, failed=True, notify=notify)

    def _init_payloads(self, message: Message, datagram: Datagram) -> tuple[Payload, ...]:
        if message.encrypted is not None:
            raise MalformedMessage("IKE_SA_INIT is encrypted")
        self.init_response = datagram.data
        self.answered_by = datagram
        self.answered_spi_r = message.header.spi_r
        return message.payloads

    def _open(self, message: Message, datagram: Datagram) -> Opened | None:
        """The message, authentic and whole; None where it is not, or not yet. Raises CryptoError."""
        header, encrypted, data = message.header, message.encrypted, datagram.data
        if encrypted is None:
            raise CryptoError("the message is not encrypted")
        opened = (self._put_together(header, encrypted, data) if encrypted.total
                  else Opened(self.protection.open(data, encrypted.offset), data, encrypted))
        if opened is not None and header.exchange == ExchangeType.IKE_INTERMEDIATE:
            self._note_intermediate(header.is_response,
                                    without_encryption(opened.data, opened.encrypted, opened.plaintext))
        return opened

    def _note_intermediate(self, response: bool, message: bytes) -> None:
        """AUTH will cover it, under the keys that hold as the message passes (RFC 9242 §3.3.2)."""
        if self.additional is None:
            return
        if response:
            self.additional.int_auth.add_response(self.protection.keys.sk_pr, message)
        else:
            self.additional.int_auth.add_request(self.protection.keys.sk_pi, message)

    def _put_together(self, header: Header, encrypted: Encrypted, data: bytes) -> Opened | None:
        if not self.fragmentation:
            self.context.count("unexpected_fragment")
            return None
        fragments = self._fragments.setdefault(header.is_response, Reassembly())
        try:
            if not fragments.wants(header.message_id, encrypted):
                self.context.count("repeated_fragment")
                return None
            plaintext = self.protection.open(data, encrypted.offset)
            opened = fragments.add(header.message_id, encrypted, data, plaintext)
        except TooLarge:
            self.context.count("oversized_message")
            return None
        if opened is not None:
            del self._fragments[header.is_response]
        return opened

    def _receive_request(self, message: Message, datagram: Datagram, now: float) -> None:
        header = message.header
        row = transitions.on_request(self.state, header.exchange)
        if row.respond is None:
            self.context.count(row.story)
            return
        if header.message_id == self._expected_request - 1 and self._last_response:
            if datagram.data == self._last_request or self._is_cut_anew(message, datagram):
                self._repeat_answer(datagram)
            else:
                later = message.encrypted is not None and message.encrypted.number > 1
                self.context.count("repeated_fragment" if later else "unexpected_request")
            return
        if header.message_id != self._expected_request:
            self.context.count("unexpected_request")
            return
        try:
            opened = self._open(message, datagram)
        except InvalidKeyExchange as error:
            self.close(f"the peer's key exchange value is invalid: {error}", now, failed=True)
            return
        except CryptoError:
            self.context.count("not_authentic")
            return
        if opened is None:
            return
        self.heard(datagram, now)
        if self.established_at is not None:
            self.confirm(now)  # a new request comes after the answer to the last one
        refusal: Refusal | None = None
        try:
            payloads = decode_payloads(opened.encrypted.first_payload, opened.plaintext)
            if row.reaction is Reaction.ANSWER:
                payload_rules.check(header.exchange, False, payloads)
            answer = row.respond(self, payloads, now)
        except Refusal as why:
            refusal = why
        except UnsupportedCriticalPayload as error:
            self.context.count("unsupported_critical_payload")
            refusal = Refusal(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, f"the peer's request: {error}",
                              bytes([error.payload_type]), fatal=self.state is State.RESPONDING)
        except (WireError, InvalidKeyExchange) as error:
            self.context.count("malformed")
            refusal = Refusal(NotifyType.INVALID_SYNTAX, f"the peer's request is authentic but malformed: {error}",
                              fatal=True)
        if refusal is not None:
            answer = [answer_to(refusal)]
            if refusal.reason and not refusal.fatal:
                self.fail(refusal.reason, notify_name(refusal.notify), tunnel=refusal.tunnel)
        self._expected_request += 1
        self._last_request, self._answered_under = opened.data, self.protection
        self._last_response = self.encode(answer, header.exchange, header.message_id, response=True)
        self._sent_at = now
        self._repeat_answer(datagram)
        if self.protection_after_answer is not None:
            self.protection, self.protection_after_answer = self.protection_after_answer, None
        if refusal is not None and refusal.fatal:
            self.close(refusal.reason, now, failed=True, notify=notify_name(refusal.notify))
        elif self._closes_after_answer:
            self.close(self._closes_after_answer, now)
        self._proceed(now)

    def _is_cut_anew(self, message: Message, datagram: Datagram) -> bool:
        """Whether this is the first fragment of the last request, which the peer now sends in smaller ones (RFC 7383
        §2.5.2). Of a retransmission in fragments only the first draws the answer (§2.6.1)."""
        encrypted = message.encrypted
        if encrypted is None or encrypted.number != 1 or self._answered_under is None:
            return False
        try:
            self._answered_under.open(datagram.data, encrypted.offset)
        except CryptoError:
            return False
        return True

    def close_after_answer(self, reason: str) -> None:
        """For a responder: close once the answer to this request is on its way."""
        self._closes_after_answer = reason

    def answer_init(self, payloads: Sequence[Payload], datagram: Datagram, now: float) -> None:
        """A responder's first message, kept for the peer's retransmission and for AUTH."""
        self.init_request = self._last_request = datagram.data
        self._last_response = self.encode(payloads, ExchangeType.IKE_SA_INIT, 0, response=True)
        self.init_response = self._last_response[0]
        self._expected_request = 1
        self.transmit(self.init_response, now)

    def repeat_init_answer(self, datagram: Datagram) -> bool:
        """Answer a retransmitted IKE_SA_INIT request again; False where these are not the same octets."""
        if datagram.data != self.init_request:
            return False
        self.context.send(Datagram(datagram.local, datagram.remote, self.init_response))
        return True

    # ---------------------------------------------------------------------------------------------- becoming and ending

    def establish(self, now: float) -> None:
        """Both ends are authenticated: lifetimes begin."""
        self.state = State.ESTABLISHED
        self.established_at = now
        self._half_open_until = None
        self.init_request = self.init_response = b""
        self.key_exchange = self.additional = None
        self.begin_lifetime(self.protection.transform.sa_life, now)
        self.context.emit(IkeEstablished(self.name, self.spi_i, self.spi_r, self.initiator, self.protection.suite))
        self.context.established(self, now)

    def make_successor(self, transform: Transform, skeyseed: bytes, *, initiator: bool, spi_i: bytes, spi_r: bytes,
                       nonce_i: bytes, nonce_r: bytes, now: float) -> Ikev2Session:
        """The IKE SA that rekeys this one: up from the start, known to the context, without children until
        ``hand_over``."""
        new = Ikev2Session(self.context, initiator=initiator, gateway=self.gateway, local=self.local,
                           remote=self.remote, now=now, pair=self.pair)
        new.spi_i, new.spi_r, new.nonce_i, new.nonce_r = spi_i, spi_r, nonce_i, nonce_r
        new.protection = Protection(transform, skeyseed, nonce_i, nonce_r, spi_i, spi_r, initiator=initiator)
        new.nat_detected, new.behind_nat, new.peer_behind_nat = self.nat_detected, self.behind_nat, self.peer_behind_nat
        new.candidates, new.remote_identity, new.proofs = self.candidates, self.remote_identity, self.proofs
        new.single_pairs, new.originator, new.mobility = self.single_pairs, self.originator, self.mobility
        new.fragmentation, new.account, new.token_of = self.fragmentation, self.account, self.token_of
        new.protection.ppk = self.protection.ppk
        new.state, new.established_at, new.predecessor = State.ESTABLISHED, now, self
        new._half_open_until = None
        new.begin_lifetime(transform.sa_life, now)
        self.context.succeeded(self, new, now)
        return new

    def hand_over(self, new: Ikev2Session, now: float) -> None:
        """The surviving IKE SA inherits all child SAs (RFC 7296 §2.8), what was still to be done, and whether it is to
        give way to another; this one only waits for its DELETE."""
        new.predecessor, new.before = None, None if new.confirmed else self
        new.children.extend(self.children)
        self.children.clear()
        new.requests.inherit(self.requests)
        new._leave_at, new._leave_by, new._gives_way = self._leave_at, self._leave_by, self._gives_way
        new.superseded, new.trial, new._contested = self.superseded, self.trial, self._contested
        self._leave_at, self.trial, self.rival = None, None, None
        self.await_delete(now)
        self.context.emit(IkeRekeyed(self.name, self.spi_i, new.spi_i, new.spi_r))
        self._heir = new

    def await_delete(self, now: float) -> None:
        """Another IKE SA serves in its place, and the peer closes this one; not if it never heard of it, as of its own
        rekey that it gave up when ours closed the IKE SA before."""
        self.predecessor = None
        self.state, self._replaced = State.REPLACED, True
        self.expires_at = now + self.context.settings.half_open_timeout

    # ---------------------------------------------------------------------------------------------- time

    def next_timer(self) -> float | None:
        if self.state is State.CLOSED:
            return None
        times = [time for time in (
            self.requests.next_timer(), None if self.requests.outstanding else self._liveness_due(),
            self._half_open_until, self.expires_at,
            self.rekey_at if self.state is State.ESTABLISHED else None, self._keep_alive_due(),
            self._leave_at[0] if self._leave_at else None, self.trial.due if self.trial else None,
        ) if time is not None]
        times.extend(time for child in self.children if (time := child.next_timer()) is not None)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        if self.state is State.CLOSED:
            return
        if self._half_open_until is not None and now >= self._half_open_until:
            self.close("the peer began and never authenticated itself", now, failed=True)
            return
        outstanding = self.requests.outstanding
        if outstanding is not None and now >= outstanding.due and not (
                self.requests.retransmit(outstanding, now) or mobike.try_elsewhere(self, now)):
            silence = "rekeyed" if self._replaced else self.silence(outstanding.task.exchange.name)
            self.close(silence, now, failed=not self._replaced)
            return
        if self.expires_at is not None and now >= self.expires_at:
            self.drop("rekeyed" if self._replaced else "the lifetime of the IKE SA is over", now)
            return
        self.requests.handle_timer(now)
        if self.trial is not None:
            self.trial.handle_timer(self, now)
        reason = self._leaves(now)
        if reason is not None:
            self.leave(reason, now)
        if self.state is State.ESTABLISHED:
            if self.rekey_at is not None and now >= self.rekey_at:
                self.rekey_at = None
                self.rekey(now)
            liveness = self._liveness_due()
            if liveness is not None and now >= liveness and self.requests.outstanding is None and self.is_silent(now):
                self.requests.add(Liveness(), now)
            self._keep_alive(now)
        for child in list(self.children):
            self._handle_child_timer(child, now)
