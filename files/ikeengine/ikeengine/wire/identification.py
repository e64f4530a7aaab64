# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Identification payloads (RFC 7296 §3.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from .constants import IdType, PayloadType
from .errors import MalformedMessage

_FIXED_SIZE = 4
_ADDRESS_SIZES: dict[int, int] = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}


@dataclass(frozen=True, slots=True)
class Identification:
    """Who a peer says that it is.

    AUTH covers the body as it was on the wire (§2.15), so ``encode_body`` gives back even the reserved octets.
    """

    id_type: int
    data: bytes
    reserved: bytes = field(default=bytes(3), repr=False, compare=False)

    def encode_body(self) -> bytes:
        return bytes((self.id_type,)) + self.reserved + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        size = len(data) - _FIXED_SIZE
        if size < 0:
            raise MalformedMessage(f"ID payload: {len(data)} octets, at least {_FIXED_SIZE} expected")
        id_type = data[0]
        if _ADDRESS_SIZES.get(id_type, size) != size:
            raise MalformedMessage(f"ID payload: an address of {size} octets for identification type {id_type}")
        return cls(id_type, bytes(data[_FIXED_SIZE:]), bytes(data[1:_FIXED_SIZE]))


@dataclass(frozen=True, slots=True)
class IdentificationInitiator(Identification):
    """IDi."""

    type: ClassVar[PayloadType] = PayloadType.ID_I


@dataclass(frozen=True, slots=True)
class IdentificationResponder(Identification):
    """IDr."""

    type: ClassVar[PayloadType] = PayloadType.ID_R
