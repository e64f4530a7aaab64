# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet path: from the TUN device into ESP in UDP, and back. No device, no socket and no clock of its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...crypto.errors import IntegrityError
from ...crypto.esp_cipher import EspOpener, EspSealer, sequence_of, spi_of
from ...security_association import ChildSa, SocketAddress
from ...vpn.model import Route
from ..interface import Acquire, DataPlaneEvent, Expired, Moved
from ..limits import octet_limits, packet_limits
from . import inner
from .replay import ReplayWindow

#: Packets that wait for an SA, per route: enough for a handshake's first packets, too few to be a burden.
QUEUE_SIZE = 16
#: Seconds between two Acquire events of one route.
ACQUIRE_INTERVAL = 1.0
#: Remembered pairs of inner source and destination.
CACHE_SIZE = 8192

_ESP_MINIMUM = 8
_IPV6_MULTICAST = 0xFF


class _Selectors:
    """A route's bounds as octets."""

    __slots__ = ("_lf", "_ll", "_rf", "_rl")

    def __init__(self, route: Route) -> None:
        self._lf, self._ll = route.local.first.packed, route.local.last.packed
        self._rf, self._rl = route.remote.first.packed, route.remote.last.packed

    def match(self, local: bytes, remote: bytes) -> bool:
        return (len(local) == len(self._lf) and self._lf <= local <= self._ll and self._rf <= remote <= self._rl)


class _AnySelectors:
    """The bounds of several routes."""

    __slots__ = ("_each",)

    def __init__(self, routes: Iterable[Route]) -> None:
        self._each = tuple(map(_Selectors, routes))

    def match(self, local: bytes, remote: bytes) -> bool:
        return any(row.match(local, remote) for row in self._each)


class Pair:
    """An SA pair in both directions, its counters and limits."""

    __slots__ = ("child", "hard_limit", "heard_from", "inbound", "last_sequence", "local", "octets_in",
                 "octets_out", "opener", "outbound", "packets_in", "packets_out", "remote", "seal", "selectors",
                 "sequence", "soft_limit", "soft_sequence", "told_hard", "told_soft", "window")

    def __init__(self, child: ChildSa) -> None:
        """Raises UnsupportedAlgorithm."""
        if child.encryption is None:
            raise ValueError("ESP without an encryption algorithm")
        self.child = child
        self.local = child.local
        self.remote = self.heard_from = child.remote
        routes = [row.negotiated for row in child.routes]
        self.selectors = _Selectors(routes[0]) if len(routes) == 1 else _AnySelectors(routes)
        self.seal = EspSealer(child.encryption, child.authentication, child.keys_out, child.spi_out).seal
        self.opener = EspOpener(child.encryption, child.authentication, child.keys_in).open
        self.window = ReplayWindow(extended=child.extended_sequence_numbers)
        self.sequence = 0
        self.soft_sequence, self.last_sequence = packet_limits(child.extended_sequence_numbers)
        self.soft_limit, self.hard_limit = octet_limits(child.expiration.kilobytes)
        self.told_soft = self.told_hard = False
        self.packets_in = self.octets_in = self.packets_out = self.octets_out = 0
        self.inbound = self.outbound = False


@dataclass(slots=True)
class _Lane:
    """A protected route: the pair that sends for it, or the packets that wait for one."""

    reqid: int
    route: Route
    selectors: _Selectors
    pair: Pair | None = None
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=QUEUE_SIZE))
    acquire_at: float = 0.0


class PacketPath:
    """``send`` puts ESP on the wire, ``deliver`` hands an inner packet to the host, ``now`` is monotonic seconds.

    Whatever goes no further is counted in ``drops``, by reason.
    """

    def __init__(self, send: Callable[[bytes, SocketAddress, SocketAddress], None], deliver: Callable[[bytes], bool],
                 on_event: Callable[[DataPlaneEvent], None], now: Callable[[], float]) -> None:
        self._send, self._deliver, self._on_event, self._now = send, deliver, on_event, now
        self._lanes: dict[int, _Lane] = {}
        self._ordered: list[_Lane] | None = None
        self._cache: dict[bytes, _Lane | None] = {}
        self._inbound: dict[int, Pair] = {}
        self.drops: Counter[str] = Counter()

    def add_route(self, reqid: int, route: Route) -> None:
        """Accept traffic of this route from the device. A known reqid keeps its SA and what waits for one."""
        lane = self._lanes.setdefault(reqid, _Lane(reqid, route, _Selectors(route)))
        lane.route, lane.selectors = route, _Selectors(route)
        self._forget_order()

    def remove_route(self, reqid: int) -> None:
        self._lanes.pop(reqid, None)
        self._forget_order()

    def add_inbound(self, pair: Pair) -> None:
        pair.inbound = True
        self._inbound[pair.child.spi_in] = pair

    def set_outbound(self, pair: Pair) -> list[Pair]:
        """Send the traffic of the pair's routes with it; packets that waited for it go first. Returns the pairs that
        send for no route any more."""
        before = []
        for row in pair.child.routes:
            if row.reqid not in self._lanes:
                self.add_route(row.reqid, row.declared)
            lane = self._lanes[row.reqid]
            if lane.pair is not None and lane.pair is not pair:
                before.append(lane.pair)
            lane.pair = pair
        pair.outbound = True
        idle = [old for old in dict.fromkeys(before) if not self._sends(old)]
        for old in idle:
            old.outbound = False
        for reqid in pair.child.reqids:
            waiting = self._lanes[reqid].waiting
            while waiting:
                self.outbound(waiting.popleft())
        return idle

    def _sends(self, pair: Pair) -> bool:
        return any(lane.pair is pair for reqid in pair.child.reqids if (lane := self._lanes.get(reqid)) is not None)

    def remove(self, pair: Pair) -> None:
        """Stop both directions; the routes stay, and their traffic waits or is dropped."""
        self._inbound.pop(pair.child.spi_in, None)
        pair.inbound = pair.outbound = False
        for reqid in pair.child.reqids:
            lane = self._lanes.get(reqid)
            if lane is not None and lane.pair is pair:
                lane.pair = None

    def outbound(self, packet: bytes) -> None:
        """One packet from the device (RFC 4303 §3.3, RFC 4301 §5.1)."""
        try:
            next_header, length, source, destination = inner.parse(packet)
        except inner.InvalidPacket:
            self.drops["outbound_malformed"] += 1
            return
        lane = self._lane(source, destination)
        if lane is None:
            # IPv6 announces itself on every device; its multicasts are no traffic of the tunnel's.
            if not (next_header == inner.IPV6_IN_ESP and destination[0] == _IPV6_MULTICAST):
                self.drops["outbound_no_route"] += 1
            return
        pair = lane.pair
        if pair is None:
            self._wait(lane, packet)
            return
        if not pair.selectors.match(source, destination):
            self.drops["outbound_outside_selectors"] += 1
            return
        if pair.sequence >= pair.last_sequence or pair.octets_out + length > pair.hard_limit:
            self.drops["outbound_expired"] += 1
            self._expire(pair, hard=True)
            return
        pair.sequence = sequence = pair.sequence + 1
        high = sequence >> 32 if pair.child.extended_sequence_numbers else None
        self._send(pair.seal(sequence & 0xFFFFFFFF, packet, next_header, high), pair.local, pair.remote)
        pair.packets_out += 1
        pair.octets_out += length
        if pair.octets_out >= pair.soft_limit or sequence >= pair.soft_sequence:
            self._expire(pair, hard=False)

    def inbound(self, packet: bytes, local: SocketAddress, remote: SocketAddress) -> None:
        """One ESP packet from the wire (RFC 4303 §3.4, RFC 4301 §5.2), and the path that it came by."""
        if len(packet) < _ESP_MINIMUM:
            self.drops["inbound_malformed"] += 1
            return
        pair = self._inbound.get(spi_of(packet))
        if pair is None:
            self.drops["inbound_unknown_spi"] += 1
            return
        sequence = pair.window.expand(sequence_of(packet))
        if not pair.window.accepts(sequence):
            self.drops["inbound_replayed"] += 1
            return
        try:
            high = sequence >> 32 if pair.child.extended_sequence_numbers else None
            payload, next_header = pair.opener(packet, high)
        except IntegrityError:
            self.drops["inbound_integrity"] += 1
            return
        if pair.window.advance(sequence) and remote is not pair.heard_from:
            self._tell_source(pair, local, remote)
        if next_header == inner.DUMMY:
            return
        try:
            version, length, source, destination = inner.parse(payload)
        except inner.InvalidPacket:
            self.drops["inbound_malformed"] += 1
            return
        if version != next_header:
            self.drops["inbound_malformed"] += 1
            return
        if not pair.selectors.match(destination, source):
            self.drops["inbound_outside_selectors"] += 1
            return
        if pair.octets_in + length > pair.hard_limit:
            self.drops["inbound_expired"] += 1
            self._expire(pair, hard=True)
            return
        if not self._deliver(payload if length == len(payload) else payload[:length]):
            self.drops["inbound_not_delivered"] += 1
            return
        pair.packets_in += 1
        pair.octets_in += length
        if pair.octets_in >= pair.soft_limit:
            self._expire(pair, hard=False)

    def _lane(self, source: bytes, destination: bytes) -> _Lane | None:
        key = source + destination
        try:
            return self._cache[key]
        except KeyError:
            pass
        if self._ordered is None:
            self._ordered = self._in_order()
        found = next((lane for lane in self._ordered if lane.selectors.match(source, destination)), None)
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = found
        return found

    def _forget_order(self) -> None:
        """The next packet of a new pair of addresses makes it anew, once for however many routes came before."""
        self._ordered = None
        self._cache.clear()

    def _in_order(self) -> list[_Lane]:
        """The narrowest remote side first, then the narrowest local one: the longest prefix wins."""
        def breadth(lane: _Lane) -> tuple[int, int]:
            remote, local = lane.route.remote, lane.route.local
            return int(remote.last) - int(remote.first), int(local.last) - int(local.first)

        return sorted(self._lanes.values(), key=breadth)

    def _wait(self, lane: _Lane, packet: bytes) -> None:
        if len(lane.waiting) == QUEUE_SIZE:
            self.drops["outbound_no_sa"] += 1
        lane.waiting.append(packet)
        now = self._now()
        if now >= lane.acquire_at:
            lane.acquire_at = now + ACQUIRE_INTERVAL
            self._on_event(Acquire(lane.reqid))

    def _tell_source(self, pair: Pair, local: SocketAddress, remote: SocketAddress) -> None:
        """Tell once of each source that is not the one before; equal addresses may be different objects."""
        if remote != pair.heard_from:
            self._on_event(Moved(pair.child.spi_in, local, remote))
        pair.heard_from = remote

    def _expire(self, pair: Pair, hard: bool) -> None:
        """Tell once that a limit is reached."""
        if hard and not pair.told_hard:
            pair.told_hard = pair.told_soft = True
            self._on_event(Expired(pair.child.spi_in, True))
        elif not hard and not pair.told_soft:
            pair.told_soft = True
            self._on_event(Expired(pair.child.spi_in, False))
