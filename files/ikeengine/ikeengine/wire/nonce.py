# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Nonce payload (RFC 7296 §3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage

_MOST = 256


@dataclass(frozen=True, slots=True)
class Nonce:
    """16 to 256 octets, fresh for every exchange."""

    type: ClassVar[IntEnum] = PayloadType.NONCE
    least: ClassVar[int] = 16

    data: bytes

    def encode_body(self) -> bytes:
        return self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if not cls.least <= len(data) <= _MOST:
            raise MalformedMessage(f"NONCE payload: {len(data)} octets, {cls.least} to {_MOST} expected")
        return cls(bytes(data))
