# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many UDP datagrams in one system call, where the kernel has it (udp(7): UDP_SEGMENT, UDP_GRO)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

Ancillary = tuple[int, int, bytes]

#: linux/udp.h; absent from the socket module.
_UDP_SEGMENT, _UDP_GRO = 103, 104
_SEGMENT_SIZE = struct.Struct("=H")
_RECEIVED_SIZE = struct.Struct("=i")
#: What the kernel takes at once: UDP_MAX_SEGMENTS of the older ones, and what an IPv4 packet has room for.
_MOST_DATAGRAMS, _MOST_OCTETS = 64, 65507


def can_segment(sock: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT (4.18): an older one would send all as a single datagram."""
    try:
        sock.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True


def set_receive_offload(sock: socket.socket, wanted: bool) -> None:
    """Let the kernel (5.0) hand over datagrams of one sender and size in a row. Others do without."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, int(wanted))
    except OSError:
        return


def runs(datagrams: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], tuple[Ancillary, ...]]]:
    """What one call can send each, with its ancillary data: datagrams of one size, of which the last may be shorter."""
    start, count = 0, len(datagrams)
    while start < count:
        size = len(datagrams[start])
        limit = min(count, start + min(_MOST_DATAGRAMS, max(1, _MOST_OCTETS // max(size, 1))))
        end = start + 1
        while end < limit and len(datagrams[end]) == size:
            end += 1
        if end < limit and len(datagrams[end]) < size:
            end += 1
        if end == start + 1:
            yield datagrams[start:end], ()
        else:
            yield datagrams[start:end], ((socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size)),)
        start = end


def cut(data: bytes, ancillary: Sequence[Ancillary]) -> list[bytes]:
    """The datagrams that one call received."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_UDP and kind == _UDP_GRO:
            (size,) = _RECEIVED_SIZE.unpack(value)
            if 0 < size < len(data):
                return [data[start : start + size] for start in range(0, len(data), size)]
    return [data]
