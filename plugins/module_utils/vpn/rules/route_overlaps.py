# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel routes of a site overlap, and whether one of them is the narrower: that one then has the traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from ..model import Route


class NamedRoute(NamedTuple):
    """A route, its tunnel's name, and its place there."""

    route: Route
    tunnel: str
    place: int = 0

    @property
    def path(self) -> str:
        return f"tunnels[{self.tunnel}].routes[{self.place}]"


class Overlaps(NamedTuple):
    """``ambiguous`` pairs have addresses in common and neither is the narrower; ``nested`` are (wide, narrow)."""

    ambiguous: list[tuple[NamedRoute, NamedRoute]]
    nested: list[tuple[NamedRoute, NamedRoute]]


Bounds = Callable[[NamedRoute], tuple[int, int]]
_remote: Bounds = attrgetter("route.remote.low", "route.remote.high")
_local: Bounds = attrgetter("route.local.low", "route.local.high")


def overlaps(routes: Sequence[NamedRoute]) -> Overlaps:
    """The overlaps of routes of one family, in the order of the routes.

    A route found ambiguous with an earlier one is set aside, so what overlaps only that one shows when it is mended.
    A sweep along whichever side is open to fewer routes at once: n log n, times how many those are.
    """
    found = Overlaps([], [])
    depths = {side: _depth(routes, side) for side in (_remote, _local)}
    side = min(depths, key=depths.__getitem__)
    if depths[side] < 2:
        return found
    open_routes: list[tuple[int, int, NamedRoute]] = []
    for low, high, position, named in sorted((*side(named), position, named) for position, named in enumerate(routes)):
        open_routes = [one for one in open_routes if one[0] >= low]
        if not any(_compare(found, *one[1:], position, named) for one in open_routes):
            open_routes.append((high, position, named))
    return found


def _depth(routes: Sequence[NamedRoute], side: Bounds) -> int:
    """How many routes have an address in common on one side, at most."""
    bounds = list(map(side, routes))
    opened, closed = sorted(low for low, _high in bounds), sorted(high for _low, high in bounds)
    deepest = done = 0
    for count, low in enumerate(opened, 1):
        while closed[done] < low:
            done += 1
        deepest = max(deepest, count - done)
    return deepest


def _compare(found: Overlaps, position: int, one: NamedRoute, others_position: int, other: NamedRoute) -> bool:
    """Note how two routes overlap. Whether they are ambiguous."""
    left, right = one.route, other.route
    if not (left.local.overlaps(right.local) and left.remote.overlaps(right.remote)):
        return False
    inside = left.local.contains(right.local) and left.remote.contains(right.remote)
    around = right.local.contains(left.local) and right.remote.contains(left.remote)
    if inside is around:
        found.ambiguous.append((one, other) if position < others_position else (other, one))
        return True
    found.nested.append((one, other) if inside else (other, one))
    return False
