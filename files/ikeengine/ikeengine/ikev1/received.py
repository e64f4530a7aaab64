# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message as a session takes it."""

from __future__ import annotations

from dataclasses import dataclass

from ..crypto.errors import IntegrityError
from ..security_association import Datagram
from ..wire.errors import MalformedMessage
from ..wire.header import Header
from ..wire.v1.message import Chain, Payload


@dataclass(frozen=True, slots=True)
class Received:
    """``chain`` is None where the message is encrypted; ``datagram`` holds all of it, were it sent in fragments."""

    header: Header
    chain: Chain | None
    datagram: Datagram

    @property
    def data(self) -> bytes:
        return self.datagram.data

    @property
    def in_clear(self) -> tuple[Payload, ...]:
        """Raises MalformedMessage where it is encrypted."""
        if self.chain is None:
            raise MalformedMessage("the message is encrypted before there are keys")
        return self.chain.payloads

    def require_encryption(self) -> None:
        """Raises IntegrityError where anybody could have made it."""
        if self.chain is not None:
            raise IntegrityError("the message is not encrypted")
