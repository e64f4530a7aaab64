# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Payloads whose body is one run of octets (RFC 2408 §3.7, §3.11, §3.12, §3.16; RFC 3947 §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class _Opaque:
    type: ClassVar[PayloadType]

    data: bytes

    def encode_body(self) -> bytes:
        return self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        return cls(bytes(data))


@dataclass(frozen=True, slots=True)
class KeyExchange(_Opaque):
    """A public value; its group is that of the transform that the exchange agrees on."""

    type: ClassVar[PayloadType] = PayloadType.KE


@dataclass(frozen=True, slots=True)
class Hash(_Opaque):
    """A proof under the keys. With a weak pre-shared key it lets others guess, so it stays out of every log."""

    type: ClassVar[PayloadType] = PayloadType.HASH

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signature(_Opaque):
    type: ClassVar[PayloadType] = PayloadType.SIG


@dataclass(frozen=True, slots=True)
class VendorId(_Opaque):
    """What an implementation calls itself, or can do."""

    type: ClassVar[PayloadType] = PayloadType.VENDOR_ID


@dataclass(frozen=True, slots=True)
class NatDiscovery(_Opaque):
    """A digest of the cookies and of one end's address and port."""

    type: ClassVar[PayloadType] = PayloadType.NAT_D


@dataclass(frozen=True, slots=True)
class NatDiscoveryDraft(NatDiscovery):
    """The same under the number that the drafts gave it."""

    type: ClassVar[PayloadType] = PayloadType.NAT_D_DRAFT
