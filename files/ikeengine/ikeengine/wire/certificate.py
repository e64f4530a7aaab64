# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Certificate and Certificate Request payloads (RFC 7296 §3.6, §3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Encoded:
    """The body of both, in either version of IKE."""

    type: ClassVar[IntEnum]

    encoding: int
    data: bytes

    def encode_body(self) -> bytes:
        return bytes((self.encoding,)) + self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if not data:
            raise MalformedMessage(f"{cls.type.name} payload: it is empty, a certificate encoding was expected")
        return cls(data[0], bytes(data[1:]))


@dataclass(frozen=True, slots=True)
class Certificate(Encoded):
    """A certificate or what stands for it, in the form that ``encoding`` says."""

    type: ClassVar[PayloadType] = PayloadType.CERT


@dataclass(frozen=True, slots=True)
class CertificateRequest(Encoded):
    """What the sender trusts; for X.509, SHA-1 digests of the authorities' public keys, 20 octets each."""

    type: ClassVar[PayloadType] = PayloadType.CERTREQ
