# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Payloads of types that nothing here knows (RFC 7296 §2.5)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnknownPayload:
    """A payload to be skipped: of an unknown type, and not critical."""

    payload_type: int
    data: bytes

    @property
    def type(self) -> int:
        return self.payload_type

    def encode_body(self) -> bytes:
        return self.data
