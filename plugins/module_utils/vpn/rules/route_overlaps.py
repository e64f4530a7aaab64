# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel routes of a site overlap, and whether one of them is the narrower: that one then has the traffic."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from heapq import heappop, heappush
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


class Nested(NamedTuple):
    """A route, one of those inside it, and how many more there are."""

    wide: NamedRoute
    narrow: NamedRoute
    more: int


class Overlaps(NamedTuple):
    """``ambiguous`` pairs have addresses in common and neither is the narrower."""

    ambiguous: list[tuple[NamedRoute, NamedRoute]]
    nested: list[Nested]


def overlaps(routes: Sequence[NamedRoute]) -> Overlaps:
    """The overlaps of routes of one family, each route as the wider one at most once.

    A route found ambiguous with another is set aside, so what overlaps only that one shows when it is mended. A sweep
    along the remote side, the wider first: of those that are open at once, any two are apart on the local side or one
    is inside the other. So whatever holds the next one's local start holds that of the open one before it, too, and
    stands on the way out from there.
    """
    sweep = _Sweep()
    ambiguous = []
    for route, position in sorted(zip(routes, range(len(routes)), strict=True), key=_order):
        clash = sweep.add(route, position)
        if clash is not None:
            ambiguous.append((route, clash[0]) if position < clash[1] else (clash[0], route))
    return Overlaps(ambiguous, sweep.nested())


def _order(entry: tuple[NamedRoute, int]) -> tuple[int, int, int, int, int]:
    route, position = entry[0].route, entry[1]
    return route.remote.low, -route.remote.high, route.local.low, -route.local.high, position


class _Sweep:
    """Routes by number, in the order of the sweep; ``around`` has the narrowest one that each is inside of."""

    def __init__(self) -> None:
        self._routes: list[tuple[NamedRoute, int]] = []
        self._around: list[int | None] = []
        self._open: list[tuple[int, int, int]] = []
        """Sorted by their local sides, the wider first."""
        self._closing: list[tuple[int, tuple[int, int, int]]] = []

    def add(self, named: NamedRoute, position: int) -> tuple[NamedRoute, int] | None:
        """Where it is ambiguous with another, that one; else it is open from now on."""
        local, remote = named.route.local, named.route.remote
        while self._closing and self._closing[0][0] < remote.low:
            self._open.pop(bisect(self._open, heappop(self._closing)[1]) - 1)
        key = local.low, -local.high, len(self._routes)
        place = bisect(self._open, key)
        around = self._open[place - 1][2] if place else None
        while around is not None and self._routes[around][0].route.local.high < local.low:
            around = self._around[around]
        if place < len(self._open) and self._open[place][0] <= local.high:
            return self._routes[self._open[place][2]]
        if around is not None and not is_inside(named.route, self._routes[around][0].route):
            return self._routes[around]
        self._routes.append((named, position))
        self._around.append(around)
        self._open.insert(place, key)
        heappush(self._closing, (remote.high, key))
        return None

    def nested(self) -> list[Nested]:
        """Each route that others are inside of."""
        inside = [0] * len(self._routes)
        first: dict[int, int] = {}
        for number, around in reversed(list(enumerate(self._around))):
            if around is not None:
                inside[around] += inside[number] + 1
                first[around] = number
        return [Nested(self._routes[wide][0], self._routes[first[wide]][0], inside[wide] - 1) for wide in sorted(first)]


def is_inside(narrow: Route, wide: Route) -> bool:
    """Whether all that the one has is the other's, too, and not all the other way round."""
    return ((narrow.local, narrow.remote) != (wide.local, wide.remote)
            and wide.local.contains(narrow.local) and wide.remote.contains(narrow.remote))
