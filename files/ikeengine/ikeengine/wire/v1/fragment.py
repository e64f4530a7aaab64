# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fragment of a message (the payload of vendor id FRAGMENTATION, as Cisco and Microsoft began to send it)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import PayloadType

_FIXED = Struct(">HBB")
_LAST = 0x01


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a whole message, header included. ``number`` counts from 1; ``id`` is the same in all pieces."""

    type: ClassVar[PayloadType] = PayloadType.FRAGMENT

    id: int
    number: int
    is_last: bool
    data: bytes

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.id, self.number, _LAST if self.is_last else 0) + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) <= _FIXED.size:
            raise MalformedMessage(f"FRAGMENT payload: {len(data)} octets, more than {_FIXED.size} expected")
        identifier, number, flags = _FIXED.unpack_from(data)
        if number == 0:
            raise MalformedMessage("FRAGMENT payload: its number is 0, they count from 1")
        return cls(identifier, number, flags & _LAST != 0, bytes(data[_FIXED.size :]))
