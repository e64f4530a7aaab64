# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Nonce payload (RFC 2408 §3.13, RFC 2409 §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .. import nonce
from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class Nonce(nonce.Nonce):
    """8 to 256 octets, fresh for every exchange."""

    type: ClassVar[PayloadType] = PayloadType.NONCE
    least: ClassVar[int] = 8
