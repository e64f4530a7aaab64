# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IKE header (RFC 7296 §3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from .constants import HeaderFlag
from .errors import MalformedMessage

_HEADER = Struct(">8s8sBBBBII")
HEADER_SIZE = _HEADER.size


@dataclass(frozen=True, slots=True)
class Header:
    """SPIs are 8 octets each; ``length`` is the whole message's, in octets."""

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    exchange: int
    flags: int
    message_id: int
    length: int
    major: int = 2
    minor: int = 0

    @property
    def is_response(self) -> bool:
        return self.flags & HeaderFlag.RESPONSE != 0

    @property
    def is_initiator(self) -> bool:
        """Whether the sender is the original initiator of the IKE SA."""
        return self.flags & HeaderFlag.INITIATOR != 0

    def encode(self) -> bytes:
        return _HEADER.pack(
            self.spi_i,
            self.spi_r,
            self.next_payload,
            self.major << 4 | self.minor,
            self.exchange,
            self.flags,
            self.message_id,
            self.length,
        )


def decode_header(data: bytes | memoryview) -> Header:
    """The header of one whole message of any version. Raises MalformedMessage when the length is not the message's."""
    if len(data) < HEADER_SIZE:
        raise MalformedMessage(f"{len(data)} octets are too few for an IKE header of {HEADER_SIZE}")
    spi_i, spi_r, next_payload, version, exchange, flags, message_id, length = _HEADER.unpack_from(data)
    if length != len(data):
        raise MalformedMessage(f"the IKE header says {length} octets, the message has {len(data)}")
    return Header(spi_i, spi_r, next_payload, exchange, flags, message_id, length, version >> 4, version & 0x0F)
