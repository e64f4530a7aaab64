# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A year of a tunnel's life on a virtual clock: SAs come and go, by time and by traffic, and no packet is lost."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass, field

import pytest
from ikeengine.dataplane.limits import octet_limits
from ikeengine.ike.events import ChildInbound, ChildMoved, ChildRemoved, Failed, IkeClosed, IkeRekeyed
from ikeengine.security_association import ChildSa

from tests.support import ikev1, virtual_network
from tests.support.key_pairs import one_for_each_group
from tests.support.virtual_network import End, VirtualNetwork, agree, pair

HOUR, DAY = 3600, 86400
YEAR = 365 * DAY
PACKETS_EVERY = 301.0
"""Seconds between two packets of a stream: no divisor of any life."""
LATENCY = 0.05
_MOST_OBJECTS = 400
"""By which what lives may differ at two moments of a year, as timers and messages do."""
IDLE_FOR_A_DAY = {"dead_peer_detection": {"idle": "1d", "retries": 5}}


@dataclass
class Traffic:
    """What a data plane counts of each SA pair, and says of it."""

    octets_per_packet: int = 0
    carried: dict[int, int] = field(default_factory=dict)
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)

    def carry(self, end: End, child: ChildSa, now: float) -> None:
        spi = child.spi_in
        self.carried[spi] = self.carried.get(spi, 0) + self.octets_per_packet
        soft, hard = self.limits.setdefault(spi, octet_limits(child.expiration.kilobytes))
        assert self.carried[spi] < hard
        if self.carried[spi] >= soft and spi not in self.told:
            self.told.add(spi)
            end.manager.expire(spi, now, hard=False)

    def forget(self, end: End) -> None:
        for spi in self.carried.keys() - end.inbound.keys():
            del self.carried[spi], self.limits[spi]
            self.told.discard(spi)


class Year:
    """Two ends, a stream of packets each way, and what happened."""

    def __init__(self, network: VirtualNetwork, octets_per_packet: int = 0) -> None:
        self.network = network
        self.one, self.other = network.ends.values()
        self.events: Counter[type] = Counter()
        self.most_pairs = self.most_ike = self.moments = self.packets = 0
        self.collisions = 0
        self._traffic = {id(end): Traffic(octets_per_packet) for end in network.ends.values()}
        self._is_colliding = False

    def begin(self) -> None:
        self.network.start()
        self.network.run(10)
        agree(self.one, self.other, routes=1)
        self._forget()
        self.events.clear()
        self.network.watch = self._look

    def pass_by(self, seconds: float) -> None:
        end_at = self.network.now + seconds
        while self.network.now < end_at:
            self.network.run(PACKETS_EVERY - LATENCY)
            sent = [(end, child) for end in (self.one, self.other) for child in end.sending.values()]
            assert len(sent) == 2
            self.network.run(LATENCY)
            for end, child in sent:
                peer = self.other if end is self.one else self.one
                assert child.spi_out in peer.inbound, f"a packet is lost at {self.network.now}"
                self.packets += 1
                for place in (end, peer):
                    carrying = [row for row in place.inbound.values() if child.spi_out in (row.spi_in, row.spi_out)]
                    for row in carrying[:1]:  # its sender may have removed it since
                        self._traffic[id(place)].carry(place, row, self.network.now)
            self._forget()

    def _look(self) -> None:
        """At every moment each end sends on one SA pair, and the other end receives on it."""
        self.moments += 1
        for end, peer in ((self.one, self.other), (self.other, self.one)):
            (child,) = end.sending.values()
            assert child.spi_out in peer.inbound, f"a gap at {self.network.now}"
            self.most_pairs = max(self.most_pairs, len(end.inbound))
            self.most_ike = max(self.most_ike, len(end.manager._sessions))
        is_colliding = len(self.one.inbound) > 2
        self.collisions += is_colliding and not self._is_colliding
        self._is_colliding = is_colliding

    def _forget(self) -> None:
        """What a network and an end keep for other tests."""
        self.events.update(type(event) for event in self.one.events)
        assert not self.other.count(Failed)
        self.network.sent.clear()
        for end in (self.one, self.other):
            end.events.clear()
            self._traffic[id(end)].forget(end)

    def count_objects(self) -> int:
        gc.collect()
        return len(gc.get_objects())


def rekeys_within(life: float, seconds: float = YEAR) -> range:
    """How often an SA is rekeyed by its creator, whose jitter lets it begin between 0.80 and 0.88 of its life."""
    return range(int(seconds / (life * 0.88)) - 1, int(seconds / (life * 0.80)) + 2)


def lived(version: int, *, ike: int, child: dict[str, str], octets: int = 0, start: str = "answer") -> Year:
    kind = virtual_network if version == 2 else ikev1
    options = {"transforms": ({**kind.TRANSFORM, "sa_life": f"{ike}s"},),
               "proposals": ({**kind.PROPOSAL, "force_key_expiration": child},), "gateway": IDLE_FOR_A_DAY}
    with one_for_each_group():
        year = Year(pair(kind.hq(**options), kind.branch(start=start, **options), latency=LATENCY)[0], octets)
        year.begin()
        year.pass_by(YEAR / 2)
        before = year.count_objects()
        year.pass_by(YEAR / 2)
        grown = year.count_objects() - before
    agree(year.one, year.other, routes=1)
    print(f"IKEv{version}: {year.packets} packets, {year.events[ChildInbound]} child rekeys, {year.events[IkeRekeyed]} "
          f"IKE rekeys, {year.collisions} collisions, at most {year.most_pairs} SA pairs and {year.most_ike} IKE SAs "
          f"at once, {grown} objects more than half a year ago")
    assert abs(grown) < _MOST_OBJECTS
    assert not year.events[Failed] and not year.events[ChildMoved]
    assert year.events[ChildInbound] == year.events[ChildRemoved]
    assert year.events[IkeRekeyed] == year.events[IkeClosed]
    assert year.packets >= 2 * YEAR // PACKETS_EVERY
    assert year.most_ike <= 3 and year.most_pairs <= 4
    for end in (year.one, year.other):
        manager = end.manager
        assert len(manager._sessions) == 1 and len(manager._timers._heap) < 300
        assert len(manager._sessions._last_exchanges) <= 256
    return year


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("ike", "child"), [(24 * HOUR, 8 * HOUR), (6 * HOUR, 4 * HOUR)])
def test_a_year_of_lives_that_end_by_time(version, ike, child):
    year = lived(version, ike=ike, child={"time": f"{child}s"})
    assert year.events[ChildInbound] in rekeys_within(child)
    assert year.events[IkeRekeyed] in rekeys_within(ike)
    assert year.collisions == 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_year_of_lives_that_end_by_traffic(version):
    """Both ends count the same octets, so they come to their limits at nearly the same moment."""
    octets = 2_500_000
    year = lived(version, ike=24 * HOUR, child={"time": "8h", "traffic": "128000 kB"}, octets=octets)
    packets_in_a_life = 128_000 * 1000 / octets
    assert year.events[ChildInbound] >= year.packets / 2 / packets_in_a_life


@pytest.mark.parametrize("version", [1, 2])
def test_a_year_of_both_ends_keeping_up(version):
    year = lived(version, ike=24 * HOUR, child={"time": "8h"}, start="boot")
    assert year.events[ChildInbound] >= rekeys_within(8 * HOUR).start
