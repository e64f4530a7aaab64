# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the routes of a tunnel's two ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..model import Route, Side, Tunnel
from ..pairing import Pair, TunnelPair, asking
from .book import ERROR, SEED, TUNNELS, Broken


@TUNNELS.rule("route-direction-does-not-mirror", ERROR, SEED, member="routes")
def direction_does_not_mirror(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """The direction of a tunnel route is mirrored at the other end."""
    there = {(route.remote, route.local): (index, route) for index, route in enumerate(tunnels.right.routes)}
    for index, route in enumerate(tunnels.left.routes):
        at, other = there.get((route.local, route.remote), (0, None))
        if other is not None and other.direction is not route.direction.mirrored:
            yield Broken("tunnel route", f"{pair.left.name} has {route} ({route.direction.value})",
                         f"{pair.right.name} has {other} ({other.direction.value})",
                         "the directions do not mirror, so one end drops what the other sends",
                         f"Set the direction of {pair.right.name}'s route to {route.direction.mirrored.value}",
                         f"tunnels[{tunnels.left.name}].routes[{index}].direction",
                         f"tunnels[{tunnels.right.name}].routes[{at}].direction")


@TUNNELS.rule("route-missing-mirror", ERROR, f"{SEED}; RFC 7296 §2.9", member="routes")
def missing_mirror(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """Each tunnel route of one end has its mirror at the other."""
    if not _comparable(tunnels):
        return
    _nearby, left, right = _matching(pair, tunnels)
    here, there = [tunnels.left.routes[index] for index in left], [tunnels.right.routes[index] for index in right]
    asking_here, asking_there = asking(here, there), asking(there, here)
    for index, route in zip(left, here, strict=True):
        if route not in asking_here:
            continue
        yield Broken("tunnel route", f"{pair.left.name} has {route}", f"{pair.right.name} has no mirror of it",
                     *_add(route, pair.left, tunnels.left, pair.right, tunnels.right),
                     f"tunnels[{tunnels.left.name}].routes[{index}]", f"tunnels[{tunnels.right.name}].routes")
    for index, route in zip(right, there, strict=True):
        if route not in asking_there:
            continue
        yield Broken("tunnel route", f"{pair.left.name} has no mirror", f"{pair.right.name} has {route}",
                     *_add(route, pair.right, tunnels.right, pair.left, tunnels.left),
                     f"tunnels[{tunnels.left.name}].routes", f"tunnels[{tunnels.right.name}].routes[{index}]")


@TUNNELS.rule("interface-families-differ", ERROR, "RFC 7296 §2.9", member="interface.addresses")
def interface_families_differ(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """An interface has IPv6, by an address or a route, at both ends of its tunnel or at neither."""
    ends = ((pair.left, tunnels.left), (pair.right, tunnels.right))
    if any(tunnel.interface is None for _side, tunnel in ends):
        return
    with_it = [len(tunnel.secured) > 1 for _side, tunnel in ends]
    if with_it[0] is not with_it[1]:
        (side, tunnel), (peer, peers) = ends if with_it[0] else ends[::-1]
        here, there = ("IPv4 and IPv6" if has else "IPv4 only" for has in with_it)
        yield Broken("address families", f"{pair.left.name} has {here}", f"{pair.right.name} has {there}",
                     f"{peer.name} would refuse an SA for IPv6",
                     f"Give tunnels[{peers.name}].interface of {peer.name} an IPv6 address, or take IPv6 out of "
                     f"tunnels[{tunnel.name}] of {side.name}",
                     f"tunnels[{tunnels.left.name}].interface", f"tunnels[{tunnels.right.name}].interface")


def _add(route: Route, side: Side, tunnel: Tunnel, peer: Side, peers: Tunnel) -> tuple[str, str]:
    """What happens without a mirror, and how the peer gets it."""
    answer = f"{peer.name} would answer TS_UNACCEPTABLE"
    if tunnel.interface is not None:
        answer = f"{peer.name} would send nothing back through its interface"
    return (answer, f"Add {route.mirrored.as_yaml} to the routes of {peer.name}'s tunnel {peers.name}, or remove "
            f"{route.as_yaml} from {side.name}'s tunnel {tunnel.name}")


@TUNNELS.rule("route-narrower", ERROR, f"{SEED}; RFC 7296 §2.9", member="routes")
def narrower(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """No tunnel route is narrower than its mirror at the other end."""
    for near in _near(pair, tunnels):
        if near.right_is_narrower:
            yield near.broken(pair, tunnels, f"{pair.right.name}'s is narrower, so the rest of {pair.left.name}'s "
                              "traffic would find no tunnel")
        elif near.left_is_narrower:
            yield near.broken(pair, tunnels, f"{pair.left.name}'s is narrower, so the rest of {pair.right.name}'s "
                              "traffic would find no tunnel")


@TUNNELS.rule("route-overlaps", ERROR, f"{SEED}; RFC 7296 §2.9", member="routes")
def overlaps(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """No tunnel route overlaps its mirror at the other end in part only."""
    for near in _near(pair, tunnels):
        if not near.right_is_narrower and not near.left_is_narrower:
            yield near.broken(pair, tunnels, "they only overlap, so the rest of either's traffic would find no tunnel")


@dataclass(frozen=True, slots=True)
class _Near:
    """Two routes that have traffic in common and are no mirrors, by their places in the two tunnels."""

    left: int
    right: int
    route: Route
    other: Route

    @property
    def right_is_narrower(self) -> bool:
        return self.route.local.contains(self.other.remote) and self.route.remote.contains(self.other.local)

    @property
    def left_is_narrower(self) -> bool:
        return self.other.remote.contains(self.route.local) and self.other.local.contains(self.route.remote)

    def broken(self, pair: Pair, tunnels: TunnelPair, rule: str) -> Broken:
        return Broken("tunnel route", f"{pair.left.name} has {self.route}", f"{pair.right.name} has {self.other}", rule,
                      f"Set the route of {pair.right.name}'s tunnel {tunnels.right.name} to "
                      f"{self.route.mirrored.as_yaml}, or that of {pair.left.name}'s tunnel {tunnels.left.name} to "
                      f"{self.other.mirrored.as_yaml}",
                      f"tunnels[{tunnels.left.name}].routes[{self.left}]",
                      f"tunnels[{tunnels.right.name}].routes[{self.right}]")


def _comparable(tunnels: TunnelPair) -> bool:
    """Whether both ends are of one kind and name their routes: a route-based one may leave these to routing."""
    left, right = tunnels
    if left.interface is None and right.interface is None:
        return True
    return left.interface is not None and right.interface is not None and bool(left.routes) and bool(right.routes)


def _without_mirror(tunnel: Tunnel, peers: Iterable[Tunnel]) -> list[int]:
    """The routes that no tunnel of the peer's mirrors: that a mirror is under another one is said of the gateways."""
    mirrors = {(route.remote, route.local) for other in peers for route in other.routes}
    return [index for index, route in enumerate(tunnel.routes) if (route.local, route.remote) not in mirrors]


def _matching(pair: Pair, tunnels: TunnelPair) -> tuple[list[_Near], list[int], list[int]]:
    """The routes without mirrors: those that come near one of the other end's, and those left at either."""
    right, near, alone = _without_mirror(tunnels.right, pair.left_tunnels), [], []
    for index in _without_mirror(tunnels.left, pair.right_tunnels):
        route = tunnels.left.routes[index]
        at = next((at for at in right if _touch(route, tunnels.right.routes[at])), None)
        if at is None:
            alone.append(index)
        else:
            right.remove(at)
            near.append(_Near(index, at, route, tunnels.right.routes[at]))
    return near, alone, right


def _near(pair: Pair, tunnels: TunnelPair) -> list[_Near]:
    return _matching(pair, tunnels)[0] if _comparable(tunnels) else []


def _touch(route: Route, other: Route) -> bool:
    return route.local.overlaps(other.remote) and route.remote.overlaps(other.local)
