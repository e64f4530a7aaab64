# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The userspace packet path without a device or a socket: two ends in one process."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

import pytest
from ikeengine.dataplane.interface import Acquire, Expired, Moved
from ikeengine.dataplane.mtu import inner_mtu, smallest_mtu
from ikeengine.dataplane.userspace import path as packet_path
from ikeengine.dataplane.userspace.path import PacketPath, Pair
from ikeengine.dataplane.userspace.receive_offload import Singly
from ikeengine.security_association import ChildSa, CoveredRoute, DirectionKeys, SocketAddress
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import Expiration, Protocol, Route
from ikeengine.vpn.selectors import Selector

from tests.support.tcp_packets import ones_complement_sum

HQ = SocketAddress(ipaddress.ip_address("192.0.2.1"), 4500)
BRANCH = SocketAddress(ipaddress.ip_address("198.51.100.1"), 4500)
ROUTE = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.2.0.0/24"))
ROUTE_V6 = Route(Selector.parse("2001:db8:1::/64"), Selector.parse("2001:db8:2::/64"))
ONE, TWO = DirectionKeys(bytes(range(36)), bytes(32)), DirectionKeys(bytes(range(1, 37)), bytes(32))


def ipv4(source: str, destination: str, payload: bytes = b"payload", padding: bytes = b"") -> bytes:
    length = 20 + len(payload)
    return (bytes([0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, 17, 0, 0])
            + ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + payload + padding)


def ipv6(source: str, destination: str, payload: bytes = b"payload") -> bytes:
    return (bytes([0x60, 0, 0, 0, 0, len(payload), 59, 64]) + ipaddress.ip_address(source).packed
            + ipaddress.ip_address(destination).packed + payload)


def child(route: Route = ROUTE, reqid: int = 1, spi: int = 0xD0000001, **changes: object) -> ChildSa:
    made = ChildSa("lan", "branch", Protocol.ESP, algorithms.encryption("AES-GCM-256"), None, False, spi,
                   spi + 0x1000, ONE, TWO, HQ, BRANCH, True, (CoveredRoute(route, route, reqid),),
                   Expiration(28800, None))
    return replace(made, **changes)


def mirrored(made: ChildSa) -> ChildSa:
    return replace(made, spi_in=made.spi_out, spi_out=made.spi_in, keys_in=made.keys_out, keys_out=made.keys_in,
                   local=made.remote, remote=made.local, routes=tuple(
                       CoveredRoute(row.declared.mirrored, row.negotiated.mirrored, row.reqid) for row in made.routes))


class End:
    """A packet path with all that leaves it on record. Each packet is a batch of its own."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.delivered: list[bytes] = []
        self.events: list[object] = []
        self.time = 0.0
        self.takes = True
        self.classes: list[int] = []
        self.path = PacketPath(self.send, Singly(self.deliver), self.events.append, lambda: self.time)

    def send(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, traffic_class: int) -> None:
        self.sent += packets
        self.classes += [traffic_class] * len(packets)

    def outbound(self, packet: bytes) -> None:
        self.path.outbound(packet)
        self.path.flush_outbound()

    def deliver(self, packet: bytes) -> bool:
        self.delivered.append(packet)
        return self.takes

    def take(self, data: bytes, remote: SocketAddress | None = None, ecn: int = 0) -> None:
        """ESP from the pair's remote, or from elsewhere."""
        pair = self.path._inbound.get(int.from_bytes(data[:4], "big"))
        here, there = (pair.local, pair.remote) if pair else (HQ, BRANCH)
        self.path.inbound([data], here, remote or there, ecn)

    def install(self, made: ChildSa) -> Pair:
        for row in made.routes:
            self.path.add_route(row.reqid, row.declared)
        pair = Pair(made)
        self.path.add_inbound(pair)
        self.path.set_outbound(pair)
        return pair


@pytest.fixture
def ends() -> tuple[End, End]:
    hq, branch = End(), End()
    hq.install(child())
    branch.install(mirrored(child()))
    return hq, branch


def test_a_packet_goes_through_and_is_counted(ends):
    hq, branch = ends
    packet = ipv4("10.1.0.2", "10.2.0.2")
    hq.outbound(packet)
    assert packet not in hq.sent[0] and hq.sent[0][:8] == bytes.fromhex("d000100100000001")
    branch.take(hq.sent[0])
    assert branch.delivered == [packet]


def test_ipv6_goes_through():
    hq, branch = End(), End()
    hq.install(child(ROUTE_V6))
    branch.install(mirrored(child(ROUTE_V6)))
    packet = ipv6("2001:db8:1::2", "2001:db8:2::2")
    hq.outbound(packet)
    branch.take(hq.sent[0])
    assert branch.delivered == [packet]


def test_traffic_flow_padding_is_cut_off(ends):
    hq, branch = ends
    packet = ipv4("10.1.0.2", "10.2.0.2")
    hq.outbound(packet + bytes(100))
    branch.take(hq.sent[0])
    assert branch.delivered == [packet]


def test_every_kind_of_bad_arrival_is_dropped_and_counted(ends):
    hq, branch = ends
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    good = hq.sent[0]
    for bad in (b"", good[:7], b"\xaa" * 60, good[:-1] + bytes([good[-1] ^ 1]), good[:12], good, good):
        branch.take(bad)
    assert branch.path.drops == {"inbound_malformed": 2, "inbound_unknown_spi": 1, "inbound_integrity": 2,
                                 "inbound_replayed": 1}
    assert len(branch.delivered) == 1


def test_a_peer_cannot_send_from_outside_the_selectors():
    """RFC 4301 §5.2: what the SA's peer sends must match what was negotiated, not merely decrypt."""
    hq, branch = End(), End()
    hq.install(child(Route(Selector.parse("0.0.0.0/0"), Selector.parse("0.0.0.0/0"))))
    branch.install(mirrored(child()))
    for packet in (ipv4("10.9.0.1", "10.2.0.2"), ipv4("10.1.0.2", "10.9.0.2"), b"\x45garbage",
                   ipv6("2001:db8:1::2", "2001:db8:2::2")):
        next_header = 41 if packet[0] >> 4 == 6 else 4
        sealed = hq.path._lanes[1].pair.seal(len(hq.sent) + 1, packet, next_header)
        hq.sent.append(sealed)
        branch.take(sealed)
    assert branch.delivered == []
    assert branch.path.drops == {"inbound_outside_selectors": 3, "inbound_malformed": 1}


def test_dummy_packets_are_discarded_without_a_word(ends):
    hq, branch = ends
    branch.take(hq.path._lanes[1].pair.seal(1, bytes(40), 59))
    assert branch.delivered == [] and branch.path.drops == {}


def test_a_narrowed_sa_carries_no_more_than_was_negotiated():
    hq = End()
    narrowed = Route(Selector.parse("10.1.0.0/25"), Selector.parse("10.2.0.0/24"))
    hq.install(child(routes=(CoveredRoute(ROUTE, narrowed, 1),)))
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    hq.outbound(ipv4("10.1.0.200", "10.2.0.2"))
    assert len(hq.sent) == 1 and hq.path.drops == {"outbound_outside_selectors": 1}


def test_the_longest_prefix_wins_whatever_came_first():
    hq = End()
    wide = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.0.0.0/8"))
    hq.install(child(wide, reqid=1, spi=0xD0000001))
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    hq.install(child(ROUTE, reqid=2, spi=0xD0000002))
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    hq.path.remove_route(2)
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    assert [sent[:4].hex() for sent in hq.sent] == ["d0001001", "d0001002", "d0001001"]


def test_what_matches_no_route_is_dropped_and_counted(ends):
    hq, _ = ends
    for packet in (ipv4("192.0.2.1", "10.2.0.2"), b"", b"\x45", bytes(20), ipv6("2001:db8::1", "2001:db8::2")):
        hq.outbound(packet)
    hq.outbound(ipv6("fe80::1", "ff02::2"))
    assert hq.sent == [] and hq.path.drops == {"outbound_no_route": 2, "outbound_malformed": 3}


def test_first_packets_wait_for_the_sa_and_the_daemon_is_asked_once_a_second():
    hq = End()
    hq.path.add_route(1, ROUTE)
    packets = [ipv4("10.1.0.2", "10.2.0.2", bytes([number])) for number in range(20)]
    for packet in packets:
        hq.outbound(packet)
    assert hq.events == [Acquire(1)] and hq.sent == [] and hq.path.drops == {"outbound_no_sa": 4}
    hq.time = 1.0
    hq.outbound(packets[0])
    assert hq.events == [Acquire(1)] * 2
    hq.install(child())
    branch = End()
    branch.install(mirrored(child()))
    for sent in hq.sent:
        branch.take(sent)
    assert branch.delivered == [*packets[5:], packets[0]]


def test_a_new_pair_takes_over_and_the_old_one_still_receives(ends):
    hq, branch = ends
    branch.outbound(ipv4("10.2.0.2", "10.1.0.2"))
    late = branch.sent[0]
    hq.install(child(spi=0xD0000002))
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    hq.take(late)
    assert hq.sent[0][:4].hex() == "d0001002" and len(hq.delivered) == 1


def test_after_removal_traffic_waits_and_arrivals_are_unknown(ends):
    hq, branch = ends
    branch.outbound(ipv4("10.2.0.2", "10.1.0.2"))
    hq.path.remove(hq.path._lanes[1].pair)
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    hq.take(branch.sent[0])
    assert hq.sent == [] and hq.events == [Acquire(1)] and hq.path.drops == {"inbound_unknown_spi": 1}


@pytest.mark.parametrize("extended", [False, True])
def test_sequence_numbers_never_wrap(extended):
    hq = End()
    pair = hq.install(child(extended_sequence_numbers=extended))
    pair.sequence = pair.soft_sequence - 1
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    assert hq.events == [Expired(0xD0000001, False)]
    pair.sequence = pair.last_sequence - 1
    for _ in range(3):
        hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    assert len(hq.sent) == 2 and hq.sent[1][4:8] == b"\xff" * 4
    assert hq.events[1:] == [Expired(0xD0000001, True)] and hq.path.drops == {"outbound_expired": 2}


def test_extended_numbers_go_on_past_two_to_the_32():
    hq, branch = End(), End()
    pair = hq.install(child(extended_sequence_numbers=True))
    other = branch.install(mirrored(child(extended_sequence_numbers=True)))
    pair.sequence = (1 << 32) - 3
    other.window.advance(pair.sequence)
    for _ in range(6):
        hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
        branch.take(hq.sent[-1])
    assert len(branch.delivered) == 6 and branch.path.drops == {}


def test_octet_limits_hold_on_both_sides():
    hq, branch = End(), End()
    hq.install(child(expiration=Expiration(None, 1)))
    branch.install(mirrored(child(expiration=Expiration(None, 1))))
    for _ in range(12):
        hq.outbound(ipv4("10.1.0.2", "10.2.0.2", bytes(80)))
    assert len(hq.sent) == 10 and hq.path.drops == {"outbound_expired": 2}
    assert hq.events == [Expired(0xD0000001, False), Expired(0xD0000001, True)]
    for sent in hq.sent:
        branch.take(sent)
    assert branch.events == [Expired(0xD0001001, False)] and len(branch.delivered) == 10


def test_the_cache_of_pairs_is_bounded(ends, monkeypatch):
    monkeypatch.setattr(packet_path, "CACHE_SIZE", 16)
    hq, _ = ends
    for number in range(200):
        hq.outbound(ipv4("10.1.0.2", f"10.2.0.{number}"))
    assert max(len(hq.path._lane_of), len(hq.path._pair_of)) <= 16 and len(hq.sent) == 200


def test_what_the_device_does_not_take_is_counted(ends):
    hq, branch = ends
    branch.takes = False
    hq.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    branch.take(hq.sent[0])
    assert branch.path.drops == {"inbound_not_delivered": 1}


@pytest.mark.parametrize("encryption", algorithms.ENCRYPTIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("version", [4, 6])
def test_the_mtu_is_the_largest_that_fits(encryption, version):
    authentication = None if encryption.aead else algorithms.authentication("SHA2-256")
    made = child(encryption=encryption, authentication=authentication,
                 keys_out=DirectionKeys(bytes(range(encryption.keying_size)), bytes(32)),
                 keys_in=DirectionKeys(bytes(range(encryption.keying_size)), bytes(32)))
    outer = {4: 20, 6: 40}[version] + 8
    mtu = inner_mtu(1500, version, encryption, authentication)

    def wire_size(size: int) -> int:
        return outer + len(Pair(made).seal(1, bytes(size), 4))

    assert wire_size(mtu) <= 1500 < wire_size(mtu + 1)
    assert smallest_mtu(1500) <= mtu


SECOND = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.2.1.0/24"))
BOTH = (CoveredRoute(ROUTE, ROUTE, 1), CoveredRoute(SECOND, SECOND, 2))


def test_one_pair_carries_all_its_routes_and_what_waits_for_any_of_them():
    hq, branch = End(), End()
    for row in BOTH:
        hq.path.add_route(row.reqid, row.declared)
    packets = [ipv4("10.1.0.2", "10.2.1.2"), ipv4("10.1.0.2", "10.2.0.2")]
    hq.outbound(packets[0])
    hq.install(child(routes=BOTH))
    branch.install(mirrored(child(routes=BOTH)))
    hq.outbound(packets[1])
    for sent in hq.sent:
        branch.take(sent)
    assert branch.delivered == packets
    hq.outbound(ipv4("10.1.0.2", "10.2.9.2"))
    assert len(hq.sent) == 2


def test_a_pair_sends_for_the_routes_that_no_newer_one_took():
    hq = End()
    old = Pair(child(routes=BOTH))
    new = Pair(child(SECOND, reqid=2, spi=0xD0000002))
    assert (hq.path.set_outbound(old), hq.path.set_outbound(new)) == ([], [])
    for target in ("10.2.0.2", "10.2.1.2"):
        hq.outbound(ipv4("10.1.0.2", target))
    assert [sent[:4].hex() for sent in hq.sent] == ["d0001001", "d0001002"]
    assert hq.path.set_outbound(Pair(child(spi=0xD0000003))) == [old]
    assert not old.outbound and new.outbound
    hq.path.remove(new)
    hq.outbound(ipv4("10.1.0.2", "10.2.1.2"))
    assert hq.events == [Acquire(2)]


def test_both_families_share_a_pair():
    six = CoveredRoute(ROUTE_V6, ROUTE_V6, 2)
    hq, branch = End(), End()
    hq.install(child(routes=(BOTH[0], six)))
    branch.install(mirrored(child(routes=(BOTH[0], six))))
    packets = [ipv4("10.1.0.2", "10.2.0.2"), ipv6("2001:db8:1::2", "2001:db8:2::2")]
    for packet in packets:
        hq.outbound(packet)
        branch.take(hq.sent[-1])
    assert branch.delivered == packets


ELSEWHERE = SocketAddress(ipaddress.ip_address("198.51.100.1"), 61000)


def sealed(end: End, count: int) -> list[bytes]:
    for _packet in range(count):
        end.outbound(ipv4("10.1.0.2", "10.2.0.2"))
    return end.sent[-count:]


def test_the_newest_authentic_packet_tells_once_where_it_came_from(ends):
    hq, branch = ends
    first, second, third = sealed(hq, 3)
    branch.take(first, ELSEWHERE)
    branch.take(second, ELSEWHERE)
    branch.take(third, replace(ELSEWHERE))
    assert branch.events == [Moved(child().spi_out, BRANCH, ELSEWHERE)] and len(branch.delivered) == 3


def test_what_is_forged_replayed_or_late_tells_nothing(ends):
    hq, branch = ends
    late, newest, other = sealed(hq, 3)
    branch.take(newest)
    for data in (late, newest, other[:-1] + bytes([other[-1] ^ 1])):
        branch.take(data, ELSEWHERE)
    assert branch.events == [] and len(branch.delivered) == 2


def test_a_source_that_comes_back_is_told_again(ends):
    hq, branch = ends
    for number, data in enumerate(sealed(hq, 3)):
        branch.take(data, ELSEWHERE if number == 1 else HQ)
    assert [event.remote for event in branch.events] == [ELSEWHERE, HQ]


def marked(packet: bytes, traffic_class: int) -> bytes:
    """The same packet with DSCP and ECN, and for IPv4 with the checksum of RFC 791."""
    octets = bytearray(packet)
    if packet[0] >> 4 == 6:
        octets[:2] = (0x6000 | traffic_class << 4).to_bytes(2, "big")
        return bytes(octets)
    octets[1] = traffic_class
    octets[10:12] = bytes(2)
    octets[10:12] = (0xFFFF - ones_complement_sum(octets[:20])).to_bytes(2, "big")
    return bytes(octets)


@pytest.mark.parametrize(("route", "packet"), [(ROUTE, ipv4("10.1.0.2", "10.2.0.2")),
                                               (ROUTE_V6, ipv6("2001:db8:1::2", "2001:db8:2::2"))])
class TestMarks:
    def test_dscp_and_ecn_are_those_of_the_inner_packet(self, route, packet):
        hq = End()
        hq.install(child(route))
        for traffic_class in (0, 0xB8, 0xB8, 0x03, 0xFF):
            hq.path.outbound(marked(packet, traffic_class))
        hq.path.flush_outbound()
        assert hq.classes == [0, 0xB8, 0xB8, 0x03, 0xFF]

    @pytest.mark.parametrize("dscp", [0, 0xB8, 0xFC])
    @pytest.mark.parametrize("identification", [0, 1, 0xFFFF])
    def test_what_the_outer_header_says_of_congestion_reaches_the_inner_one(self, route, packet, dscp, identification):
        """RFC 6040 §4.2, figure 4: rows are inner, columns outer codepoints: Not-ECT, ECT(1), ECT(0), CE."""
        figure = {0: (0, 0, 0, None), 1: (1, 1, 1, 3), 2: (2, 1, 2, 3), 3: (3, 3, 3, 3)}
        if packet[0] >> 4 == 4:
            packet = packet[:4] + identification.to_bytes(2, "big") + packet[6:]
        hq, branch = End(), End()
        hq.install(child(route))
        branch.install(mirrored(child(route)))
        for before, row in figure.items():
            for outer, after in enumerate(row):
                hq.outbound(marked(packet, dscp | before))
                branch.take(hq.sent[-1], ecn=outer)
                assert branch.delivered == ([] if after is None else [marked(packet, dscp | after)])
                branch.delivered.clear()
        assert branch.path.drops == {"inbound_congestion": 1}
