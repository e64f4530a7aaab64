# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which inner packets may open a connection, as an ordered list of verdicts: the first that fits decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...vpn.model import Direction, Route
from ...vpn.rules.route_overlaps import NamedRoute, overlaps
from ...vpn.selectors import Selector
from ..interface import Protection


class Verdict(NamedTuple):
    """What becomes of packets from ``source`` to ``destination`` that answer to nothing; by which device they come or
    leave, where it is about these alone."""

    source: Selector
    destination: Selector
    drop: bool
    comes_by: str | None = None
    leaves_by: str | None = None


def verdicts(protections: Iterable[Protection]) -> list[Verdict]:
    """Those of each route-based tunnel's device, then those of all other tunnels. What no verdict fits goes on."""
    of_device: dict[str | None, list[Protection]] = defaultdict(list)
    for each in protections:
        of_device[each.device].append(each)
    others = of_device.pop(None, [])
    return [verdict for device, its in (*of_device.items(), (None, others)) for verdict in _verdicts(its, device)]


def _verdicts(protections: Iterable[Protection], device: str | None) -> list[Verdict]:
    """The narrowest routes first, since they have the traffic of those around them; routes that are open both ways
    stand there only inside of one that is not."""
    ordered = sorted(((route, each.local_only) for each in protections for route in each.directed), key=_breadth)
    directed = [route for route, _near in ordered if route.direction is not Direction.BOTH]
    if not directed:
        return []
    wide = _wide([route for route, _near in ordered])
    around = [route for route in directed if (route.local, route.remote) in wide]
    found: list[Verdict] = []
    for route, local_only in ordered:
        inside = any(_is_inside(route, wider) for wider in around)
        if inside or route.direction is not Direction.BOTH:
            found += _of(route, local_only, inside, device)
    return list(dict.fromkeys(found))


def _wide(routes: list[Route]) -> set[tuple[Selector, Selector]]:
    """The sides of those that others are inside of, which are few."""
    named = [NamedRoute(route, "") for route in routes]
    return {(nested.wide.route.local, nested.wide.route.remote) for version in (4, 6)
            for nested in overlaps([each for each in named if each.route.local.version == version]).nested}


def _of(route: Route, local_only: Iterable[Selector], inside: bool, device: str | None) -> Iterator[Verdict]:
    for near in local_only:
        yield Verdict(route.local, near, False)
        yield Verdict(near, route.local, False)
    if route.direction is Direction.REMOTE_TO_LOCAL or inside:
        yield Verdict(route.local, route.remote, route.direction is Direction.REMOTE_TO_LOCAL, leaves_by=device)
    if route.direction is Direction.LOCAL_TO_REMOTE or inside:
        yield Verdict(route.remote, route.local, route.direction is Direction.LOCAL_TO_REMOTE, comes_by=device)


def _breadth(named: tuple[Route, object]) -> tuple[int, int]:
    route, _near = named
    return route.remote.high - route.remote.low, route.local.high - route.local.low


def _is_inside(route: Route, around: Route) -> bool:
    return ((route.local, route.remote) != (around.local, around.remote) and around.local.contains(route.local)
            and around.remote.contains(route.remote))
