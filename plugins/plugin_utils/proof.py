# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the two ends of every tunnel hold the same SAs, and those that were declared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..module_utils.vpn import explained
from ..module_utils.vpn.model import Route, Side, Tunnel
from ..module_utils.vpn.pairing import pair
from ..module_utils.vpn.selectors import Selector


@dataclass(frozen=True)
class End:
    """What one host says of its end of a tunnel. ``gateway`` and ``live`` are parts of the daemon's status,
    ``explained`` its explanation of the gateway where the tunnel is not up."""

    host: str
    tunnel: Tunnel
    gateway: Mapping[str, Any] = field(default_factory=dict)
    live: Mapping[str, Any] = field(default_factory=dict)
    silence: str = ""
    explained: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.host}:{self.tunnel.name}"

    def reason(self) -> str:
        """Why it is not up, in the daemon's words where it has any."""
        said = self.silence or self.live.get("last_error") or self.gateway.get("last_error")
        state = f"is {self.live['state']}" if self.live else "does not know the tunnel"
        return f"{self.label}: {said}" if said else f"{self.label} {state}, and its daemon names no error"


@dataclass(frozen=True)
class View:
    """A route as one end declares it, and what that end holds for it."""

    end: End
    route: Route

    @property
    def associations(self) -> list[Mapping[str, Any]]:
        return [association for found in self.end.live.get("routes", []) if _same(found["declared"], self.route)
                for association in found["sas"]]

    @property
    def spis(self) -> set[tuple[str, str]]:
        return {(association["spi_in"], association["spi_out"]) for association in self.associations}


@dataclass(frozen=True)
class Proof:
    """The verdict on one tunnel: proved where ``failure`` is empty. Two ends, or one where the peer is not ours."""

    ends: tuple[End, ...]
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.ends[0].tunnel.name, "proved": not self.failure, "failure": self.failure,
                "both_ends": len(self.ends) == 2, "ends": {end.host: _seen(end) for end in self.ends}}


def prove(sides: Mapping[str, Side], observed: Mapping[str, Mapping[str, Any]]) -> list[Proof]:
    """Judge every tunnel that has an end on an observed host. ``observed`` is what ipsec_info returned, by host."""
    host_of = {id(side): host for host, side in sides.items()}
    seen = {host: side for host, side in sides.items() if host in observed}
    pairs, _leftovers = pair(list(sides.values()))
    proofs, paired = [], set()
    for couple in pairs:
        left, right = host_of[id(couple.left)], host_of[id(couple.right)]
        if left not in seen or right not in seen:
            continue
        for tunnels in couple.tunnels:
            paired |= {(left, tunnels.left.name), (right, tunnels.right.name)}
            proofs.append(_judge(_end(left, tunnels.left, observed[left]), _end(right, tunnels.right, observed[right])))
    for host, side in seen.items():
        alone = [tunnel for tunnel in side.tunnels if (host, tunnel.name) not in paired]
        proofs.extend(_judge(_end(host, tunnel, observed[host])) for tunnel in alone)
    return proofs


def explanations(proofs: Iterable[Proof], now: float) -> list[str]:
    """What the daemons of both ends say of the tunnels that are not proved: a page for each gateway of each host."""
    pages = {(end.host, end.tunnel.gateway): end.explained for proof in proofs if proof.failure for end in proof.ends
             if end.explained}
    found = []
    for (host, _gateway), page in sorted(pages.items()):
        found += ["", f"{host} says:", *(f"  {line}".rstrip() for line in explained.lines(page, now))]
    return found


def table(proofs: Iterable[Proof]) -> list[str]:
    """The tunnels as each end sees them, in columns."""
    rows = [("TUNNEL", "HOST", "DATA PLANE", "IKE", "ESP", "SPI IN", "SPI OUT", "LOCAL", "REMOTE", "PROOF")]
    for proof in proofs:
        verdict = "failed" if proof.failure else "both ends" if len(proof.ends) == 2 else "own end only"
        for end in proof.ends:
            seen = _seen(end)
            for association in seen["sas"] or [{}]:
                rows.append((end.tunnel.name, end.host, seen["dataplane"] or "-", seen["ike"] or "-",
                             *(str(association.get(column, "-")) for column in
                               ("esp", "spi_in", "spi_out", "local", "remote")), verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _end(host: str, tunnel: Tunnel, observed: Mapping[str, Any]) -> End:
    live = observed.get("live") or {}
    if not live:
        return End(host, tunnel, silence=observed.get("reason") or "the host was not observed")
    return End(host, tunnel, _named(live["gateways"], tunnel.gateway), _named(live["tunnels"], tunnel.name),
               explained=(observed.get("explained") or {}).get(tunnel.gateway, {}))


def _named(objects: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((item for item in objects if item["name"] == name), {})


def _judge(*ends: End) -> Proof:
    """A pair's ends both, or the one end whose peer is not ours."""
    lacking = [end.reason() for end in ends if end.live.get("state") != "up"]
    if lacking:
        return Proof(ends, f"tunnel {ends[0].tunnel.name} is not up: {'; '.join(lacking)}")
    for route in ends[0].tunnel.secured:
        views = [View(end, route if end is ends[0] else route.mirrored) for end in ends]
        failure = next(filter(None, map(_narrowed, views)), "") or _uncrossed(*views)
        if failure:
            return Proof(ends, failure)
    return Proof(ends)


def _narrowed(view: View) -> str:
    """Whether an end holds other selectors than the declared: IKEv2 narrows silently (RFC 7296 §2.9)."""
    if not view.associations:
        return f"{view.end.label}: no SA for the route {view.route}"
    for association in view.associations:
        if not _same(association, view.route):
            return (f"{view.end.label}: the route {view.route} was narrowed by the peer to {association['local']} <-> "
                    f"{association['remote']}: declare the mirror image at both ends")
    return ""


def _uncrossed(left: View, right: View | None = None) -> str:
    """Whether what one end sends with is what the other receives with. A lone end has nothing to compare."""
    if right is None or left.spis & {(spi_out, spi_in) for spi_in, spi_out in right.spis}:
        return ""
    return (f"the route {left.route}: {left.end.label} and {right.end.label} are both up and hold different SAs: "
            f"{_listed(left.spis)} against {_listed(right.spis)} (SPI in/out)")


def _listed(spis: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{spi_in}/{spi_out}" for spi_in, spi_out in sorted(spis))


def _same(found: Mapping[str, Any], route: Route) -> bool:
    return Selector.parse(found["local"]) == route.local and Selector.parse(found["remote"]) == route.remote


def _seen(end: End) -> dict[str, Any]:
    ike = end.gateway.get("ike") or [{}]
    return {"state": end.live.get("state", "unknown"), "dataplane": end.live.get("dataplane"),
            "ike": ike[0].get("suite"), "explained": dict(end.explained),
            "sas": [dict(sa) for route in end.live.get("routes", []) for sa in route["sas"]]}
