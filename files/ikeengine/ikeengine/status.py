# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's IKE SAs look like at one moment. Times are those of the manager's clock, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from .security_association import ChildSa, SocketAddress
from .vpn.model import Route


@dataclass(frozen=True, slots=True)
class IkeSaStatus:
    version: int
    spi_i: bytes
    spi_r: bytes
    initiator: bool
    suite: str
    local: SocketAddress
    remote: SocketAddress
    local_identity: str
    remote_identity: str
    nat: bool
    initiated_at: float
    established_at: float
    rekey_at: float | None


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """``state``: ``down``, ``connecting`` or ``established``."""

    name: str
    state: str
    ike: tuple[IkeSaStatus, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class ChildStatus:
    sa: ChildSa
    initiated_at: float
    installed_at: float
    rekey_at: float | None


@dataclass(frozen=True, slots=True)
class RouteStatus:
    declared: Route
    state: str
    children: tuple[ChildStatus, ...]


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """``state``: ``down``, ``connecting``, or ``up`` where every route is."""

    name: str
    gateway: str
    state: str
    routes: tuple[RouteStatus, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """Names as ``gateway branch`` and ``tunnel lan``."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
