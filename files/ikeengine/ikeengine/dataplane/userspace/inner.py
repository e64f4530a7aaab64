# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of an inner IP packet as ESP needs to know."""

from __future__ import annotations

#: The next header values of a tunnel-mode payload (RFC 4303 §2.6), and of a dummy packet to be discarded.
IPV4_IN_ESP = 4
IPV6_IN_ESP = 41
DUMMY = 59

#: The codepoints of ECN (RFC 3168 §5).
NOT_ECT, ECT_1, ECT_0, CE = range(4)

_IPV4_HEADER = 20
_IPV6_HEADER = 40


class InvalidPacket(Exception):
    """Octets that are no IP packet."""


def parse(packet: bytes) -> tuple[int, int, bytes]:
    """Next header value, length without traffic flow padding (RFC 4303 §2.7), source and destination as one.

    Addresses are 4 or 16 octets each, which compare as addresses do. Fragments are packets like others. Raises
    InvalidPacket.
    """
    size = len(packet)
    version = packet[0] >> 4 if size else 0
    if version == 4 and size >= _IPV4_HEADER:
        length = packet[2] << 8 | packet[3]
        if _IPV4_HEADER <= length <= size:
            return IPV4_IN_ESP, length, packet[12:20]
    elif version == 6 and size >= _IPV6_HEADER:
        length = _IPV6_HEADER + (packet[4] << 8 | packet[5])
        if length <= size:
            return IPV6_IN_ESP, length, packet[8:40]
    raise InvalidPacket


def traffic_class(packet: bytes) -> int:
    """DSCP and ECN of a packet that ``parse`` took."""
    if packet[0] < 0x60:
        return packet[1]
    return (packet[0] & 0x0F) << 4 | packet[1] >> 4


def with_ecn(packet: bytes, outer: int) -> bytes:
    """The packet as it goes on after a tunnel whose outer header came with that ECN codepoint (RFC 6040 §4.2).

    Nothing where its sender does not know what congestion marks are, and so is told by its loss.
    """
    ecn = traffic_class(packet) & 3
    if ecn == NOT_ECT:
        return packet if outer != CE else b""
    if ecn in (outer, CE) or outer not in (ECT_1, CE):
        return packet
    header = bytearray(packet[:_IPV4_HEADER])
    if packet[0] < 0x60:
        header[1] += outer - ecn
        # The sum of the header grows by as much, so its complement falls (RFC 1624 §3).
        checksum = (header[10] << 8 | header[11]) - (outer - ecn)
        header[10:12] = (checksum % 0xFFFF).to_bytes(2, "big")
    else:
        header[1] += outer - ecn << 4
    return bytes(header) + packet[_IPV4_HEADER:]
