# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Vendor ID payload (RFC 7296 §3.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class VendorId:
    """What an implementation calls itself, opaque octets."""

    type: ClassVar[PayloadType] = PayloadType.VENDOR_ID

    data: bytes

    def encode_body(self) -> bytes:
        return self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        return cls(bytes(data))
