# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outer path to a peer carries now, as the kernel has learnt it, and word of when that changes.

The kernel believes an ICMP error only where it quotes what this host sent, and keeps what it says for its route to that
address. So an error that arrives is only a reason to ask the kernel again.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from ..vpn.selectors import Address
from .links import KERNEL_ROUTES, Links
from .netlink import NETLINK_ROUTE, NetlinkEvents
from .xfrm.sockets import bypass_socket

#: linux/in.h, linux/in6.h, asm-generic/socket.h, linux/icmpv6.h; absent from the socket module.
_IP_MTU, _IPV6_MTU = 14, 24
_SO_ATTACH_FILTER = 26
_ICMP6_FILTER = 1
_ICMP6_PACKET_TOO_BIG = 2
#: linux/rtnetlink.h, linux/if_link.h.
_RTNLGRP_LINK, _RTM_NEWLINK, _IFLA_MTU = 1, 16, 4
#: Any but 0: nothing is sent there.
_PORT = 4500
#: Seconds from an error to the question, in which the kernel takes note of it and others of the same kind come.
_DELAY = 0.05
_READ_SIZE = 256
_ERRORS_AT_ONCE = 64
#: Of ICMP, only type 3 (unreachable) with code 4 (too big) is worth waking for.
_TOO_BIG = ((0xB1, 0, 0, 0),  # x = size of the IP header
            (0x48, 0, 0, 0),  # a = type and code
            (0x15, 0, 1, 0x0304), (0x06, 0, 0, _READ_SIZE), (0x06, 0, 0, 0))


def path_mtu(local: Address, remote: Address) -> int | None:
    """Octets of the largest packet from one address to the other; None where no route leads there."""
    four = remote.version == 4
    with socket.socket(socket.AF_INET if four else socket.AF_INET6, socket.SOCK_DGRAM) as trial:
        with suppress(OSError):  # without XFRM there is nothing to pass by
            bypass_socket(trial)
        try:
            trial.bind((str(local), 0))
            trial.connect((str(remote), _PORT))
            return (trial.getsockopt(socket.IPPROTO_IP, _IP_MTU) if four
                    else trial.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU))
        except OSError:
            return None


class PathMtuWatch:
    """Tells of the addresses to which a path may have become narrower, all that came up together at once since anybody
    can forge errors by the thousand, and of None where any may, since a link of this host has another MTU. Of the
    former it needs CAP_NET_RAW; without it tells nothing."""

    def __init__(self, add_reader: Callable[[int, Callable[[], None]], object],
                 remove_reader: Callable[[int], object], call_later: Callable[[float, Callable[[], None]], object],
                 on_change: Callable[[Collection[Address] | None], None]) -> None:
        """The first three are the event loop's. Raises NetlinkError."""
        self._remove_reader, self._call_later, self._on_change = remove_reader, call_later, on_change
        self._waiting: set[Address] = set()
        self._any, self._due = False, False
        self._sockets: list[socket.socket] = []
        self._closed = False
        for open_one, addressee in ((_icmp, _addressee_of_ipv4), (_icmpv6, _addressee_of_ipv6)):
            with suppress(OSError):
                opened = open_one()
                self._sockets.append(opened)
                add_reader(opened.fileno(), partial(self._read, opened, addressee))
        self._links = NetlinkEvents(NETLINK_ROUTE, (_RTNLGRP_LINK,), _link)
        self._mtus = _mtus()
        add_reader(self._links.fileno(), self._read_links)

    def close(self) -> None:
        for opened in self._sockets:
            self._remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()
        self._remove_reader(self._links.fileno())
        self._links.close()
        self._closed = True

    def _read(self, opened: socket.socket, addressee: Callable[[bytes], Address | None]) -> None:
        for _error in range(_ERRORS_AT_ONCE):
            try:
                packet = opened.recv(_READ_SIZE)
            except OSError:
                return
            remote = addressee(packet)
            if remote is not None:
                self._wait(remote)

    def _read_links(self) -> None:
        overruns = self._links.overruns
        for _kind, (index, mtu) in self._links.read():
            if self._mtus.get(index) != mtu:
                self._wait(None)
            self._mtus[index] = mtu
        if self._links.overruns != overruns:
            self._wait(None)

    def _wait(self, remote: Address | None) -> None:
        if remote is None:
            self._any = True
        else:
            self._waiting.add(remote)
        if not self._due:
            self._due = True
            self._call_later(_DELAY, self._tell)

    def _tell(self) -> None:
        remotes = None if self._any else self._waiting
        self._waiting, self._any, self._due = set(), False, False
        if not self._closed:
            self._on_change(remotes)


def _mtus() -> dict[int, int]:
    """Of every link of this host, by its index. Raises NetlinkError."""
    links = Links(KERNEL_ROUTES)
    try:
        return {each.index: each.mtu for each in links.listed()}
    finally:
        links.close()


def _link(kind: int, octets: bytes) -> tuple[int, int] | None:
    """A device's index and its MTU (struct ifinfomsg, IFLA_MTU)."""
    attributes = octets[32:]
    while kind == _RTM_NEWLINK and len(attributes) >= 4:
        length, attribute = struct.unpack_from("=HH", attributes)
        if attribute == _IFLA_MTU:
            return struct.unpack_from("=i", octets, 20)[0], struct.unpack_from("=I", attributes, 4)[0]
        attributes = attributes[max(4, length + 3 & ~3):]
    return None


def _icmp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                           socket.IPPROTO_ICMP)
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _TOO_BIG))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                      struct.pack("@HP", len(_TOO_BIG), ctypes.addressof(program)))
    return opened


def _icmpv6() -> socket.socket:
    opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                           socket.IPPROTO_ICMPV6)
    blocked = [0xFFFFFFFF] * 8
    blocked[0] &= ~(1 << _ICMP6_PACKET_TOO_BIG)
    opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    return opened


def _addressee_of_ipv4(packet: bytes) -> Address | None:
    """Where the packet that an ICMP error quotes was sent (RFC 792)."""
    quoted = (packet[0] & 15) * 4 + 8 if packet else 0
    destination = packet[quoted + 16:quoted + 20]
    return IPv4Address(destination) if len(destination) == 4 else None


def _addressee_of_ipv6(packet: bytes) -> Address | None:
    """The same with ICMPv6, which comes without the header in front (RFC 4443 §3.2)."""
    destination = packet[8 + 24:8 + 40]
    return IPv6Address(destination) if len(destination) == 16 else None
