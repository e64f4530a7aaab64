# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that a session negotiates and a data plane installs."""

from __future__ import annotations

from dataclasses import dataclass, field

from .vpn.algorithms import Authentication, Encryption
from .vpn.model import Expiration, Protocol, Route
from .vpn.selectors import Address


class NoSpi(Exception):
    """The data plane gives no SPI for a new child SA; the text says why."""


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """One end of a UDP path."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP payload with its path. On port 4500 sessions see it without the non-ESP marker (RFC 3948 §2.2)."""

    local: SocketAddress
    remote: SocketAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """Keying material of one direction, octets. ``encryption`` ends in the salt where the cipher has one."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A pair of ESP or AH security associations, one per direction, in tunnel mode.

    ``reqid`` is the same for every generation of one tunnel route's SAs. ``local`` and ``remote`` are the outer
    addresses; their ports count only where ``udp_encapsulated`` (RFC 3948). ``route`` is what was negotiated,
    ``declared`` what the operator wrote.
    """

    tunnel: str
    gateway: str
    reqid: int
    protocol: Protocol
    encryption: Encryption | None
    authentication: Authentication | None
    extended_sequence_numbers: bool
    spi_in: int
    spi_out: int
    keys_in: DirectionKeys
    keys_out: DirectionKeys
    local: SocketAddress
    remote: SocketAddress
    udp_encapsulated: bool
    route: Route
    declared: Route
    expiration: Expiration

    @property
    def suite(self) -> str:
        """As ``ikectl status`` shows it: ``ESP AES-256/SHA2-256``."""
        names = [row.name for row in (self.encryption, self.authentication) if row is not None]
        return f"{self.protocol.name} {'/'.join(names)}"
