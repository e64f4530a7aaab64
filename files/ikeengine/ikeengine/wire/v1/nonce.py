# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Nonce payload (RFC 2408 §3.13, RFC 2409 §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import PayloadType

MIN_NONCE_SIZE = 8
MAX_NONCE_SIZE = 256


@dataclass(frozen=True, slots=True)
class Nonce:
    """8 to 256 octets, fresh for every exchange."""

    type: ClassVar[PayloadType] = PayloadType.NONCE

    data: bytes

    def encode_body(self) -> bytes:
        return self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if not MIN_NONCE_SIZE <= len(data) <= MAX_NONCE_SIZE:
            raise MalformedMessage(f"NONCE payload: {len(data)} octets, {MIN_NONCE_SIZE} to {MAX_NONCE_SIZE} expected")
        return cls(bytes(data))
