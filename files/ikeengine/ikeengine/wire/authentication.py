# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Authentication payload (RFC 7296 §3.8), and what its method Digital Signature carries (RFC 7427 §3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage

_FIXED = Struct(">B3x")


@dataclass(frozen=True, slots=True)
class Authentication:
    """A proof of identity. With a weak pre-shared key it lets others guess, so ``data`` stays out of every log."""

    type: ClassVar[PayloadType] = PayloadType.AUTH

    method: int
    data: bytes = field(repr=False)

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.method) + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"AUTH payload: {len(data)} octets, at least {_FIXED.size} expected")
        return cls(data[0], bytes(data[_FIXED.size :]))


@dataclass(frozen=True, slots=True)
class DigitalSignature:
    """``algorithm`` is an AlgorithmIdentifier in DER."""

    algorithm: bytes
    value: bytes = field(repr=False)

    def encode(self) -> bytes:
        return bytes((len(self.algorithm),)) + self.algorithm + self.value

    @classmethod
    def decode(cls, data: bytes) -> Self:
        size = data[0] if data else 0
        if len(data) < 1 + size:
            raise MalformedMessage("AUTH payload: its algorithm identifier ends early")
        return cls(data[1:1 + size], data[1 + size:])
