# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's sockets on loopback: what a peer at the other end of a UDP path sees."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.daemon import udp_offload
from ikeengine.daemon.udp import PortTaken, UdpSockets
from ikeengine.security_association import Datagram, SocketAddress


def _free_ports() -> tuple[int, int]:
    """Two UDP ports that nobody has in either family."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET6,
                                                                                 socket.SOCK_DGRAM) as two:
        one.bind(("::", 0))
        two.bind(("::", 0))
        return one.getsockname()[1], two.getsockname()[1]


class Heard:
    """A receiver that notes what it hears."""

    def __init__(self) -> None:
        self.ike: list[Datagram] = []
        self.esp: list[tuple[bytes, SocketAddress, SocketAddress]] = []
        self.ecn: list[int] = []
        self.batches: list[int] = []  # how many IKE messages there had been when each ended
        self.failures: list[tuple[SocketAddress, OSError]] = []
        self.batch = asyncio.Event()

    def receive_ike(self, datagram: Datagram) -> None:
        self.ike.append(datagram)

    def receive_esp(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        self.esp += [(packet, local, remote) for packet in packets]
        self.ecn += [ecn] * len(packets)

    def batch_received(self) -> None:
        self.batches.append(len(self.ike))
        self.batch.set()

    def send_failed(self, remote: SocketAddress, error: OSError) -> None:
        self.failures.append((remote, error))

    async def next_batch(self) -> None:
        await asyncio.wait_for(self.batch.wait(), 5)
        self.batch.clear()


@asynccontextmanager
async def _daemon() -> AsyncIterator[tuple[UdpSockets, Heard, tuple[int, int]]]:
    ports = _free_ports()
    sockets, heard, loop = UdpSockets(ports), Heard(), asyncio.get_running_loop()
    sockets.open()
    sockets.attach(loop, heard)
    try:
        yield sockets, heard, ports
    finally:
        sockets.detach(loop)
        sockets.close()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.7", 0))
        sock.settimeout(5)
        yield sock


def _run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_an_answer_leaves_from_the_address_that_was_asked(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            peer.sendto(b"question", ("127.0.0.5", ports[0]))
            await heard.next_batch()
            question = heard.ike[0]
            assert question == Datagram(SocketAddress(ip_address("127.0.0.5"), ports[0]),
                                        SocketAddress(ip_address("127.0.0.7"), peer.getsockname()[1]), b"question")
            sockets.send_ike(Datagram(question.local, question.remote, b"answer"))
            assert peer.recvfrom(100) == (b"answer", ("127.0.0.5", ports[0]))

    _run(test)


def test_ipv6_knows_its_local_address_too() -> None:
    async def test() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
            peer.bind(("::1", 0))
            peer.settimeout(5)
            async with _daemon() as (sockets, heard, ports):
                peer.sendto(b"question", ("::1", ports[0]))
                await heard.next_batch()
                assert str(heard.ike[0].local) == f"[::1]:{ports[0]}"
                sockets.send_ike(Datagram(heard.ike[0].local, heard.ike[0].remote, b"answer"))
                assert peer.recvfrom(100)[0] == b"answer"

    _run(test)


def test_the_nat_traversal_port_sorts_ike_esp_and_keep_alives(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            for data in (bytes(4) + b"ike", b"\xc0\xff\xee\x01esp", b"\xff", b"abc"):
                peer.sendto(data, ("127.0.0.1", ports[1]))
            while len(heard.ike) + len(heard.esp) + sockets.counters.malformed < 3:
                await heard.next_batch()
            assert [datagram.data for datagram in heard.ike] == [b"ike"]
            assert [data for data, _, _ in heard.esp] == [b"\xc0\xff\xee\x01esp"]
            assert sockets.counters.malformed == 1  # three octets are neither; the keep-alive is no error

    _run(test)


@pytest.mark.parametrize("can_segment", [True, False])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_esp_leaves_packet_by_packet_whatever_the_kernel_can(address: str, can_segment: bool) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, _, ports):
            sockets._can_segment &= can_segment
            packets = [bytes([number + 1]) * size for number, size in enumerate([1200] * 70 + [900, 80, 80, 40, 80])]
            local = SocketAddress(ip_address(address), ports[1])
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as peer:
                peer.bind((address, 0))
                peer.settimeout(5)
                sockets.send_esp(packets, local, SocketAddress(local.address, peer.getsockname()[1]))
                assert [peer.recv(2000) for _ in packets] == packets

    _run(test)


def test_a_batch_that_the_kernel_cannot_cut_for_its_path_leaves_singly(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, _, ports):
            packets = [bytes(32000), bytes(32000)]
            sockets._sockets[4, ports[1]].setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: then it refuses to cut
            sockets.send_esp(packets, SocketAddress(ip_address("127.0.0.1"), ports[1]),
                             SocketAddress(ip_address("127.0.0.7"), peer.getsockname()[1]))
            assert [len(peer.recv(65535)) for _ in packets] == [32000, 32000]
            assert sockets.counters.send_failed == 0

    _run(test)


@pytest.mark.parametrize("family", [4, 6])
def test_dscp_and_ecn_leave_and_ecn_is_heard(family: int) -> None:
    """The daemon's own datagrams back to itself, each row with marks of its own."""
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            here = SocketAddress(ip_address("127.0.0.1" if family == 4 else "::1"), ports[1])
            level, option, kind = ((socket.IPPROTO_IP, 13, socket.IP_TOS) if family == 4
                                   else (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS))
            with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as peer:
                peer.setsockopt(level, option, 1)
                peer.bind((str(here.address), 0))
                peer.settimeout(5)
                sockets.send_esp([b"packet"], here, SocketAddress(here.address, peer.getsockname()[1]), 0xBA)
                data, ancillary, _, _ = peer.recvmsg(100, 100)
            assert data == b"packet" and [value[0] for _, of, value in ancillary if of == kind] == [0xBA]
            for traffic_class in (0xB8, 0x01, 0xBB, 0x02):
                sockets.send_esp([b"packet", b"packet"], here, here, traffic_class)
            while len(heard.esp) < 8:
                await heard.next_batch()
            assert heard.ecn == [0, 0, 1, 1, 3, 3, 2, 2]

    _run(test)


def test_what_the_kernel_hands_over_in_a_row_is_cut_and_sorted(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            for _, port, sock in sockets.sockets():
                if port == ports[1]:
                    udp_offload.set_receive_offload(sock, True)
            esp = [bytes([number + 1]) * 104 for number in range(20)]
            ike = bytes(4) + b"i" * 100
            rows = [*esp[:10], ike, *esp[10:], b"\xff"]
            [(_, ancillary)] = udp_offload.runs(rows)
            peer.sendmsg(rows, ancillary, 0, ("127.0.0.1", ports[1]))
            while len(heard.esp) < 20:
                await heard.next_batch()
            assert [data for data, _, _ in heard.esp] == esp and [one.data for one in heard.ike] == [b"i" * 100]
            assert sockets.counters.received == 22 and sockets.counters.malformed == 0

    _run(test)


def test_ike_messages_that_the_kernel_hands_over_in_a_row_are_heard_a_part_at_a_time(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            for _, port, sock in sockets.sockets():
                if port == ports[1]:
                    udp_offload.set_receive_offload(sock, True)
            rows = [bytes(4) + bytes([number]) * 100 for number in range(60)]
            [(_, ancillary)] = udp_offload.runs(rows)
            peer.sendmsg(rows, ancillary, 0, ("127.0.0.1", ports[1]))
            while len(heard.ike) < 60:
                await heard.next_batch()
            assert [datagram.data for datagram in heard.ike] == [row[4:] for row in rows]
            assert heard.batches == [*range(8, 60, 8), 60]

    _run(test)


@given(st.lists(st.integers(1, 40).map(lambda size: size * 900), max_size=200))
def test_what_goes_together_is_of_one_size_but_the_last_and_fits(sizes: list[int]) -> None:
    packets = [bytes([number & 255]) * size for number, size in enumerate(sizes)]
    runs = list(udp_offload.runs(packets))
    assert [packet for run, _ in runs for packet in run] == packets
    for run, ancillary in runs:
        assert len(run) <= 64 and (len(run) == 1 or sum(map(len, run)) <= 65507)
        assert {len(packet) for packet in run[:-1]} <= {len(run[0])} and len(run[-1]) <= len(run[0])
        assert ancillary == (() if len(run) == 1 else ((17, 103, len(run[0]).to_bytes(2, sys.byteorder)),))


def test_ike_leaves_the_nat_traversal_port_with_its_marker_and_keep_alives_without(peer: socket.socket) -> None:
    async def test() -> None:
        async with _daemon() as (sockets, _, ports):
            local = SocketAddress(ip_address("127.0.0.1"), ports[1])
            remote = SocketAddress(ip_address("127.0.0.7"), peer.getsockname()[1])
            sockets.send_ike(Datagram(local, remote, b"message"))
            sockets.send_ike(Datagram(local, remote, b"\xff"))
            assert peer.recv(100) == b"\0\0\0\0message"
            assert peer.recv(100) == b"\xff"

    _run(test)


def test_a_datagram_that_cannot_leave_is_counted_and_told() -> None:
    async def test() -> None:
        async with _daemon() as (sockets, heard, ports):
            elsewhere = SocketAddress(ip_address("203.0.113.77"), ports[0])  # not an address of this host
            refused = sockets.send_ike(Datagram(elsewhere, SocketAddress(ip_address("127.0.0.1"), 9), b"message"))
            assert refused is not None and refused is heard.failures[0][1]
            assert sockets.counters.send_failed == 1 and heard.failures[0][0].port == 9

    _run(test)


def test_a_taken_port_names_its_holder() -> None:
    ports = _free_ports()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", ports[1]))
        with pytest.raises(PortTaken, match=rf"UDP port {ports[1]} is taken by .+ \(pid {os.getpid()}\)"):
            UdpSockets(ports).open()
    UdpSockets(ports).open()  # the failure has let go of the other port
