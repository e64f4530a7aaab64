# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays near though a wide tunnel route contains it: the site's own networks, what is routed into the devices of
its route-based tunnels, and what no router passes on."""

from __future__ import annotations

from collections.abc import Iterable

from ..vpn.model import Route, Side, Tunnel
from ..vpn.rules.route_overlaps import is_inside
from ..vpn.selectors import Selector

#: Of one link: RFC 3927, RFC 5771 §4, RFC 919; RFC 4291 §2.5.6 and §2.7. IPv6 finds its neighbours by these.
_OF_A_LINK = tuple(map(Selector.parse, ("169.254.0.0/16", "224.0.0.0/24", "255.255.255.255", "fe80::/10", "ff02::/16")))


def routed_into_devices(side: Side) -> tuple[Route, ...]:
    """The routes of all route-based tunnels."""
    return tuple(route for tunnel in side.tunnels if tunnel.interface is not None for route in tunnel.routes)


def local_only(side: Side, tunnel: Tunnel, route: Route, routed: Iterable[Route] = ()) -> tuple[Selector, ...]:
    """What is within the remote side of a route and yet not behind its peer.

    These are the local sides of the tunnel's routes, as a site with a tunnel to everywhere still reaches its own hosts,
    but where a narrower route leads there: a hub passes one spoke's traffic on to another. They are also the remote
    sides of narrower routes among those that are ``routed`` into devices. A virtual interface takes what is routed into
    it, whatever that is.
    """
    if tunnel.interface is not None:
        return ()
    candidates = dict.fromkeys(each.local for each in tunnel.routes if not each.local.is_everything)
    found = [near for near in (*candidates, *_OF_A_LINK)
             if near != route.remote and route.remote.contains(near) and not _is_remote(side, route, near)]
    found += [each.remote for each in routed if is_inside(each, route)]
    return tuple(dict.fromkeys(found))


def _is_remote(side: Side, around: Route, near: Selector) -> bool:
    return any(route.remote != around.remote and around.remote.contains(route.remote) and route.remote.contains(near)
               for tunnel in side.tunnels for route in tunnel.routes)
