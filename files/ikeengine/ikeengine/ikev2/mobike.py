# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOBIKE (RFC 4555): an IKE SA and its child SAs go on between other addresses.

The originator, who initiated the first of the IKE SAs that took over from each other, decides which addresses are used;
the other end follows what UPDATE_SA_ADDRESSES comes by. No other message moves anything, so that messages can test a
path.
"""

from __future__ import annotations

import hmac
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from ..ike.refusal import Refusal
from ..ike.state import NAT_TRAVERSAL_PORT, State
from ..security_association import Path, SocketAddress
from ..vpn.selectors import Address
from ..wire.constants import ExchangeType, NotifyType
from ..wire.errors import MalformedMessage
from ..wire.message import Payload
from ..wire.notify import Notify
from ..wire.payloads import all_of
from . import crash_detection, nat_detection
from .exchange import Task, error_in, notify_name

if TYPE_CHECKING:
    from .session import Ikev2Session

_REQUEST, _RESPONSE = False, True
_COOKIE_SIZE = 16
#: How often the question whether the peer is at another address goes there and nowhere else.
_SENT_ALONE = 3
#: Addresses of a peer that are kept; a host has fewer.
_MOST_ADDRESSES = 16
_ADDRESS_TYPES: Mapping[int, tuple[NotifyType, type[Address]]] = {
    4: (NotifyType.ADDITIONAL_IP4_ADDRESS, IPv4Address), 6: (NotifyType.ADDITIONAL_IP6_ADDRESS, IPv6Address)}


# ------------------------------------------------------------------------------------------------ what may stand where

@dataclass(frozen=True, slots=True)
class Rule:
    """In which messages a notification has a place, by exchange and whether it is a response, how many octets its data
    may have, and whether only the originator says it. One in another place is passed over."""

    places: frozenset[tuple[ExchangeType, bool]]
    sizes: Container[int]
    by_originator: bool = False


_AUTH = {(ExchangeType.IKE_AUTH, _REQUEST), (ExchangeType.IKE_AUTH, _RESPONSE)}
_ASKED, _ANSWERED = (ExchangeType.INFORMATIONAL, _REQUEST), (ExchangeType.INFORMATIONAL, _RESPONSE)
_ANY_SIZE = range(1 << 16)

RULES: Mapping[int, Rule] = {
    NotifyType.MOBIKE_SUPPORTED: Rule(frozenset(_AUTH), _ANY_SIZE),
    NotifyType.ADDITIONAL_IP4_ADDRESS: Rule(frozenset({*_AUTH, _ASKED}), (4,)),
    NotifyType.ADDITIONAL_IP6_ADDRESS: Rule(frozenset({*_AUTH, _ASKED}), (16,)),
    NotifyType.NO_ADDITIONAL_ADDRESSES: Rule(frozenset({*_AUTH, _ASKED}), _ANY_SIZE),
    NotifyType.UPDATE_SA_ADDRESSES: Rule(frozenset({_ASKED}), _ANY_SIZE, by_originator=True),
    NotifyType.NO_NATS_ALLOWED: Rule(frozenset({_ASKED}), (12, 36)),
    NotifyType.NAT_DETECTION_SOURCE_IP: Rule(frozenset({_ASKED, _ANSWERED}), (20,)),
    NotifyType.NAT_DETECTION_DESTINATION_IP: Rule(frozenset({_ASKED, _ANSWERED}), (20,)),
    NotifyType.COOKIE2: Rule(frozenset({_ASKED, _ANSWERED}), range(8, 65)),
}


def taken(session: Ikev2Session, exchange: ExchangeType, response: bool,
          payloads: Sequence[Payload]) -> dict[int, list[bytes]]:
    """The data of the peer's notifications that have a place in that message, by type. Raises MalformedMessage."""
    found: dict[int, list[bytes]] = {}
    for row in all_of(payloads, Notify):
        rule = RULES.get(row.notify_type)
        if rule is None or (exchange, response) not in rule.places or (rule.by_originator and session.originator):
            continue
        if len(row.data) not in rule.sizes:
            raise MalformedMessage(f"{notify_name(row.notify_type)}: {len(row.data)} octets of data")
        found.setdefault(row.notify_type, []).append(row.data)
    return found


def _addresses(notes: Mapping[int, Sequence[bytes]]) -> tuple[Address, ...]:
    """Those that can be anybody's."""
    found = [kind(data) for notify, kind in _ADDRESS_TYPES.values() for data in notes.get(notify, ())]
    return tuple(row for row in found if not (row.is_unspecified or row.is_loopback or row.is_multicast
                                              or row.is_link_local))[:_MOST_ADDRESSES]


# ------------------------------------------------------------------------------------------------ what an IKE SA keeps

@dataclass(slots=True)
class Mobility:
    """Kept where both ends have announced MOBIKE; an IKE SA that is rekeyed hands it on.

    ``peer_addresses``: the one that the peer was at when it named its others, and those. ``changes`` counts changes of
    the addresses: what was said before the last one is void. ``seen_as`` is the digest under which the peer saw us
    last. ``tried`` are the pairs of addresses that did not answer, since the last answer. ``seen_at`` is a path by
    which packets of the peer come, while it has not shown that it receives at the address.
    """

    peer_addresses: tuple[Address, ...]
    changes: int = 0
    seen_as: bytes = b""
    tried: set[tuple[Address, Address]] = field(default_factory=set)
    seen_at: Path | None = None

    def changed(self) -> None:
        """The addresses are others."""
        self.changes += 1
        self.seen_at = None


def is_wanted(session: Ikev2Session) -> bool:
    """Whether we announce it as initiator: where our address is declared we go nowhere else."""
    return session.pair is not None and session.pair.local.address is None


def announce(session: Ikev2Session) -> list[Payload]:
    """For IKE_AUTH: that we can, and our other addresses."""
    return [Notify(NotifyType.MOBIKE_SUPPORTED), *_others(session)]


def _others(session: Ikev2Session) -> list[Payload]:
    """Under which addresses we are to be had besides: those of the gateway's other endpoint pairs."""
    assert session.gateway is not None
    others = dict.fromkeys(row.local.reached for row in session.gateway.endpoints)
    return [Notify(_ADDRESS_TYPES[row.version][0], row.packed) for row in others
            if row is not None and row != session.local.address and (
                session.pair is None or row != session.pair.local.reached)]


def begin(session: Ikev2Session, payloads: Sequence[Payload], *, response: bool) -> bool:
    """Take the peer's announcement in IKE_AUTH, if there is one. Raises MalformedMessage."""
    notes = taken(session, ExchangeType.IKE_AUTH, response, payloads)
    if NotifyType.MOBIKE_SUPPORTED not in notes:
        return False
    session.mobility = Mobility((session.remote.address, *_addresses(notes)))
    return True


# ------------------------------------------------------------------------------------------------ our addresses change

def leave_from(session: Ikev2Session, source: Address, now: float) -> None:
    """Packets to the peer now leave from that address of ours."""
    move_to(session, SocketAddress(source, session.local.port), session.remote, now)
    if not session.originator:
        for row in _known(session):
            row.requests.take(TellAddresses)
            row.requests.add_first(TellAddresses(), now)


def move_to(session: Ikev2Session, local: SocketAddress, remote: SocketAddress, now: float,
            tries: int | None = None) -> None:
    """Go on between these two (§3.5). Child SAs follow at once where only our own end moves, since the peer is known to
    be at the other; else once it answers there. What is under way is sent again at once, and up to ``tries`` times."""
    assert session.mobility is not None
    session.mobility.changed()
    is_known = remote == session.remote
    session.relocate(local, remote)
    if is_known:
        session.move_children()
    for row in _known(session):
        row.requests.renew(now, tries)
        if row.originator:
            row.requests.take(UpdateAddresses)
            row.requests.add_first(UpdateAddresses(), now)


def _known(session: Ikev2Session) -> list[Ikev2Session]:
    """By which IKE SAs the peer is to be had: while our answer to its rekey may be lost, by the one before as well, or
    it would look for us where we were."""
    before = session.before
    return [session] if before is None or before.state is not State.REPLACED else [before, session]


def try_elsewhere(session: Ikev2Session, now: float) -> bool:
    """The peer does not answer: try the next pair of addresses that is left (§3.5, §3.10); False where none is."""
    mobility = session.mobility
    if mobility is None or not session.originator or session.state is not State.ESTABLISHED:
        return False
    mobility.tried.add((session.local.address, session.remote.address))
    for remote in dict.fromkeys((session.remote.address, *mobility.peer_addresses)):
        local = _source(session, remote)
        if local is not None and (local, remote) not in mobility.tried:
            move_to(session, SocketAddress(local, session.local.port), SocketAddress(remote, session.remote.port), now,
                    session.context.settings.elsewhere_tries)
            return True
    return False


def _source(session: Ikev2Session, remote: Address) -> Address | None:
    """From where we would reach for that address."""
    assert session.pair is not None
    declared = session.pair.local.address
    if declared is not None:
        return declared if declared.version == remote.version else None
    return session.context.source(remote)


class UpdateAddresses(Task):
    """The originator's: the addresses that this comes by are those of the IKE SA and its child SAs from now on."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self) -> None:
        self._change = -1
        self._cookie = b""

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if session.mobility is None:
            return None
        self._change, self._cookie = session.mobility.changes, session.context.random(_COOKIE_SIZE)
        return [Notify(NotifyType.UPDATE_SA_ADDRESSES), *_digests(session, session.local, session.remote),
                Notify(NotifyType.COOKIE2, self._cookie), *crash_detection.anew(session)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        crash_detection.keep(session, payloads)
        notes, mobility = _answer(session, payloads, self._cookie), session.mobility
        if mobility is None or self._change != mobility.changes or session.is_replaced:
            return  # the next one waits already, or that of the IKE SA after this one
        error = error_in(payloads)
        if error is not None:
            if not try_elsewhere(session, now):
                raise Refusal(error, f"the peer {session.remote.address} does not go on with us at "
                              f"{session.local.address} ({notify_name(error)})")
            return
        mobility.tried.clear()
        mobility.seen_as = b"".join(notes.get(NotifyType.NAT_DETECTION_DESTINATION_IP, ()))
        _take_nat(session, payloads)
        session.move_children(session.udp_encapsulated)
        _find_pair(session, now)


class TellAddresses(Task):
    """The other end's: where it is to be had from now on (§3.6)."""

    exchange = ExchangeType.INFORMATIONAL

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return _others(session) or [Notify(NotifyType.NO_ADDITIONAL_ADDRESSES)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        """The originator knows; it decides."""


def _find_pair(session: Ikev2Session, now: float) -> None:
    """The endpoint pair between whose addresses it now is, if it is another one."""
    gateway, pair = session.gateway, session.pair
    if gateway is None or pair is None:
        return
    local, remote = session.local.address, session.remote.address
    for row in gateway.endpoints:
        if row.local.address in (None, local) and row.remote.address == remote != pair.remote.address:
            session.is_with(gateway, row)
            session.context.relocated(session, now)
            return


# ------------------------------------------------------------------------------------------------ the peer's change

class CheckRoutability(Task):
    """Whether the peer receives at the address that it says it is at (§3.7); then the child SAs follow it there."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self, change: int) -> None:
        self._change = change
        self._cookie = b""

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if session.mobility is None or session.mobility.changes != self._change:
            return None
        self._cookie = session.context.random(_COOKIE_SIZE)
        return [Notify(NotifyType.COOKIE2, self._cookie)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        _answer(session, payloads, self._cookie)
        if session.mobility is not None and session.mobility.changes == self._change:
            session.move_children(session.udp_encapsulated)


def follow_packet(session: Ikev2Session, mobility: Mobility, path: Path, now: float) -> None:
    """An authentic packet came by another path (§3.8). Another port of the address that the peer is known to be at is
    taken at once; another address only when the peer has shown that it receives there, as who is behind a NAT could
    name any."""
    known = {session.remote.address, *(child.sa.remote.address for child in session.holder.children)}
    if known == {path[1].address}:
        mobility.seen_at = None
        session.move(*path)
    elif path != mobility.seen_at:
        mobility.seen_at = path
        session.requests.follow(now)  # what is under way cannot be answered where the peer is no more
        if not session.requests.has(CheckPath):
            session.requests.add_first(CheckPath(mobility.changes), now)


class CheckPath(CheckRoutability):
    """Whether the peer receives where its packets come from; then the IKE SA goes on there, too.

    At first it goes there alone, so that the cookie shows it. Where it is not answered the peer may be where it was, so
    then it goes there as well: the answer shows nothing, and it is asked anew if that came from the other address.
    """

    def __init__(self, change: int) -> None:
        super().__init__(change)
        self._path: Path | None = None
        self._sent = 0

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        self._path = session.mobility.seen_at if session.mobility is not None else None
        return super().request(session, now) if self._path is not None else None

    def paths(self, session: Ikev2Session) -> Sequence[Path]:
        assert session.mobility is not None and self._path is not None
        self._sent += 1
        alone = self._sent <= _SENT_ALONE and session.mobility.seen_at == self._path
        return [self._path] if alone else session.paths

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        _answer(session, payloads, self._cookie)
        mobility = session.mobility
        if mobility is None or mobility.seen_at is None:
            return
        seen, mobility.seen_at = mobility.seen_at, None
        if seen == self._path == session.came_by and self._sent <= _SENT_ALONE:
            session.move(*seen)
        elif seen != self._path or seen == session.came_by:
            follow_packet(session, mobility, seen, now)


def _answer(session: Ikev2Session, payloads: Sequence[Payload], cookie: bytes) -> dict[int, list[bytes]]:
    """The notifications of a response. Raises Refusal where it does not show the cookie, as it must (§3.7)."""
    notes = taken(session, ExchangeType.INFORMATIONAL, _RESPONSE, payloads)
    shown = notes.get(NotifyType.COOKIE2, [])
    if len(shown) != 1 or not hmac.compare_digest(shown[0], cookie):
        raise Refusal(NotifyType.COOKIE2, f"the peer {session.remote} does not show the cookie that it was sent")
    return notes


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """What an INFORMATIONAL request of the peer's says of addresses, and what answers that. Raises MalformedMessage."""
    if session.mobility is None:
        return []
    notes = taken(session, ExchangeType.INFORMATIONAL, _REQUEST, payloads)
    shown: list[Payload] = [Notify(NotifyType.COOKIE2, data) for data in notes.get(NotifyType.COOKIE2, ())]
    forbidden = notes.get(NotifyType.NO_NATS_ALLOWED, ())
    if any(data != _path(*session.came_by) for data in forbidden):
        return [Notify(NotifyType.UNEXPECTED_NAT_DETECTED), *shown]
    if NotifyType.UPDATE_SA_ADDRESSES in notes:
        local, remote = session.came_by
        if not session.context.is_acceptable(session.name, local.address, remote.address):
            return [Notify(NotifyType.UNACCEPTABLE_ADDRESSES), *shown]
        _follow(session, session.mobility, payloads, now)
    if notes.keys() & {NotifyType.ADDITIONAL_IP4_ADDRESS, NotifyType.ADDITIONAL_IP6_ADDRESS,
                       NotifyType.NO_ADDITIONAL_ADDRESSES}:
        _take_addresses(session, session.mobility, _addresses(notes), now)
    digests = _digests(session, *session.came_by) if NotifyType.NAT_DETECTION_SOURCE_IP in notes else []
    return [*digests, *shown, *crash_detection.anew(session)]


def _follow(session: Ikev2Session, mobility: Mobility, payloads: Sequence[Payload], now: float) -> None:
    """Go on where the originator's UPDATE_SA_ADDRESSES came from. Child SAs follow when it is known to receive there:
    at once where only its port is another than theirs."""
    local, remote = session.came_by
    mobility.changed()
    session.relocate(local, remote)
    _take_nat(session, payloads)
    session.requests.follow(now)
    if all(child.sa.remote.address == remote.address for child in session.holder.children):
        session.move_children(session.udp_encapsulated)
    else:
        session.requests.take(CheckRoutability)
        session.requests.add_first(CheckRoutability(mobility.changes), now)


def _take_addresses(session: Ikev2Session, mobility: Mobility, others: Iterable[Address], now: float) -> None:
    """The peer's whole list anew. An originator leaves an address that is not in it any more (§3.5)."""
    _local, remote = session.came_by
    mobility.peer_addresses = (remote.address, *others)
    if session.originator and session.remote.address not in mobility.peer_addresses:
        local = _source(session, remote.address)
        if local is not None:
            move_to(session, SocketAddress(local, session.local.port), remote, now)


def _path(local: SocketAddress, remote: SocketAddress) -> bytes:
    """What NO_NATS_ALLOWED says of a message that came unchanged (§4.2.6)."""
    return (remote.address.packed + local.address.packed + remote.port.to_bytes(2, "big")
            + local.port.to_bytes(2, "big"))


# ------------------------------------------------------------------------------------------------ NATs on the way

def _digests(session: Ikev2Session, local: SocketAddress, remote: SocketAddress) -> list[Payload]:
    """For a message that goes between these."""
    pretend = session.context.random if session.context.encapsulate(session.name) else None
    return nat_detection.announce(session.spi_i, session.spi_r, local, remote, pretend)


def _take_nat(session: Ikev2Session, payloads: Sequence[Payload]) -> None:
    """A NAT has come between, or is there no more. ESP goes in UDP between the NAT traversal ports only."""
    found = nat_detection.detect(payloads, session.spi_i, session.spi_r, *session.came_by)
    if found.supported:
        session.behind_nat, session.peer_behind_nat = found.local, found.remote
        if session.local.port == NAT_TRAVERSAL_PORT:
            session.nat_detected = found.local or found.remote or session.context.encapsulate(session.name)


def ask(session: Ikev2Session) -> list[Payload]:
    """What a liveness check carries besides: behind a NAT, how the peer sees us is worth knowing (§3.8)."""
    if session.mobility is None or not session.originator or not session.behind_nat:
        return []
    return _digests(session, session.local, session.remote)


def take_answer(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
    """The answer to `ask`: where the mapping is another, say where we are."""
    mobility = session.mobility
    notes = taken(session, ExchangeType.INFORMATIONAL, _RESPONSE, payloads)
    seen = b"".join(notes.get(NotifyType.NAT_DETECTION_DESTINATION_IP, ()))
    if mobility is not None and session.originator and seen and seen != mobility.seen_as:
        move_to(session, session.local, session.remote, now)
