# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one site as a whole: what its gateways and tunnels mean to each other."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from .. import identities
from ..model import Route, Side
from .book import ERROR, OWN, SITE, Broken


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
    """No two tunnel routes of a site overlap."""
    routes = [(route, tunnel.name) for tunnel in side.tunnels for route in tunnel.routes]
    for version in (4, 6):
        family = [item for item in routes if item[0].local.version == item[0].remote.version == version]
        for (one, one_tunnel), (other, other_tunnel) in overlaps(family):
            yield Broken("tunnel routes", f"tunnel {one_tunnel} has {one}", f"tunnel {other_tunnel} has {other}",
                         "they overlap, so traffic could go into either",
                         "Make them disjoint, or keep one of the two")


_Named = tuple[Route, str]


def overlaps(routes: Iterable[_Named]) -> Iterator[tuple[_Named, _Named]]:
    """Pairs of routes with addresses in common on both sides: at least one where there are any.

    A route found to overlap an earlier one is set aside, so what overlaps only that one shows when it is mended.

    A sweep along the remote addresses: routes that are open at one place and do not overlap have disjoint local
    addresses, so a sorted list of those finds a conflict at the neighbours. n log n in the number of routes.
    """
    in_order = sorted(enumerate(routes), key=lambda item: (int(item[1][0].remote.first), item[0]))
    open_routes: list[tuple[int, int, _Named]] = []
    ends: list[tuple[int, int]] = []
    for position, named in in_order:
        route = named[0]
        start, local = int(route.remote.first), int(route.local.first)
        while ends and ends[0][0] < start:
            _end, closed = heapq.heappop(ends)
            del open_routes[bisect_left(open_routes, (closed,))]
        at = bisect_left(open_routes, (local,))
        neighbours = open_routes[max(at - 1, 0):at + 1]
        conflict = next((other for other in neighbours if other[2][0].local.overlaps(route.local)), None)
        if conflict is None:
            insort(open_routes, (local, position, named))
            heapq.heappush(ends, (int(route.remote.last), local))
        else:
            first, second = sorted(((conflict[1], conflict[2]), (position, named)))
            yield first[1], second[1]
