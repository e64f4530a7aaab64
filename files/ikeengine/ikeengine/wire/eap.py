# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Extensible Authentication Protocol payload (RFC 7296 §3.16)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class Eap:
    """One EAP message (RFC 3748 §4), opaque here; it may carry credentials, so it stays out of every log."""

    type: ClassVar[PayloadType] = PayloadType.EAP

    data: bytes = field(repr=False)

    def encode_body(self) -> bytes:
        return self.data

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        return cls(bytes(data))
