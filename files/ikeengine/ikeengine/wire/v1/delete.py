# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Delete payload (RFC 2408 §3.15)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import IPSEC_DOI, KNOWN_DOIS, PayloadType, ProtocolId

_FIXED = Struct(">IBBH")
_SPI_SIZES: dict[int, int] = {ProtocolId.ISAKMP: 16, ProtocolId.AH: 4, ProtocolId.ESP: 4}


@dataclass(frozen=True, slots=True)
class Delete:
    """SAs that the sender has deleted: its inbound SPIs of 4 octets, or ISAKMP SAs by their cookies, 16 octets."""

    type: ClassVar[PayloadType] = PayloadType.DELETE

    protocol: int
    spis: tuple[bytes, ...] = ()

    def encode_body(self) -> bytes:
        return (_FIXED.pack(IPSEC_DOI, self.protocol, _SPI_SIZES[self.protocol], len(self.spis))
                + b"".join(self.spis))

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"DELETE payload: {len(data)} octets, at least {_FIXED.size} expected")
        doi, protocol, spi_size, count = _FIXED.unpack_from(data)
        if doi not in KNOWN_DOIS:
            raise MalformedMessage(f"DELETE payload: domain of interpretation {doi}")
        if _SPI_SIZES.get(protocol) != spi_size:
            raise MalformedMessage(f"DELETE payload: SPIs of {spi_size} octets for protocol {protocol}")
        if _FIXED.size + spi_size * count != len(data):
            raise MalformedMessage(f"DELETE payload: {count} SPIs of {spi_size} octets are not {len(data)} octets")
        return cls(protocol, tuple([bytes(data[at : at + spi_size]) for at in range(_FIXED.size, len(data), spi_size)]))
