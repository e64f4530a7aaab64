# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decoding can raise. Whatever the octets, decoders raise nothing else."""

from __future__ import annotations


class WireError(ValueError):
    """Octets that this implementation cannot accept, or values that do not fit into octets."""


class MalformedMessage(WireError):
    """Octets that break the syntax; a peer hears INVALID_SYNTAX where an answer is allowed (RFC 7296 §2.21)."""


class UnsupportedCriticalPayload(WireError):
    """An unknown payload whose critical bit is set (RFC 7296 §2.5)."""

    def __init__(self, payload_type: int) -> None:
        super().__init__(f"payload type {payload_type} is critical and not supported")
        self.payload_type = payload_type


class UnsupportedMajorVersion(WireError):
    """A message of another major version of IKE (RFC 7296 §2.5)."""

    def __init__(self, major: int) -> None:
        super().__init__(f"IKE major version {major} is not supported")
        self.major = major
