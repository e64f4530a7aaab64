# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inner packets on their way to the host: TCP segments that follow each other go to the device as one.

The host's stack then has the work of one packet with dozens, as a network card's receive offload spares it (GRO). What
is joined is what Linux joins, and comes apart again into the very packets that arrived, should the host forward them:
segments of one flow in a row, whose headers differ in nothing but length, identification, sequence number and
checksum. All are of one size but the last, which may be shorter and may have PSH.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

_TCP = 6
_ACK, _PSH, _ECE = 0x10, 0x08, 0x40
_LARGEST = 65535  # octets of a joined packet
_MOST_SEGMENTS = 512  # each is a buffer of a system call that takes 1024
_WHOLE = (b"\0\0", b"\x40\0")  # flags and offset of what is no fragment, without and with DF
_IP_SIZE = {4: 20, 6: 40}
_OCTETS = int.from_bytes


class JoinedWriter(Protocol):
    """What a TUN device with offloads takes."""

    def write(self, packet: bytes) -> bool:
        """False where the kernel would not take it."""

    def write_segments(self, header: bytes, payloads: Sequence[bytes], ip_size: int) -> bool:
        """TCP segments as one; ``header`` has their sum of length and a checksum of the pseudo header alone."""


class Delivery(Protocol):
    """Takes inner packets, each exactly one; both methods return how many did not reach the host."""

    def take(self, packet: bytes) -> int: ...

    def flush(self) -> int:
        """Nothing more for now: what was held back goes on."""


class Singly:
    """Delivers each packet as it comes, for devices without offloads."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[bytes], bool]) -> None:
        self._write = write

    def take(self, packet: bytes) -> int:
        return 0 if self._write(packet) else 1

    def flush(self) -> int:
        return 0


class _Train:
    """Segments of one flow that arrived in a row."""

    __slots__ = ("due", "header_size", "ip_size", "mask", "packets", "room", "size", "step", "total")

    def __init__(self, first: bytes, version: int, header_size: int) -> None:
        self.packets = [first]
        self.size = len(first)
        self.header_size = header_size
        self.ip_size = _IP_SIZE[version]
        payload = self.size - header_size
        self.room = min(_MOST_SEGMENTS, (_LARGEST - header_size) // payload) - 1  # for segments that follow
        self.mask, self.step = _mask_and_step(first, version, header_size, payload)
        self.due = (_OCTETS(first[:header_size], "big") & self.mask) + self.step

    def is_valid(self) -> bool:
        """Whether every segment's own checksum is right; joined, they get a new one, which would hide what is wrong.

        A packet's octets as one number are, modulo 65535, the sum of their words. That of a right segment with its
        pseudo header is 0 in ones' complement, and so is that of a right IPv4 header; so that of all of them is 0, too.
        One wrong segment is always found, several as surely as a checksum finds anything.
        """
        *whole, last = self.packets
        octets = sum(_OCTETS(packet, "big") for packet in whole) << 8 * (self.size & 1)
        octets += _OCTETS(last, "big") << 8 * (len(last) & 1)
        apart = len(whole) * _apart_from_octets(whole[0], self.ip_size) + _apart_from_octets(last, self.ip_size)
        return (octets + apart) % 0xFFFF == 0

    def header(self) -> bytes:
        """That of the joined packet."""
        first, last = self.packets[0], self.packets[-1]
        header, ip_size = bytearray(first[: self.header_size]), self.ip_size
        payloads = (len(self.packets) - 1) * (self.size - self.header_size) + len(last) - self.header_size
        length = self.header_size + payloads
        if ip_size == _IP_SIZE[4]:
            header[2:4] = length.to_bytes(2, "big")
            header[10:12] = bytes(2)
            header[10:12] = (0xFFFF - _OCTETS(header[:ip_size], "big") % 0xFFFF).to_bytes(2, "big")
        else:
            header[4:6] = (length - ip_size).to_bytes(2, "big")
        header[ip_size + 13] |= last[ip_size + 13] & _PSH
        pseudo = _pseudo_header(first, ip_size, length - ip_size) % 0xFFFF
        header[ip_size + 16 : ip_size + 18] = pseudo.to_bytes(2, "big")
        return bytes(header)


class Joining:
    """Joins what may be joined until ``flush``. Packets of one flow keep their order."""

    __slots__ = ("_device", "_trains")

    def __init__(self, device: JoinedWriter) -> None:
        self._device = device
        self._trains: dict[bytes, _Train] = {}

    def take(self, packet: bytes) -> int:
        # Addresses and ports. Of what is no TCP other octets stand there, and then no train fits.
        flow = packet[12:24] if packet[0] < 0x60 else packet[8:44]
        train = self._trains.get(flow)
        if train is None:
            return self._begin(flow, packet)
        if (len(packet) == train.size and _OCTETS(packet[: train.header_size], "big") & train.mask == train.due
                and train.room):
            train.packets.append(packet)
            train.due += train.step
            train.room -= 1
            return 0
        del self._trains[flow]
        if _ends(train, packet):
            train.packets.append(packet)
            return self._write(train)
        return self._write(train) + self._begin(flow, packet)

    def flush(self) -> int:
        lost = 0
        for train in self._trains.values():
            lost += self._write(train)
        self._trains.clear()
        return lost

    def _begin(self, flow: bytes, packet: bytes) -> int:
        version, header_size = _leading(packet)
        if header_size:
            self._trains[flow] = _Train(packet, version, header_size)
            return 0
        return 0 if self._device.write(packet) else 1

    def _write(self, train: _Train) -> int:
        packets, start = train.packets, train.header_size
        if (len(packets) > 1 and train.is_valid()
                and self._device.write_segments(train.header(), [packet[start:] for packet in packets], train.ip_size)):
            return 0
        write = self._device.write
        return sum(not write(packet) for packet in packets)


def _leading(packet: bytes) -> tuple[int, int]:
    """The IP version and the octets of all headers of a segment that others may be joined to; 0 where none may."""
    if packet[0] == 0x45:  # no options
        version, ip_size, joinable = 4, 20, packet[9] == _TCP and packet[6:8] in _WHOLE
    else:
        version, ip_size, joinable = 6, 40, packet[0] >> 4 == 6 and packet[6] == _TCP
    if not joinable or len(packet) < ip_size + 20:
        return version, 0
    header_size = ip_size + (packet[ip_size + 12] >> 4) * 4
    if packet[ip_size + 13] & ~_ECE != _ACK or not ip_size + 20 <= header_size < len(packet):
        return version, 0
    return version, header_size


def _ends(train: _Train, packet: bytes) -> bool:
    """Whether the packet is the train's last: a shorter one, or one that has PSH."""
    ip_size, start = train.ip_size, train.header_size
    if not train.room or not start < len(packet) <= train.size:
        return False
    header = bytearray(packet[:start])
    header[ip_size + 13] &= ~_PSH
    if ip_size == _IP_SIZE[4]:
        header[2:4] = train.size.to_bytes(2, "big")
    else:
        header[4:6] = (train.size - ip_size).to_bytes(2, "big")
    return _OCTETS(header, "big") & train.mask == train.due


def _mask_and_step(packet: bytes, version: int, header_size: int, payload: int) -> tuple[int, int]:
    """What of the headers, as a number, must be as expected, and by how much that grows from one to the next.

    Where the sequence number, or the identification, would wrap, the carry makes the expected value one that nothing
    is equal to.
    """
    ip_size = _IP_SIZE[version]
    mask = bytearray(b"\xff" * header_size)
    mask[ip_size + 16 : ip_size + 18] = bytes(2)
    step = payload << 8 * (header_size - ip_size - 8)
    if version == 4:
        mask[10:12] = bytes(2)
        if packet[6] & 0x40:  # with DF an identification means nothing (RFC 6864 §4)
            mask[4:6] = bytes(2)
        else:
            step += 1 << 8 * (header_size - 6)
    return _OCTETS(mask, "big"), step


def _pseudo_header(packet: bytes, ip_size: int, length: int) -> int:
    """The sum of TCP's pseudo header (RFC 9293 §3.1), not reduced; ``length`` is of header and payload."""
    addresses = packet[12:20] if ip_size == _IP_SIZE[4] else packet[8:40]
    return _OCTETS(addresses, "big") + _TCP + length


def _apart_from_octets(packet: bytes, ip_size: int) -> int:
    """What the checksum covers beside the packet's octets; of these it leaves out the header of IPv6."""
    pseudo = _pseudo_header(packet, ip_size, len(packet) - ip_size)
    if ip_size == _IP_SIZE[4]:
        return pseudo
    return pseudo + (0xFFFF - _OCTETS(packet[:ip_size], "big") % 0xFFFF)
