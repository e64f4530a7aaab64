# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what the tunnel routes of one site mean to each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Side, VirtualInterface
from ..selectors import Network
from .book import ERROR, OWN, SITE, WARNING, Broken
from .route_overlaps import NamedRoute, Overlaps, is_inside, overlaps

_METRIC_OF_NONE = {4: 0, 6: 1024}
"""What Linux gives a route without a metric, or with 0."""


@SITE.rule("routes-overlap", ERROR, OWN, member="tunnels")
def routes_overlap(side: Side) -> Iterator[Broken]:
    """No two tunnel routes of a site overlap, unless one is inside the other or their interfaces' metrics differ."""
    interfaces = {tunnel.name: tunnel.interface for tunnel in side.tunnels if tunnel.interface is not None}
    for one, other in (pair for found in _overlaps(side) for pair in found.ambiguous):
        if one.tunnel == other.tunnel and one.route == other.route:
            continue  # which has a rule of its own
        if {one.tunnel, other.tunnel} <= interfaces.keys() and len({
                _metric(interfaces[each.tunnel], each.route.remote.version) for each in (one, other)}) == 2:
            continue
        yield Broken("tunnel routes", f"tunnel {one.tunnel} has {one.route}",
                     f"tunnel {other.tunnel} has {other.route}",
                     "they overlap, so traffic could go into either", "Make them disjoint, or keep one of the two",
                     one.path, other.path)


@SITE.rule("interface-routes-clash", ERROR, "Linux, fib_table_insert and fib6_add_rt2node", member="tunnels")
def interface_routes_clash(side: Side) -> Iterator[Broken]:
    """On Linux no two interfaces have routes to one network with one metric, whatever their local sides are."""
    first: dict[tuple[Network, int], tuple[NamedRoute, VirtualInterface]] = {}
    for tunnel in side.tunnels if side.platform.is_linux else ():
        if (interface := tunnel.interface) is None:
            continue
        for index, route in enumerate(tunnel.routes):
            own = NamedRoute(route, tunnel.name, index)
            for network in route.remote.prefixes():
                metric = _metric(interface, network.version)
                other, there = first.setdefault((network, metric), (own, interface))
                same = (other.route.local, other.route.remote) == (route.local, route.remote)
                if other.tunnel != tunnel.name and not same:  # else they overlap, which is said already
                    yield Broken("tunnel routes", f"tunnel {other.tunnel} has {other.route} into {there.name}",
                                 f"tunnel {tunnel.name} has {route} into {interface.name}",
                                 f"a host has one route to {network} with metric {metric}, whatever it comes from",
                                 f"Set tunnels[{tunnel.name}].interface.metric to another number than that of "
                                 f"tunnels[{other.tunnel}], or make their remote sides disjoint", other.path, own.path)
                    break


@SITE.rule("interface-inside-policy", ERROR, OWN, member="tunnels")
def interface_inside_policy(side: Side) -> Iterator[Broken]:
    """A route of an interface inside one without has the same local side: what is routed into it goes by destination.
    """
    interfaces = {tunnel.name: tunnel.interface.name for tunnel in side.tunnels if tunnel.interface is not None}
    if not interfaces or not side.platform.is_linux:
        return
    inside = [NamedRoute(route, tunnel.name, index) for tunnel in side.tunnels if tunnel.name in interfaces
              for index, route in enumerate(tunnel.routes)]
    for wide in [nested.wide for found in _overlaps(side) for nested in found.nested]:
        for narrow in inside if wide.tunnel not in interfaces else ():
            if wide.route.local != narrow.route.local and is_inside(narrow.route, wide.route):
                name = interfaces[narrow.tunnel]
                yield Broken("tunnel routes", f"tunnel {wide.tunnel} has {wide.route}",
                             f"tunnel {narrow.tunnel} has {narrow.route} into {name}",
                             f"what is for {narrow.route.remote} goes into {name} or not, wherever it comes from",
                             f"Set {narrow.path}.local to {wide.route.local}, and to the same at the other end, or "
                             "make the two disjoint", wide.path, narrow.path)


@SITE.rule("routes-nested", WARNING, OWN, member="tunnels")
def routes_nested(side: Side) -> Iterator[Broken]:
    """No tunnel route of a site is inside another: the narrower has its traffic, whether its tunnel is up or not."""
    for wide, narrow, more in (nested for found in _overlaps(side) for nested in found.nested):
        others = f", and {more} more" if more else ""
        yield Broken("tunnel routes", f"tunnel {wide.tunnel} has {wide.route}",
                     f"tunnel {narrow.tunnel} has {narrow.route}{others}",
                     "the narrower one has its traffic, whether its tunnel is up or not",
                     "Keep it so where that is meant, or make them disjoint", wide.path, narrow.path)


def _metric(interface: VirtualInterface, version: int) -> int:
    return interface.metric or _METRIC_OF_NONE[version]


def _overlaps(side: Side) -> Iterator[Overlaps]:
    """Of each address family."""
    routes = [NamedRoute(route, tunnel.name, index)
              for tunnel in side.tunnels for index, route in enumerate(tunnel.routes)]
    for version in (4, 6):
        yield overlaps([named for named in routes
                        if named.route.local.version == named.route.remote.version == version])
