# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's UDP sockets: ports 500 and 4500 of both address families.

The sockets are bound to the wildcard and carry packet information (RFC 3542 §6; IP_PKTINFO for IPv4), so that every
datagram knows the local address that it was sent to, and an answer leaves from that address.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from itertools import islice
from typing import Protocol

from ..security_association import Datagram, SocketAddress
from ..vpn.selectors import Address
from . import udp_offload

IKE_PORT = 500
NAT_TRAVERSAL_PORT = 4500
NON_ESP_MARKER = bytes(4)  # RFC 3948 §2.2
KEEP_ALIVE = b"\xff"  # RFC 3948 §2.3
_LARGEST = 65535
_IP_PKTINFO = 8  # absent from the socket module of Python 3.11
_IN_PKTINFO = struct.Struct("=i4s4s")  # struct in_pktinfo: ifindex, spec_dst, addr
_IN6_PKTINFO = struct.Struct("=16si")  # struct in6_pktinfo: addr, ifindex
_ECN = 0x03  # in the traffic class (RFC 3168 §5)
_INT = struct.Struct("=i")
_IP_RECVTOS = 13  # likewise
_SO_SNDBUFFORCE = 32  # absent from the socket module
_SO_RCVBUFFORCE = 33  # absent from the socket module
_RECEIVE_BUFFER = 1 << 20  # octets: most of a thousand datagrams, that come while another process has the CPU
#: Datagrams, and IKE messages among them, taken from one socket before all else gets its turn: a message may cost a
#: millisecond.
_BOUND, _MESSAGES = 128, 8
_SEND_BUFFER = 1 << 20  # octets: some batches of ESP that a network card has not sent yet
_ANCILLARY_SIZE = 128
#: What a kernel says that cannot cut what it is given for that path: a smaller MTU, no checksums, another reason.
_NOT_AT_ONCE = (errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP)


class PortTaken(Exception):
    """Another process holds a port that IKE needs; the text names both."""


@dataclass
class UdpCounters:
    """Datagrams that arrived, those of them that reached no session or data plane, and those that could not leave."""

    received: int = 0
    malformed: int = 0
    send_failed: int = 0


class Receiver(Protocol):
    """Who hears what arrives."""

    def receive_ike(self, datagram: Datagram) -> None:
        """An IKE message, without marker."""

    def receive_esp(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        """ESP packets that came one way; ``ecn`` is that field of their IP headers (RFC 3168 §5)."""

    def batch_received(self) -> None:
        """No more for now: time to answer."""

    def send_failed(self, remote: SocketAddress, error: OSError) -> None: ...


class UdpSockets:
    """Owns the sockets; ``attach`` them to a Receiver to hear."""

    def __init__(self, ports: tuple[int, int] = (IKE_PORT, NAT_TRAVERSAL_PORT)) -> None:
        self.counters = UdpCounters()
        self._ports = ports
        self._sockets: dict[tuple[int, int], socket.socket] = {}
        self._receiver: Receiver | None = None
        self._can_segment = False
        self._messages: deque[Datagram] = deque()

    def open(self) -> None:
        """Bind all of them. Raises PortTaken, and OSError for what else can go wrong.

        A host without IPv6 gets the IPv4 ones only.
        """
        try:
            for port in self._ports:
                self._sockets[4, port] = _bound(socket.AF_INET, port)
                try:
                    self._sockets[6, port] = _bound(socket.AF_INET6, port)
                except OSError as error:
                    if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                        raise
        except BaseException:
            self.close()
            raise
        self._can_segment = udp_offload.can_segment(self._sockets[4, self._ports[0]])

    def sockets(self) -> list[tuple[int, int, socket.socket]]:
        """Address family's version (4 or 6), port and socket of each, for what a data plane must set on them."""
        return [(version, port, sock) for (version, port), sock in self._sockets.items()]

    @property
    def nat_traversal_port(self) -> int:
        return self._ports[1]

    def attach(self, loop: asyncio.AbstractEventLoop, receiver: Receiver) -> None:
        """Begin to hear."""
        self._receiver = receiver
        for (_family, port), sock in self._sockets.items():
            receive = self._receive_marked if port == self.nat_traversal_port else self._receive_plain
            loop.add_reader(sock, receive, receiver, sock, port)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear no more; what is still to be said can be sent until ``close``."""
        for sock in self._sockets.values():
            loop.remove_reader(sock)
        self._messages.clear()

    def send_ike(self, datagram: Datagram) -> OSError | None:
        """Send; on the NAT traversal port the marker goes in front, except of a keep-alive (RFC 3948 §2.3). Returns why
        it does not leave this host, if so."""
        marked = datagram.local.port == self.nat_traversal_port and datagram.data != KEEP_ALIVE
        return self.send(NON_ESP_MARKER + datagram.data if marked else datagram.data, datagram.local, datagram.remote)

    def send(self, data: bytes, local: SocketAddress, remote: SocketAddress, traffic_class: int = 0) -> OSError | None:
        """Send ``data`` as it is. A failure is counted, told and returned, and then the network's loss like any
        other."""
        sock = self._sockets.get((remote.address.version, local.port))
        try:
            if sock is None:
                raise OSError(errno.EAFNOSUPPORT, f"no socket for UDP port {local.port} of "
                                                  f"IPv{remote.address.version}")
            sock.sendmsg((data,), _source(local.address, traffic_class), 0, (str(remote.address), remote.port))
        except OSError as error:
            self.counters.send_failed += 1
            if self._receiver is not None:
                self._receiver.send_failed(remote, error)
            return error
        return None

    def send_esp(
        self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, traffic_class: int = 0
    ) -> None:
        """Send packets of one way in their order, in as few calls as the kernel can.

        ``traffic_class`` is the octet of DSCP and ECN that their IP headers get.
        """
        sock = self._sockets.get((remote.address.version, local.port))
        if sock is None or len(packets) == 1 or not self._can_segment:
            for packet in packets:
                self.send(packet, local, remote, traffic_class)
            return
        source, destination = _source(local.address, traffic_class), (str(remote.address), remote.port)
        for run, segmented in udp_offload.runs(packets):
            try:
                sock.sendmsg(run, (*source, *segmented), 0, destination)
            except OSError as error:
                if error.errno in _NOT_AT_ONCE:
                    for packet in run:
                        self.send(packet, local, remote, traffic_class)
                    continue
                self.counters.send_failed += len(run)
                if self._receiver is not None:
                    self._receiver.send_failed(remote, error)

    def _receive_plain(self, receiver: Receiver, sock: socket.socket, port: int) -> None:
        for arrived, local, remote, _ecn in islice(self._drain(sock, port), _MESSAGES):
            for data in arrived:
                receiver.receive_ike(Datagram(local, remote, data))
        receiver.batch_received()

    def _receive_marked(self, receiver: Receiver, sock: socket.socket, port: int) -> None:
        esp: list[bytes] = []
        way: tuple[SocketAddress, SocketAddress, int] | None = None
        for arrived, local, remote, ecn in self._drain(sock, port):
            if esp and way and way != (local, remote, ecn):
                receiver.receive_esp(esp, *way)
                esp = []
            way = local, remote, ecn
            for data in arrived:
                if data[:4] == NON_ESP_MARKER:
                    self._messages.append(Datagram(local, remote, data[4:]))
                elif len(data) > 4:
                    esp.append(data)
                elif data != KEEP_ALIVE:
                    self.counters.malformed += 1
            if len(self._messages) >= _MESSAGES:
                break
        if esp and way:
            receiver.receive_esp(esp, *way)
        self._hear_messages(receiver)

    def _hear_messages(self, receiver: Receiver) -> None:
        """Some of those that came; what the kernel hands over in a row may be more, which have to wait for a turn."""
        for _message in range(min(len(self._messages), _MESSAGES)):
            receiver.receive_ike(self._messages.popleft())
        receiver.batch_received()
        if self._messages:
            asyncio.get_running_loop().call_soon(self._hear_messages, receiver)

    def _drain(self, sock: socket.socket, port: int) -> Iterator[tuple[list[bytes], SocketAddress, SocketAddress, int]]:
        """What waits, up to a bound: datagrams that came in a row, their local and remote end, and ECN."""
        count = 0
        while count < _BOUND:
            try:
                data, ancillary, _flags, sender = sock.recvmsg(_LARGEST, _ANCILLARY_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier datagram, told here by Linux: not about a new one
                continue
            arrived = udp_offload.cut(data, ancillary)
            count += len(arrived)
            self.counters.received += len(arrived)
            local, ecn = _destination(ancillary)
            if local is None:
                self.counters.malformed += len(arrived)
                continue
            yield arrived, _socket_address(local, port), _socket_address(sender[0], sender[1]), ecn


def _bound(family: socket.AddressFamily, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with suppress(PermissionError):  # needs CAP_NET_ADMIN; with the usual size all works, too
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
            sock.bind(("", port))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            sock.bind(("::", port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            holder = _holder(port)
            raise PortTaken(f"UDP port {port} is taken{f' by {holder}' if holder else ''}: stop the other IKE daemon "
                            f"first (ss -lnup 'sport = :{port}' shows it)") from None
        if error.errno == errno.EACCES:
            raise PermissionError(error.errno, f"binding UDP port {port} needs the capability CAP_NET_BIND_SERVICE"
                                  ) from None
        raise
    return sock


def _destination(ancillary: Sequence[udp_offload.Ancillary]) -> tuple[bytes | None, int]:
    """The packed local address out of a datagram's packet information, and ECN."""
    local, ecn = None, 0
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP:
            if kind == _IP_PKTINFO:
                local = data[8:12]
            elif kind == socket.IP_TOS:
                ecn = data[0] & _ECN
        elif level == socket.IPPROTO_IPV6:
            if kind == socket.IPV6_PKTINFO:
                local = data[:16]
            elif kind == socket.IPV6_TCLASS:
                ecn = _INT.unpack(data)[0] & _ECN
    return local, ecn


@lru_cache(maxsize=4096)
def _socket_address(address: bytes | str, port: int) -> SocketAddress:
    if isinstance(address, str) and ":" not in address:
        address = socket.inet_aton(address)  # much sooner than the text is read by Python
    return SocketAddress(ip_address(address), port)


@lru_cache(maxsize=1024)
def _source(local: Address, traffic_class: int) -> tuple[udp_offload.Ancillary, ...]:
    """Ancillary data that makes a datagram leave from ``local``; the unspecified address leaves it to the kernel."""
    if isinstance(local, IPv4Address):
        information = (socket.IPPROTO_IP, _IP_PKTINFO, _IN_PKTINFO.pack(0, local.packed, bytes(4)))
        marked = (socket.IPPROTO_IP, socket.IP_TOS, _INT.pack(traffic_class))
    else:
        index = socket.if_nametoindex(local.scope_id) if local.scope_id else 0
        information = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IN6_PKTINFO.pack(local.packed, index))
        marked = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(traffic_class))
    return (information, marked) if traffic_class else (information,)


def _holder(port: int) -> str | None:
    """``charon (pid 321)``: who has bound the UDP port, as far as /proc lets us see."""
    inodes = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table, encoding="ascii") as rows:
                inodes |= {row.split()[9] for row in list(rows)[1:] if row.split()[1].endswith(f":{port:04X}")}
        except OSError:
            continue
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) not in wanted:
                continue
            pid = link.split("/")[2]
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
                return f"{name.read().strip()} (pid {pid})"
        except OSError:
            continue
    return None
