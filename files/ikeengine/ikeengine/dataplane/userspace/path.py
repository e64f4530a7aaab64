# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet path: from the TUN device into ESP in UDP, and back. No device, no socket and no clock of its own.

Packets come in batches, whatever has come by the time that the daemon looks, and leave in batches: each system call
costs more than a packet's encryption. What a packet is held against is looked up by its two addresses.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol as Interface

from ...crypto.errors import IntegrityError
from ...crypto.esp_cipher import EspOpener, EspSealer, spi_and_sequence_of
from ...security_association import ChildSa, SocketAddress
from ...vpn.model import Route
from ..interface import Acquire, DataPlaneEvent, Expired, Moved
from ..limits import octet_limits, packet_limits
from . import inner
from .receive_offload import Delivery
from .replay import ReplayWindow

#: Packets that wait for an SA, per route: enough for a handshake's first packets, too few to be a burden.
QUEUE_SIZE = 16
#: Seconds between two Acquire events of one route.
ACQUIRE_INTERVAL = 1.0
#: Remembered pairs of inner source and destination.
CACHE_SIZE = 8192

_ESP_MINIMUM = 8
_ECN_THAT_COUNTS = (inner.ECT_1, inner.CE)
_IPV6_MULTICAST = 0xFF


class _Selectors:
    """A route's bounds as octets. Two addresses stand in one: the local one, then the remote one."""

    __slots__ = ("_lf", "_ll", "_rf", "_rl")

    def __init__(self, route: Route) -> None:
        self._lf, self._ll = route.local.first.packed, route.local.last.packed
        self._rf, self._rl = route.remote.first.packed, route.remote.last.packed

    def match(self, addresses: bytes) -> bool:
        half = len(self._lf)
        return (len(addresses) == 2 * half and self._lf <= addresses[:half] <= self._ll
                and self._rf <= addresses[half:] <= self._rl)


class _AnySelectors:
    """The bounds of several routes."""

    __slots__ = ("_each",)

    def __init__(self, routes: Iterable[Route]) -> None:
        self._each = tuple(map(_Selectors, routes))

    def match(self, addresses: bytes) -> bool:
        return any(row.match(addresses) for row in self._each)


class Pair:
    """An SA pair in both directions, its counters and limits."""

    __slots__ = ("arrivals", "child", "extended", "hard_limit", "heard_from", "inbound", "last_sequence", "local",
                 "octets_in", "octets_out", "opener", "outbound", "packets_in", "packets_out", "remote", "seal",
                 "selectors", "sequence", "soft_limit", "soft_sequence", "told_hard", "told_soft", "window")

    def __init__(self, child: ChildSa) -> None:
        """Raises UnsupportedAlgorithm."""
        if child.encryption is None:
            raise ValueError("ESP without an encryption algorithm")
        self.child = child
        self.local = child.local
        self.remote = self.heard_from = child.remote
        routes = [row.negotiated for row in child.routes]
        self.selectors = _Selectors(routes[0]) if len(routes) == 1 else _AnySelectors(routes)
        self.arrivals: set[bytes] = set()  # addresses of inbound packets that proved to be within the selectors
        self.seal = EspSealer(child.encryption, child.authentication, child.keys_out, child.spi_out).seal
        self.opener = EspOpener(child.encryption, child.authentication, child.keys_in).open
        self.extended = child.extended_sequence_numbers
        self.window = ReplayWindow(extended=self.extended)
        self.sequence = 0
        self.soft_sequence, self.last_sequence = packet_limits(self.extended)
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


class Send(Interface):
    """Puts ESP packets on the wire, from ``local`` to ``remote``, with DSCP and ECN as ``traffic_class``."""

    def __call__(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress,
                 traffic_class: int) -> None: ...


class PacketPath:
    """``send`` puts packets on the wire, ``delivery`` hands inner ones to the host, ``now`` is monotonic seconds.

    Whatever goes no further is counted in ``drops``, by reason.
    """

    def __init__(self, send: Send, delivery: Delivery,
                 on_event: Callable[[DataPlaneEvent], None], now: Callable[[], float]) -> None:
        self._send, self._delivery, self._on_event, self._now = send, delivery, on_event, now
        self._lanes: dict[int, _Lane] = {}
        self._ordered: list[_Lane] | None = None
        self._lane_of: dict[bytes, _Lane | None] = {}  # by both addresses
        self._pair_of: dict[bytes, Pair] = {}  # likewise: whose traffic it is, which its selectors admit
        self._sealed: list[bytes] = []  # what leaves together
        self._sealed_by: Pair | None = None
        self._sealed_class = 0
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
        self._pair_of.clear()
        pair.outbound = True
        idle = [old for old in dict.fromkeys(before) if not self._sends(old)]
        for old in idle:
            old.outbound = False
        for reqid in pair.child.reqids:
            waiting = self._lanes[reqid].waiting
            while waiting:
                self.outbound(waiting.popleft())
        self.flush_outbound()
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
        self._pair_of.clear()

    def outbound(self, packet: bytes) -> None:
        """One packet from the device (RFC 4303 §3.3, RFC 4301 §5.1). It leaves when ``flush_outbound`` is called."""
        try:
            next_header, length, addresses = inner.parse(packet)
        except inner.InvalidPacket:
            self.drops["outbound_malformed"] += 1
            return
        pair = self._pair_of.get(addresses)
        if pair is None:
            pair = self._choose(packet, next_header, addresses)
            if pair is None:
                return
        if pair.sequence >= pair.last_sequence or pair.octets_out + length > pair.hard_limit:
            self.drops["outbound_expired"] += 1
            self._expire(pair, hard=True)
            return
        pair.sequence = sequence = pair.sequence + 1
        # DSCP and ECN are copied (RFC 4301 §5.1.2, RFC 6040 §4.1).
        traffic_class = inner.traffic_class(packet)
        if pair is not self._sealed_by or traffic_class != self._sealed_class:
            self.flush_outbound()
            self._sealed_by, self._sealed_class = pair, traffic_class
        high = sequence >> 32 if pair.extended else None
        self._sealed.append(pair.seal(sequence & 0xFFFFFFFF, packet, next_header, high))
        pair.packets_out += 1
        pair.octets_out += length
        if pair.octets_out >= pair.soft_limit or sequence >= pair.soft_sequence:
            self._expire(pair, hard=False)

    def flush_outbound(self) -> None:
        """No more packets for now: what was sealed leaves."""
        pair = self._sealed_by
        if pair is not None:
            sealed, self._sealed, self._sealed_by = self._sealed, [], None
            self._send(sealed, pair.local, pair.remote, self._sealed_class)

    def _choose(self, packet: bytes, next_header: int, addresses: bytes) -> Pair | None:
        """The pair that sends what has these addresses; None where the packet has to wait or to go."""
        lane = self._lane(addresses)
        if lane is None:
            # IPv6 announces itself on every device; its multicasts are no traffic of the tunnel's.
            if not (next_header == inner.IPV6_IN_ESP and addresses[16] == _IPV6_MULTICAST):
                self.drops["outbound_no_route"] += 1
            return None
        pair = lane.pair
        if pair is None:
            self._wait(lane, packet)
            return None
        if not pair.selectors.match(addresses):
            self.drops["outbound_outside_selectors"] += 1
            return None
        if len(self._pair_of) >= CACHE_SIZE:
            self._pair_of.clear()
        self._pair_of[addresses] = pair
        return pair

    def inbound(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int = 0) -> None:
        """ESP packets from the wire (RFC 4303 §3.4, RFC 4301 §5.2), the path that they came by, and its ECN field."""
        for packet in packets:
            self._open(packet, local, remote, ecn)
        lost = self._delivery.flush()
        if lost:
            self.drops["inbound_not_delivered"] += lost

    def _open(self, packet: bytes, local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        if len(packet) < _ESP_MINIMUM:
            self.drops["inbound_malformed"] += 1
            return
        spi, low = spi_and_sequence_of(packet)
        pair = self._inbound.get(spi)
        if pair is None:
            self.drops["inbound_unknown_spi"] += 1
            return
        window = pair.window
        sequence = window.accepts(low)
        if not sequence:
            self.drops["inbound_replayed"] += 1
            return
        try:
            payload, next_header = pair.opener(packet, sequence >> 32 if pair.extended else None)
        except IntegrityError:
            self.drops["inbound_integrity"] += 1
            return
        if window.advance(sequence) and remote is not pair.heard_from:
            self._tell_source(pair, local, remote)
        if next_header == inner.DUMMY:
            return
        try:
            version, length, addresses = inner.parse(payload)
        except inner.InvalidPacket:
            self.drops["inbound_malformed"] += 1
            return
        if version != next_header:
            self.drops["inbound_malformed"] += 1
            return
        if addresses not in pair.arrivals and not self._admit(pair, addresses):
            self.drops["inbound_outside_selectors"] += 1
            return
        if pair.octets_in + length > pair.hard_limit:
            self.drops["inbound_expired"] += 1
            self._expire(pair, hard=True)
            return
        if length != len(payload):
            payload = payload[:length]
        if ecn in _ECN_THAT_COUNTS:
            payload = inner.with_ecn(payload, ecn)
            if not payload:
                self.drops["inbound_congestion"] += 1
                return
        lost = self._delivery.take(payload)
        if lost:
            self.drops["inbound_not_delivered"] += lost
        pair.packets_in += 1
        pair.octets_in += length
        if pair.octets_in >= pair.soft_limit:
            self._expire(pair, hard=False)

    @staticmethod
    def _admit(pair: Pair, addresses: bytes) -> bool:
        """Whether a packet from the first address to the second is within the selectors, which is remembered."""
        half = len(addresses) // 2
        if not pair.selectors.match(addresses[half:] + addresses[:half]):
            return False
        if len(pair.arrivals) >= CACHE_SIZE:
            pair.arrivals.clear()
        pair.arrivals.add(addresses)
        return True

    def _lane(self, addresses: bytes) -> _Lane | None:
        try:
            return self._lane_of[addresses]
        except KeyError:
            pass
        if self._ordered is None:
            self._ordered = self._in_order()
        found = next((lane for lane in self._ordered if lane.selectors.match(addresses)), None)
        if len(self._lane_of) >= CACHE_SIZE:
            self._lane_of.clear()
        self._lane_of[addresses] = found
        return found

    def _forget_order(self) -> None:
        """The next packet of a new pair of addresses makes it anew, once for however many routes came before."""
        self._ordered = None
        self._lane_of.clear()
        self._pair_of.clear()

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
