# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Certificate and Certificate Request payloads (RFC 2408 §3.9, §3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class _Encoded:
    type: ClassVar[PayloadType]

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
class Certificate(_Encoded):
    """A certificate or revocation list, in the form that ``encoding`` says."""

    type: ClassVar[PayloadType] = PayloadType.CERT


@dataclass(frozen=True, slots=True)
class CertificateRequest(_Encoded):
    """One authority that the sender trusts: its name in DER; none is named where any will do."""

    type: ClassVar[PayloadType] = PayloadType.CERTREQ
