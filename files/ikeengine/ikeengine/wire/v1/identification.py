# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Identification payload: who a peer is in Phase 1, what a tunnel carries in Phase 2 (RFC 2407 §4.6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import IdType, PayloadType

_FIXED = Struct(">BBH")
_SIZES: dict[int, int] = {
    IdType.IPV4_ADDR: 4, IdType.IPV4_ADDR_SUBNET: 8, IdType.IPV4_ADDR_RANGE: 8,
    IdType.IPV6_ADDR: 16, IdType.IPV6_ADDR_SUBNET: 32, IdType.IPV6_ADDR_RANGE: 32}


@dataclass(frozen=True, slots=True)
class Identification:
    """``protocol`` and ``port`` are 0 where any is meant; in Phase 1 they may be UDP and 500."""

    type: ClassVar[PayloadType] = PayloadType.ID

    id_type: int
    data: bytes
    protocol: int = 0
    port: int = 0

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.id_type, self.protocol, self.port) + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        size = len(data) - _FIXED.size
        if size < 0:
            raise MalformedMessage(f"ID payload: {len(data)} octets, at least {_FIXED.size} expected")
        id_type, protocol, port = _FIXED.unpack_from(data)
        if _SIZES.get(id_type, size) != size:
            raise MalformedMessage(f"ID payload: {size} octets for identification type {id_type}")
        return cls(id_type, bytes(data[_FIXED.size :]), protocol, port)
