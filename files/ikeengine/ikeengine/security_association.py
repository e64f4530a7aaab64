# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that a session negotiates and a data plane installs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

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


#: The two ends between which datagrams go, ours first.
Path: TypeAlias = tuple[SocketAddress, SocketAddress]


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
class CoveredRoute:
    """What an SA pair carries of one tunnel route: ``negotiated`` of ``declared``, which the operator wrote.

    ``reqid`` is the number of the declared route, the same as long as it is declared.
    """

    declared: Route
    negotiated: Route
    reqid: int


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A pair of ESP or AH security associations, one per direction, in tunnel mode.

    ``local`` and ``remote`` are the outer addresses; their ports count only where ``udp_encapsulated`` (RFC 3948).
    ``routes`` are the tunnel routes that it carries, one at least, in the order of their declaration; one of which
    several parts were negotiated stands there several times.
    """

    tunnel: str
    gateway: str
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
    routes: tuple[CoveredRoute, ...]
    expiration: Expiration
    #: The name of a route-based tunnel's device: what it carries goes there and comes from there only.
    interface: str | None = None

    @property
    def reqid(self) -> int:
        """What kernel states and the policies that lead to them have in common: the number of the first route."""
        return self.routes[0].reqid

    @property
    def reqids(self) -> tuple[int, ...]:
        """The numbers of all declared routes that it carries, each once."""
        return tuple(dict.fromkeys(row.reqid for row in self.routes))

    @property
    def declared(self) -> tuple[Route, ...]:
        """The declared routes that it carries, each once."""
        return tuple(dict.fromkeys(row.declared for row in self.routes))

    def negotiated(self, declared: Route) -> tuple[Route, ...]:
        """What it carries of a declared route."""
        return tuple(row.negotiated for row in self.routes if row.declared == declared)

    def covers(self, tunnel: str, route: Route) -> bool:
        """Whether it carries that declared route, or part of it."""
        return self.tunnel == tunnel and any(row.declared == route for row in self.routes)

    @property
    def suite(self) -> str:
        """As ``ikectl status`` shows it: ``ESP AES-256/SHA2-256``."""
        names = [row.name for row in (self.encryption, self.authentication) if row is not None]
        return f"{self.protocol.name} {'/'.join(names)}"
