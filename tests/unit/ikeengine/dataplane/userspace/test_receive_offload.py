# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joined segments against an independent reckoning of what the kernel makes of them again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.dataplane.userspace.receive_offload import Joining

from tests.support.tcp_packets import Segment, cut

FOUR = Segment(bytes(range(250)) * 4)
SIX = replace(FOUR, source="2001:db8:1::2", destination="2001:db8:2::2")
EITHER = pytest.mark.parametrize("first", [FOUR, SIX], ids=["IPv4", "IPv6"])


class Device:
    """Takes joined packets and cuts them again; ``writes`` says into how many each write fell."""

    def __init__(self, takes: bool = True, takes_joined: bool = True) -> None:
        self.takes, self.takes_joined = takes, takes_joined
        self.packets: list[bytes] = []
        self.writes: list[int] = []

    def write(self, packet: bytes) -> bool:
        if self.takes:
            self.packets.append(packet)
            self.writes.append(1)
        return self.takes

    def write_segments(self, header: bytes, payloads: Sequence[bytes], ip_size: int) -> bool:
        if not self.takes_joined:
            return False
        made = cut(header, b"".join(payloads), len(payloads[0]), ip_size)
        assert len(made) == len(payloads) and sum(map(len, payloads)) + len(header) <= 65535
        self.packets += made
        self.writes.append(len(made))
        return True


def deliver(segments: Sequence[Segment], device: Device | None = None) -> Device:
    device = device or Device()
    joining = Joining(device)
    for segment in segments:
        assert joining.take(segment.octets) == 0
    assert joining.flush() == 0
    assert device.packets == [segment.octets for segment in segments]
    return device


def row(first: Segment, count: int, size: int | None = None) -> list[Segment]:
    segments = [first]
    for number in range(count - 1):
        segments.append(segments[-1].next(bytes([number & 255]) * (size or len(first.payload))))
    return segments


@EITHER
@pytest.mark.parametrize("size", [1, 999, 1000, 1386])
def test_segments_in_a_row_are_one_write(first, size):
    assert deliver(row(replace(first, payload=bytes([1]) * size), 20)).writes == [20]


@EITHER
@pytest.mark.parametrize("size", [1, 2, 999, 1000])
@pytest.mark.parametrize("flags", [0x10, 0x18])
def test_a_short_or_pushed_last_one_ends_it(first, size, flags):
    segments = row(first, 5)
    segments.append(segments[-1].next(bytes([9]) * size, flags=flags))
    after = segments[-1].next(bytes(1000), flags=0x10)
    ends = size < 1000 or flags == 0x18
    assert deliver([*segments, after]).writes == ([6, 1] if ends else [7])


@EITHER
def test_no_joined_packet_has_more_than_an_ip_packet_can(first):
    writes = deliver(row(replace(first, payload=bytes(1400)), 100)).writes
    assert sum(writes) == 100 and max(writes) in (45, 46)


CHANGES = {
    "another acknowledgement": {"acknowledged": 78}, "another window": {"window": 501}, "FIN": {"flags": 0x11},
    "RST": {"flags": 0x14}, "SYN": {"flags": 0x12}, "URG": {"flags": 0x30, "urgent": 3}, "CWR": {"flags": 0x90},
    "ECE": {"flags": 0x50}, "no ACK": {"flags": 0}, "another time stamp": {"options": b"\1\1\x08\x0a\0\0\0\2\0\0\0\2"},
    "no options": {"options": b""}, "CE": {"traffic_class": 3}, "another DSCP": {"traffic_class": 40},
    "another TTL": {"ttl": 63}, "a gap": {"sequence": 2001}, "a repetition": {"sequence": 1000},
    "longer": {"payload": bytes(1001)}, "no payload": {"payload": b""}, "another port": {"ports": (40001, 5201)},
    "another source": {"source": "10.1.0.3"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("first", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_what_differs_is_not_joined(first, change):
    if "source" in change and first is SIX:
        change = {"source": "2001:db8:1::3"}
    assert deliver([first, replace(first.next(bytes(1000)), **change)]).writes == [1, 1]


@pytest.mark.parametrize("changes", [{"flags": 0x18}, {"flags": 0x90}, {"flags": 0x11}, {"fragment": 0x2000},
                                     {"fragment": 0x00B9}, {"fragment": 0x4001}, {"payload": b""}])
def test_what_may_not_lead_is_written_alone(changes):
    first = replace(FOUR, **changes)
    assert deliver([first, first.next(bytes(1000), flags=0x10, fragment=0x4000)]).writes == [1, 1]


def test_without_df_identifications_follow_each_other():
    first = replace(FOUR, fragment=0)
    assert deliver(row(first, 3)).writes == [3]
    assert deliver([first, first.next(bytes(1000), identification=9)]).writes == [1, 1]
    wraps = replace(first, identification=0xFFFF)
    assert deliver([wraps, wraps.next(bytes(1000))]).writes == [1, 1]


def test_with_df_identifications_mean_nothing():
    device = Device()
    joining = Joining(device)
    for segment in (FOUR, FOUR.next(bytes(1000), identification=0)):
        joining.take(segment.octets)
    joining.flush()
    assert device.writes == [2] and len(device.packets) == 2


@EITHER
def test_where_the_sequence_number_wraps_a_new_one_begins(first):
    assert deliver(row(replace(first, sequence=(1 << 32) - 2000), 5)).writes == [2, 3]


@EITHER
@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_wrong_checksum_is_left_for_its_receiver_to_find(first, place, odd):
    segments = row(replace(first, payload=bytes(1000 + odd)), 5)
    segments[place] = replace(segments[place], wrong=1)
    assert deliver(segments).writes == [1] * 5


@EITHER
def test_flows_that_alternate_are_joined_each(first):
    other = replace(first, ports=(40001, 5201))
    device = Device()
    joining = Joining(device)
    for one, two in zip(row(first, 4), row(other, 4), strict=True):
        joining.take(one.octets)
        joining.take(two.octets)
    joining.flush()
    assert device.writes == [4, 4]


@EITHER
def test_a_flow_keeps_its_order_and_other_packets_do_not_wait(first):
    device = Device()
    joining = Joining(device)
    ping = bytes.fromhex("450000" "1c00010000" "4001" "0000" "0a0100020a020002" "0800f7ff00000000")
    fin = first.next(b"", flags=0x11)
    for packet in (first.octets, ping, fin.octets):
        joining.take(packet)
    assert device.packets == [ping, first.octets, fin.octets]


def test_what_the_device_does_not_take_is_told():
    device = Device(takes=False, takes_joined=False)
    joining = Joining(device)
    assert joining.take(replace(FOUR, payload=b"").octets) == 1
    for segment in row(FOUR, 3):
        assert joining.take(segment.octets) == 0
    assert joining.flush() == 3


def test_where_the_kernel_takes_none_joined_each_goes_alone():
    assert deliver(row(FOUR, 3), Device(takes_joined=False)).writes == [1] * 3


@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 1400))
def test_whatever_arrives_comes_apart_into_what_it_was(seed, six, size):
    """Two flows, whose packets now and then differ, are lost or come again."""
    chance = random.Random(seed)
    flows = [replace(SIX if six else FOUR, payload=chance.randbytes(size), ports=(port, 80),
                     fragment=chance.choice((0, 0x4000)), sequence=chance.randrange(1 << 32)) for port in (1, 2)]
    device, arrived = Device(), []
    joining = Joining(device)
    for _ in range(60):
        number = chance.randrange(2)
        segment = flows[number]
        if chance.random() < 0.1:
            segment = replace(segment, **chance.choice(list(CHANGES.values())[:14]))
        if chance.random() < 0.1:
            segment = replace(segment, payload=chance.randbytes(chance.randrange(size + 2)),
                              flags=chance.choice((0x10, 0x18)))
        if chance.random() < 0.05:
            segment = replace(segment, wrong=chance.randrange(1, 0xFFFF))
        arrived.append(segment)
        joining.take(segment.octets)
        flows[number] = replace(flows[number], payload=chance.randbytes(size),
                                sequence=segment.next(b"").sequence, identification=segment.next(b"").identification)
        if chance.random() < 0.05:
            joining.flush()
    joining.flush()
    for flow in flows:
        assert ([packet for packet in device.packets if _port(packet, six) == flow.ports[0]]
                == [segment.octets for segment in arrived if segment.ports == flow.ports])


def _port(packet: bytes, six: bool) -> int:
    start = 40 if six else 20
    return int.from_bytes(packet[start : start + 2], "big")
