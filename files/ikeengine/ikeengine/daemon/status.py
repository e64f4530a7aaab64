# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer to ``status``: what the sessions and data planes know, in the shape of docs/design.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ..dataplane.capabilities import Capabilities
from ..status import ChildStatus, GatewayStatus, IkeSaStatus, TunnelStatus
from ..vpn.model import Route
from ..vpn.selectors import Selector
from .planes import DataPlanes

Json: TypeAlias = dict[str, Any]


class StatusWriter:
    """Writes states as JSON. ``now`` is the sessions' clock and ``unix_now`` the wall's at the same moment."""

    def __init__(self, planes: DataPlanes, now: float, unix_now: float) -> None:
        self._planes = planes
        self._now = now
        self._since_epoch = unix_now - now

    def gateway(self, gateway: GatewayStatus) -> Json:
        return {"name": gateway.name, "state": gateway.state, "ike": [self._ike(ike) for ike in gateway.ike],
                "last_error": gateway.last_error}

    def tunnel(self, tunnel: TunnelStatus) -> Json:
        routes = [{"declared": route_as_json(route.declared), "state": route.state,
                   "sas": [self._child(child) for child in route.children]} for route in tunnel.routes]
        return {"name": tunnel.name, "gateway": tunnel.gateway, "dataplane": self._planes.name_of(tunnel.name),
                "dataplane_reason": self._planes.reason(tunnel.name), "interface": self._interface(tunnel.name),
                "state": tunnel.state, "routes": routes, "last_error": tunnel.last_error}

    def _interface(self, tunnel: str) -> Json | None:
        device = self._planes.device(tunnel)
        return {"name": device[0], "kind": device[1]} if device is not None else None

    def _ike(self, ike: IkeSaStatus) -> Json:
        return {"version": ike.version, "spi_i": ike.spi_i.hex(), "spi_r": ike.spi_r.hex(), "initiator": ike.initiator,
                "suite": ike.suite, "local": str(ike.local), "remote": str(ike.remote),
                "local_identity": ike.local_identity, "remote_identity": ike.remote_identity, "nat": ike.nat,
                "mobike": ike.mobike,
                "initiated_at": self._unix(ike.initiated_at), "established_at": self._unix(ike.established_at),
                "rekey_in": self._remaining(ike.rekey_at), "credential_in_force": ike.credential_in_force}

    def _child(self, status: ChildStatus) -> Json:
        child, counters = status.sa, self._planes.counters(status.sa)
        return {"spi_in": f"{child.spi_in:08x}", "spi_out": f"{child.spi_out:08x}", "esp": child.suite,
                "extended_sequence_numbers": child.extended_sequence_numbers,
                "encapsulation": "udp" if child.udp_encapsulated else None,
                "local": _each(route.local for route in status.negotiated),
                "remote": _each(route.remote for route in status.negotiated),
                "packets_in": counters.packets_in, "octets_in": counters.octets_in,
                "packets_out": counters.packets_out, "octets_out": counters.octets_out,
                "initiated_at": self._unix(status.initiated_at), "installed_at": self._unix(status.installed_at),
                "rekey_in": self._remaining(status.rekey_at)}

    def _unix(self, moment: float) -> float:
        return round(moment + self._since_epoch, 6)

    def _remaining(self, moment: float | None) -> float | None:
        return None if moment is None else round(max(0.0, moment - self._now), 3)


def _each(selectors: Iterable[Selector]) -> str:
    return ", ".join(dict.fromkeys(map(str, selectors)))


def route_as_json(route: Route) -> Json:
    return {"local": str(route.local), "remote": str(route.remote), "direction": route.direction.value}


def availability_as_json(abilities: Mapping[str, Capabilities]) -> Json:
    return {name: {"available": plane.available, "missing": list(plane.missing)} for name, plane in abilities.items()}


def abilities_as_json(abilities: Mapping[str, Capabilities]) -> Json:
    """Each data plane's abilities, in the names of the one table of algorithms."""
    return {name: {
        "available": plane.available, "missing": list(plane.missing),
        "protocols": sorted(protocol.name for protocol in plane.protocols),
        "encryptions": sorted(row.name for row in plane.encryptions),
        "authentications": sorted(row.name for row in plane.authentications),
        "extended_sequence_numbers": plane.extended_sequence_numbers, "udp_encapsulation": plane.udp_encapsulation,
        "directional_routes": plane.directional_routes, "interfaces": list(plane.devices),
    } for name, plane in abilities.items()}
