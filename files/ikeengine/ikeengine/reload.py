# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new declaration changes, so that a reload touches that and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .vpn.model import Credential, CredentialMethod, Gateway, Route, Side, Start, Tunnel, VirtualInterface

_UNSAID = Credential(CredentialMethod.PSK)


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """Names as ``gateway branch`` and ``tunnel lan``."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Gateways whose IKE SAs must go at once, those whose IKE SAs serve until new ones are up, those that have nothing
    else to show than that both ends still take each other, routes whose child SAs must go on IKE SAs that stay, and
    gateways that are new or other ones, or have such tunnels."""

    gateways_to_close: tuple[str, ...]
    gateways_to_replace: tuple[str, ...]
    gateways_to_prove: tuple[str, ...]
    routes_to_close: tuple[tuple[Tunnel, Route], ...]
    gateways_touched: frozenset[str]
    result: ReloadResult


def difference(old: Side, new: Side) -> Change:
    gateways = {row.name: row for row in new.gateways}
    closing = tuple(row.name for row in old.gateways
                    if row.name not in gateways or row.version is not gateways[row.name].version)
    replacing = tuple(row.name for row in old.gateways
                      if row.name not in closing and not goes_on(row, gateways[row.name]))
    proving = tuple(row.name for row in old.gateways if row.name not in (*closing, *replacing)
                    and row.credential != gateways[row.name].credential)
    tunnels = {row.name: row for row in new.tunnels}
    routes = tuple((tunnel, route) for tunnel in old.tunnels if tunnel.gateway not in closing
                   for route in tunnel.secured if not keeps(tunnel, route, tunnels.get(tunnel.name)))
    before = {("gateway", row.name): row for row in old.gateways} | {("tunnel", row.name): row for row in old.tunnels}
    after = {("gateway", row.name): row for row in new.gateways} | {("tunnel", row.name): row for row in new.tunnels}
    both = after.keys() & before.keys()
    changed = {key for key in both if after[key] != before[key]}
    touched = frozenset(row.name if isinstance(row := after[key], Gateway) else row.gateway
                        for key in (after.keys() - before.keys()) | changed)
    return Change(closing, replacing, proving, routes, touched, ReloadResult(
        added=_names(after.keys() - before.keys()), removed=_names(before.keys() - after.keys()),
        changed=_names(changed), unchanged=_names(both - changed)))


def _names(keys: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(" ".join(key) for key in sorted(keys))


def goes_on(gateway: Gateway, new: Gateway) -> bool:
    """Whether its IKE SAs may stay as they are, as far as their terms go."""
    return gateway == new or _negotiated(gateway) == _negotiated(new)


def takes(gateway: Gateway, new: Gateway) -> bool:
    """Whether a peer that is authenticating itself may go on: by each key that it may have begun with it still can."""
    before, after = gateway.credential, new.credential
    same_keys = bool(before.accepted) and set(before.accepted) <= set(after.accepted) and before.ppk == after.ppk
    return goes_on(gateway, new) and (before == after or same_keys)


def _negotiated(gateway: Gateway) -> Gateway:
    """The gateway less what an IKE SA that is up can take over as it is."""
    return replace(gateway, start=Start.BOOT, dead_peer_detection=None,
                   nat_keep_alive=0, keep_alive=None, credential=_UNSAID)


def keeps(tunnel: Tunnel, route: Route, new: Tunnel | None) -> bool:
    """Whether the route's child SAs may stay: it is still declared, under the same terms."""
    return new is not None and route in new.secured and (
        tunnel == new or _terms(tunnel) == _terms(new))


def _terms(tunnel: Tunnel) -> Tunnel:
    """The tunnel less what an SA of it that stays needs not: of an interface it has but the name."""
    interface = tunnel.interface and VirtualInterface(tunnel.interface.name)
    return replace(tunnel, routes=(), interface=interface)
