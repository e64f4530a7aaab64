# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Notify payload (RFC 7296 §3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage

_FIXED = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Notify:
    """An error or a status. ``protocol`` and ``spi`` name the SA that it concerns, if any."""

    type: ClassVar[PayloadType] = PayloadType.NOTIFY

    notify_type: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.protocol, len(self.spi), self.notify_type) + self.spi + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"NOTIFY payload: {len(data)} octets, at least {_FIXED.size} expected")
        protocol, spi_size, notify_type = _FIXED.unpack_from(data)
        data_start = _FIXED.size + spi_size
        if data_start > len(data):
            raise MalformedMessage(f"NOTIFY payload: an SPI of {spi_size} octets does not fit")
        return cls(notify_type, bytes(data[data_start:]), protocol, bytes(data[_FIXED.size : data_start]))
