# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what the tunnel routes of one site mean to each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Side
from .book import ERROR, OWN, SITE, WARNING, Broken
from .route_overlaps import NamedRoute, Overlaps, overlaps


@SITE.rule("routes-overlap", ERROR, OWN, member="tunnels")
def routes_overlap(side: Side) -> Iterator[Broken]:
    """No two tunnel routes of a site overlap, unless one is inside the other or their interfaces' metrics differ."""
    metrics = {tunnel.name: tunnel.interface.metric or 0 for tunnel in side.tunnels if tunnel.interface is not None}
    for one, other in (pair for found in _overlaps(side) for pair in found.ambiguous):
        if one.tunnel == other.tunnel and one.route == other.route:
            continue  # which has a rule of its own
        if {one.tunnel, other.tunnel} <= metrics.keys() and metrics[one.tunnel] != metrics[other.tunnel]:
            continue
        yield Broken("tunnel routes", f"tunnel {one.tunnel} has {one.route}",
                     f"tunnel {other.tunnel} has {other.route}",
                     "they overlap, so traffic could go into either", "Make them disjoint, or keep one of the two",
                     one.path, other.path)


@SITE.rule("routes-nested", WARNING, OWN, member="tunnels")
def routes_nested(side: Side) -> Iterator[Broken]:
    """No tunnel route of a site is inside another: the narrower has its traffic, whether its tunnel is up or not."""
    for wide, narrow, more in (nested for found in _overlaps(side) for nested in found.nested):
        others = f", and {more} more" if more else ""
        yield Broken("tunnel routes", f"tunnel {wide.tunnel} has {wide.route}",
                     f"tunnel {narrow.tunnel} has {narrow.route}{others}",
                     "the narrower one has its traffic, whether its tunnel is up or not",
                     "Keep it so where that is meant, or make them disjoint", wide.path, narrow.path)


def _overlaps(side: Side) -> Iterator[Overlaps]:
    """Of each address family."""
    routes = [NamedRoute(route, tunnel.name, index)
              for tunnel in side.tunnels for index, route in enumerate(tunnel.routes)]
    for version in (4, 6):
        yield overlaps([named for named in routes
                        if named.route.local.version == named.route.remote.version == version])
