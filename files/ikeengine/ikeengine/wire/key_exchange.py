# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Key Exchange payload (RFC 7296 §3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage

_FIXED = Struct(">H2x")


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """A public value of the key group ``group``; whether it suits the group is for the key exchange to judge."""

    type: ClassVar[PayloadType] = PayloadType.KE

    group: int
    data: bytes

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.group) + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"KE payload: {len(data)} octets, at least {_FIXED.size} expected")
        (group,) = _FIXED.unpack_from(data)
        return cls(group, bytes(data[_FIXED.size :]))
