# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inner TCP packets made, cut and checked word by word, as RFC 9293 and RFC 1071 say it, by no code of the daemon."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, replace


def ones_complement_sum(octets: bytes) -> int:
    """The 16-bit sum of RFC 1071, carries folded in."""
    padded = octets + b"\0" * (len(octets) % 2)
    total = 0
    for (word,) in struct.iter_unpack("!H", padded):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Segment:
    """One TCP segment in IPv4 or IPv6; its octets have right checksums, but for ``wrong`` added to TCP's."""

    payload: bytes
    sequence: int = 1000
    source: str = "10.1.0.2"
    destination: str = "10.2.0.2"
    ports: tuple[int, int] = (40000, 5201)
    acknowledged: int = 77
    flags: int = 0x10
    window: int = 500
    urgent: int = 0
    options: bytes = b"\1\1\x08\x0a\0\0\0\1\0\0\0\2"
    identification: int = 7
    fragment: int = 0x4000
    traffic_class: int = 0
    ttl: int = 64
    wrong: int = 0

    def next(self, payload: bytes, **changes: object) -> Segment:
        """The one after it in the same flow."""
        after = replace(self, payload=payload, sequence=self.sequence + len(self.payload) & 0xFFFFFFFF,
                        identification=self.identification + 1 & 0xFFFF)
        return replace(after, **changes)

    @property
    def octets(self) -> bytes:
        source, destination = ipaddress.ip_address(self.source), ipaddress.ip_address(self.destination)
        tcp = self._tcp(0)
        pseudo = source.packed + destination.packed + struct.pack("!II", len(tcp), 6)
        tcp = self._tcp((0xFFFF - ones_complement_sum(pseudo + tcp) + self.wrong) & 0xFFFF)
        if source.version == 6:
            return struct.pack("!IHBB", 6 << 28 | self.traffic_class << 20, len(tcp), 6, self.ttl
                               ) + source.packed + destination.packed + tcp
        header = self._ipv4(20 + len(tcp), 0, source, destination)
        return self._ipv4(20 + len(tcp), 0xFFFF - ones_complement_sum(header), source, destination) + tcp

    def _tcp(self, checksum: int) -> bytes:
        size = 20 + len(self.options)
        return struct.pack("!HHIIBBHHH", *self.ports, self.sequence, self.acknowledged, size // 4 << 4, self.flags,
                           self.window, checksum, self.urgent) + self.options + self.payload

    def _ipv4(self, length: int, checksum: int, source: ipaddress.IPv4Address,
              destination: ipaddress.IPv4Address) -> bytes:
        return struct.pack("!BBHHHBBH", 0x45, self.traffic_class, length, self.identification, self.fragment, self.ttl,
                           6, checksum) + source.packed + destination.packed


def cut(header: bytes, payloads: bytes, size: int, ip_size: int) -> list[bytes]:
    """What the kernel makes of a joined packet: segments of ``size`` octets, PSH on the last, identifications in a row.

    Asserts what the kernel relies on: the lengths, the header's checksum and the pseudo header's sum.
    """
    length = len(header) + len(payloads)
    addresses = header[12:20] if ip_size == 20 else header[8:40]
    if ip_size == 20:
        assert int.from_bytes(header[2:4], "big") == length and ones_complement_sum(header[:20]) == 0xFFFF
    else:
        assert int.from_bytes(header[4:6], "big") == length - 40
    pseudo = ones_complement_sum(addresses + struct.pack("!II", length - ip_size, 6))
    assert (int.from_bytes(header[ip_size + 16 : ip_size + 18], "big") - pseudo) % 0xFFFF == 0
    made = []
    for number, start in enumerate(range(0, len(payloads), size)):
        payload = payloads[start : start + size]
        tcp = bytearray(header[ip_size:] + payload)
        tcp[4:8] = (int.from_bytes(tcp[4:8], "big") + start & 0xFFFFFFFF).to_bytes(4, "big")
        if start + size < len(payloads):
            tcp[13] &= ~0x08
        tcp[16:18] = bytes(2)
        tcp[16:18] = (0xFFFF - ones_complement_sum(addresses + struct.pack("!II", len(tcp), 6) + tcp)
                      ).to_bytes(2, "big")
        ip = bytearray(header[:ip_size])
        if ip_size == 20:
            ip[2:4] = (20 + len(tcp)).to_bytes(2, "big")
            ip[4:6] = (int.from_bytes(ip[4:6], "big") + number & 0xFFFF).to_bytes(2, "big")
            ip[10:12] = bytes(2)
            ip[10:12] = (0xFFFF - ones_complement_sum(ip)).to_bytes(2, "big")
        else:
            ip[4:6] = len(tcp).to_bytes(2, "big")
        made.append(bytes(ip + tcp))
    return made
