# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel routes can share an SA pair.

A child SA carries every pair of one of its local and one of its remote selectors of the same address family (RFC 7296
§2.9). So several routes share one only where they are all such pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

from .model import Route, Tunnel


def together(route: Route, routes: Sequence[Route]) -> tuple[Route, ...]:
    """Those of ``routes``, ``route`` among them, that can share an SA pair with it, in their order.

    Of the other address family it is what can share one with the first of that family.
    """
    chosen = _product(route, [row for row in routes if row.local.version == route.local.version])
    others = [row for row in routes if row.local.version != route.local.version]
    if others:
        chosen |= _product(others[0], others)
    return tuple(row for row in routes if row in chosen)


def groups(routes: Sequence[Route]) -> list[tuple[Route, ...]]:
    """All routes, each in one group that can share an SA pair."""
    found = []
    left = list(routes)
    while left:
        group = together(left[0], left)
        found.append(group)
        left = [route for route in left if route not in group]
    return found


def shared(tunnel: Tunnel) -> list[tuple[Route, ...]]:
    """The routes of a tunnel by the SA pairs that its declaration asks for."""
    return groups(tunnel.secured) if tunnel.shares_sa_pairs else [(route,) for route in tunnel.secured]


def _product(route: Route, routes: Sequence[Route]) -> set[Route]:
    """Routes of one family that are all pairs of some local and some remote selectors: the most that are found by
    beginning with the selectors beside either side of ``route``; of as many those that the far end takes, too."""
    if len(routes) == 1:
        return {route}
    pairs = {(row.local, row.remote) for row in routes}
    here, there = {row.local for row in routes}, {row.remote for row in routes}
    its_remotes = {each for each in there if (route.local, each) in pairs}
    its_locals = {each for each in here if (each, route.remote) in pairs}
    found = [{row for row in routes if row.local in locals_ and row.remote in remotes} for locals_, remotes in (
        ({each for each in here if all((each, other) in pairs for other in its_remotes)}, its_remotes),
        (its_locals, {each for each in there if all((other, each) in pairs for other in its_locals)}))]
    return min(found, key=lambda rows: (-len(rows), sorted(sorted((str(row.local), str(row.remote))) for row in rows)))
