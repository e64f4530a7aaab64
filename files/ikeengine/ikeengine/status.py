# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's IKE SAs look like at one moment. Times are those of the manager's clock, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ike.session import IkeSession
from .ike.state import State
from .peer import Peer
from .security_association import ChildSa, SocketAddress
from .vpn.model import EndpointPair, Route, Tunnel


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
    mobike: bool
    initiated_at: float
    established_at: float
    rekey_at: float | None
    #: Whether both ends have shown that they take each other by what is declared now.
    credential_in_force: bool


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """``last_failure`` is why the pair failed the last time, None where it has served since."""

    pair: EndpointPair
    in_use: bool
    last_failure: str | None


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """``state``: ``down``, ``connecting`` or ``established``."""

    name: str
    state: str
    ike: tuple[IkeSaStatus, ...]
    endpoints: tuple[EndpointStatus, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """An SA pair under one of its routes: ``negotiated`` is what it carries of that one."""

    sa: ChildSa
    negotiated: tuple[Route, ...]
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


def gateway_status(peer: Peer, sessions: Sequence[IkeSession]) -> GatewayStatus:
    """One gateway, from the sessions that are its."""
    live = tuple(_ike_sa_status(peer, session) for session in sessions if session.state is State.ESTABLISHED)
    beginning = any(session.state in (State.INITIATING, State.AUTHENTICATING) for session in sessions)
    state = "established" if live else "connecting" if beginning else "down"
    in_use = {session.pair for session in sessions if session.serves and not session.is_probe}
    endpoints = tuple(EndpointStatus(pair, pair in in_use, peer.failures.get(pair)) for pair in peer.gateway.endpoints)
    return GatewayStatus(peer.gateway.name, state, live, endpoints, peer.last_error)


def tunnel_status(peer: Peer, tunnel: Tunnel, sessions: Sequence[IkeSession]) -> TunnelStatus:
    """One tunnel, from the sessions of its gateway."""
    connecting = any(name == tunnel.name for session in sessions for name, _route in session.asked_for())
    routes = []
    for route in tunnel.secured:
        children = tuple(ChildStatus(child.sa, child.sa.negotiated(route), child.initiated_at, child.installed_at,
                                     child.rekey_at)
                         for session in sessions for child in session.children
                         if child.is_live and child.sa.covers(tunnel.name, route))
        routes.append(RouteStatus(route, "up" if children else "connecting" if connecting else "down", children))
    states = {row.state for row in routes}
    state = "up" if states == {"up"} else "connecting" if "connecting" in states else "down"
    return TunnelStatus(tunnel.name, tunnel.gateway, state, tuple(routes), peer.tunnel_errors.get(tunnel.name))


def _ike_sa_status(peer: Peer, session: IkeSession) -> IkeSaStatus:
    local_identity, remote_identity = session.describe_identities()
    return IkeSaStatus(session.version.value, session.spi_i, session.spi_r, session.initiator, session.suite,
                       session.local, session.remote, local_identity, remote_identity, session.nat_detected,
                       session.is_mobile, session.created_at, session.established_at or session.created_at,
                       session.rekey_at, session.proofs.are_of(peer.gateway.credential))
