# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one site as a whole: what its gateways and tunnels mean to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from .. import identities
from ..model import Side
from .book import ERROR, OWN, SITE, WARNING, Broken
from .route_overlaps import NamedRoute, overlaps


@SITE.rule("duplicate-identity", ERROR, "RFC 7296 §2.15", member="gateways")
def duplicate_identity(side: Side) -> Iterator[Broken]:
    """Each peer of a site has its own Phase 1 identifier: by it the site chooses the peer's key."""
    first: dict[object, str] = {}
    for gateway in side.gateways:
        expected = {identities.key(pair.remote.identity): pair.remote.identity for pair in gateway.endpoints}
        for key, identity in expected.items():
            other = first.setdefault(key, gateway.name)
            if other != gateway.name:
                yield Broken("remote identifier", f"gateways {other} and {gateway.name} both expect {identity}", "",
                             "a peer that presents it could be either",
                             f"Give the peers different identifiers, or join the two gateways' tunnels under {other}")


@SITE.rule("routes-overlap", ERROR, OWN, member="tunnels")
def routes_overlap(side: Side) -> Iterator[Broken]:
    """No two tunnel routes of a site overlap, unless one is inside the other."""
    for (one, one_tunnel), (other, other_tunnel) in _overlaps(side, "ambiguous"):
        yield Broken("tunnel routes", f"tunnel {one_tunnel} has {one}", f"tunnel {other_tunnel} has {other}",
                     "they overlap, so traffic could go into either", "Make them disjoint, or keep one of the two")


@SITE.rule("routes-nested", WARNING, OWN, member="tunnels")
def routes_nested(side: Side) -> Iterator[Broken]:
    """No tunnel route of a site is inside another: the narrower has its traffic, whether its tunnel is up or not."""
    inside: dict[NamedRoute, list[NamedRoute]] = {}
    for wide, narrow in _overlaps(side, "nested"):
        inside.setdefault(wide, []).append(narrow)
    for (route, tunnel), (first, *more) in inside.items():
        others = f", and {len(more)} more" if more else ""
        yield Broken("tunnel routes", f"tunnel {tunnel} has {route}",
                     f"tunnel {first.tunnel} has {first.route}{others}",
                     "the narrower one has its traffic, whether its tunnel is up or not",
                     "Keep it so where that is meant, or make them disjoint")


def _overlaps(side: Side, kind: Literal["ambiguous", "nested"]) -> Iterator[tuple[NamedRoute, NamedRoute]]:
    routes = [NamedRoute(route, tunnel.name) for tunnel in side.tunnels for route in tunnel.routes]
    for version in (4, 6):
        yield from getattr(overlaps([named for named in routes if named.route.local.version
                                     == named.route.remote.version == version]), kind)
