# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Notification payload (RFC 2408 §3.14)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import IPSEC_DOI, KNOWN_DOIS, PayloadType, ProtocolId

_FIXED = Struct(">IBBH")


@dataclass(frozen=True, slots=True)
class Notify:
    """An error or a status. ``protocol`` and ``spi`` name the SA that it concerns; an ISAKMP SA's SPI is both cookies,
    or nothing."""

    type: ClassVar[PayloadType] = PayloadType.NOTIFY

    notify_type: int
    data: bytes = b""
    protocol: int = ProtocolId.ISAKMP
    spi: bytes = b""
    doi: int = IPSEC_DOI

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.doi, self.protocol, len(self.spi), self.notify_type) + self.spi + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"NOTIFY payload: {len(data)} octets, at least {_FIXED.size} expected")
        doi, protocol, spi_size, notify_type = _FIXED.unpack_from(data)
        if doi not in KNOWN_DOIS:
            raise MalformedMessage(f"NOTIFY payload: domain of interpretation {doi}")
        start = _FIXED.size + spi_size
        if start > len(data):
            raise MalformedMessage(f"NOTIFY payload: an SPI of {spi_size} octets does not fit")
        return cls(notify_type, bytes(data[start:]), protocol, bytes(data[_FIXED.size : start]), doi)
