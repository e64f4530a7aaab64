# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of an inner IP packet as ESP needs to know."""

from __future__ import annotations

#: The next header values of a tunnel-mode payload (RFC 4303 §2.6), and of a dummy packet to be discarded.
IPV4_IN_ESP = 4
IPV6_IN_ESP = 41
DUMMY = 59

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
