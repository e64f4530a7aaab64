# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Certificate and Certificate Request payloads (RFC 2408 §3.9, §3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..certificate import Encoded
from .constants import PayloadType


@dataclass(frozen=True, slots=True)
class Certificate(Encoded):
    """A certificate or revocation list, in the form that ``encoding`` says."""

    type: ClassVar[PayloadType] = PayloadType.CERT


@dataclass(frozen=True, slots=True)
class CertificateRequest(Encoded):
    """One authority that the sender trusts: its name in DER; none is named where any will do."""

    type: ClassVar[PayloadType] = PayloadType.CERTREQ
