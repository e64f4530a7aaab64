# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnel routes as traffic selectors, and narrowing (RFC 7296 §2.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..vpn.model import Route, Tunnel
from ..vpn.selectors import Selector
from ..vpn.sharing import together
from ..wire.traffic_selectors import TrafficSelector

#: A declared route with the part of it that both ends agree on; one of several parts stands there several times.
Part: TypeAlias = tuple[Route, Route]

ALL_PORTS = (0, 65535)
_MOST_RANGES = 16
"""That a route falls into at either side: each pair of them costs a data plane something for every packet."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """``parts`` of routes of one tunnel, from our side, in the order of their declaration.

    ``more`` says that the proposal has to do with further routes, which have no SA: what ADDITIONAL_TS_POSSIBLE tells.
    """

    tunnel: Tunnel
    parts: tuple[Part, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class _Shared:
    """A route of ours, what the proposal has of either side of it, and how well the two fit: see `_rank`."""

    tunnel: Tunnel
    route: Route
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    rank: int
    is_covered: bool

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple((self.route, Route(one, other, self.route.direction))
                     for one in self.local for other in self.remote)

    def has(self, other: _Shared) -> bool:
        """Whether all is in it that the proposal has of another route."""
        return (all(any(mine.contains(each) for mine in self.local) for each in other.local)
                and all(any(mine.contains(each) for mine in self.remote) for each in other.remote))


def to_wire(selector: Selector) -> TrafficSelector:
    return TrafficSelector(selector.first, selector.last)


def from_wire(selectors: Sequence[TrafficSelector]) -> list[Selector]:
    """The selectors for all protocols and ports: the only kind a tunnel route can be."""
    return [Selector.between(row.first, row.last) for row in selectors
            if row.protocol == 0 and (row.first_port, row.last_port) == ALL_PORTS
            and row.first.version == row.last.version and int(row.first) <= int(row.last)]


def selectors_of(parts: Sequence[Part]) -> tuple[tuple[TrafficSelector, ...], tuple[TrafficSelector, ...]]:
    """Local and remote selectors on the wire, each once."""
    return (tuple(map(to_wire, dict.fromkeys(part.local for _route, part in parts))),
            tuple(map(to_wire, dict.fromkeys(part.remote for _route, part in parts))))


def narrow(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector], ours: Iterable[tuple[Tunnel, Route]],
           is_covered: Callable[[Tunnel, Route], bool]) -> Narrowed | None:
    """What of ``ours`` a peer gets that proposes these selectors; ``is_covered`` says which have an SA already.

    First one route is chosen: the one with the first selectors of both lists in it (RFC 7296 §2.9), unless it has an
    SA; else one that equals selectors of the proposal, one that the proposal contains, one that contains selectors of
    it, or one that shares addresses with it; of equals one without an SA, and of those the earliest. Then come all
    others of its tunnel that can share its SA. A route that is everything is granted as a whole or not at all.
    """
    offered_local, offered_remote = from_wire(local), from_wire(remote)
    joined_local, joined_remote = joined(offered_local), joined(offered_remote)
    ours = list(ours)
    found = []
    for tunnel, route in ours:
        shared_local, shared_remote = in_common(route, joined_local, joined_remote)
        if shared_local:
            rank = _rank(route, offered_local, offered_remote)
            found.append(_Shared(tunnel, route, shared_local, shared_remote, rank, is_covered(tunnel, route)))
    if not found:
        return None
    if len(found) == 1:
        return Narrowed(found[0].tunnel, found[0].parts, more=False)
    found = _meant(found)
    best = _best(found, local[0], remote[0])
    open_ones = [row for row in found if row.tunnel is best.tunnel and (best.is_covered or not row.is_covered)]
    chosen = set(together(best.route, [row.route for row in sorted(open_ones, key=lambda row: row.rank)]))
    return Narrowed(best.tunnel, tuple(part for row in open_ones if row.route in chosen for part in row.parts),
                    more=any(not row.is_covered for row in found
                             if row.tunnel is not best.tunnel or row.route not in chosen))


def in_common(route: Route, local: Sequence[Selector], remote: Sequence[Selector]) -> tuple[
        tuple[Selector, ...], tuple[Selector, ...]]:
    """What a proposal, of `joined` ranges, has of either side of a route; nothing at both where it has nothing at one,
    or cuts it."""
    shared_local = _intersections(route.local, local)[:_MOST_RANGES]
    shared_remote = _intersections(route.remote, remote)[:_MOST_RANGES]
    if not shared_local or not shared_remote or _cuts(route, shared_local, shared_remote):
        return (), ()
    return shared_local, shared_remote


def _meant(found: Sequence[_Shared]) -> list[_Shared]:
    """Where routes lie inside others, the same addresses are of several: without those that a better one makes
    needless."""
    ranks = {rank: [row for row in found if row.rank < rank] for rank in {row.rank for row in found}}
    return [row for row in found if not any(better.has(row) for better in ranks[row.rank])]


def _best(found: Sequence[_Shared], first_local: TrafficSelector, first_remote: TrafficSelector) -> _Shared:
    holders = [row for row in found
               if _holds(row.route.local, first_local) and _holds(row.route.remote, first_remote)]
    if holders:
        holder = min(holders, key=lambda row: row.rank)
        if not holder.is_covered:
            return holder
    return min(found, key=lambda row: (row.rank, row.is_covered))


def agreed(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector],
           routes: Sequence[Route]) -> tuple[Part, ...] | None:
    """What the responder's answer makes of the routes that we proposed; refuses an answer that is wider than they, in
    splinters, or for part of everything."""
    answered_local, answered_remote = from_wire(local), from_wire(remote)
    if (len(answered_local) == len(local) and _within(answered_local, [row.local for row in routes])
            and len(answered_remote) == len(remote) and _within(answered_remote, [row.remote for row in routes])):
        joined_local, joined_remote = joined(answered_local), joined(answered_remote)
        parts: list[Part] = []
        for route in routes:
            shared_local = _intersections(route.local, joined_local)
            shared_remote = _intersections(route.remote, joined_remote)
            if max(len(shared_local), len(shared_remote)) > _MOST_RANGES:
                return None
            if _cuts(route, shared_local, shared_remote):
                return None
            parts += [(route, Route(one, other, route.direction)) for one in shared_local for other in shared_remote]
        if parts:
            return tuple(parts)
    return None


def joined(selectors: Iterable[Selector]) -> list[Selector]:
    """The same addresses in the fewest ranges, in order."""
    selectors = list(selectors)
    if len(selectors) == 1:
        return selectors
    found: list[Selector] = []
    for row in sorted(selectors, key=lambda each: (each.version, each.low)):
        last = found[-1] if found else None
        if last is not None and last.version == row.version and row.low <= last.high + 1:
            if row.high > last.high:
                found[-1] = Selector(last.first, row.last)
        else:
            found.append(row)
    return found


def _within(selectors: Sequence[Selector], bounds: Iterable[Selector]) -> bool:
    ranges = joined(bounds)
    return all(any(each.contains(row) for each in ranges) for row in selectors)


def _intersections(selector: Selector, ranges: Iterable[Selector]) -> tuple[Selector, ...]:
    return tuple(shared for each in ranges if (shared := selector.intersection(each)) is not None)


def _cuts(route: Route, local: Sequence[Selector], remote: Sequence[Selector]) -> bool:
    """Whether this is but part of a route that is everything. What is routed into an interface and not in its SA would
    be lost there; and the peer's tunnel is of another kind."""
    return route.is_everything and bool(local or remote) and (tuple(local), tuple(remote)) != (
        (route.local,), (route.remote,))


def _holds(selector: Selector, first: TrafficSelector) -> bool:
    """Whether the addresses of a proposal's first selector, which may be those of one packet, are all in ours."""
    return (selector.version == first.first.version
            and selector.low <= int(first.first) and int(first.last) <= selector.high)


def _rank(route: Route, local: Sequence[Selector], remote: Sequence[Selector]) -> int:
    """0 where the proposal has the very selectors, 1 where it contains them, 2 where it is in them, 3 else."""
    if route.local in local and route.remote in remote:
        return 0
    if any(each.contains(route.local) for each in local) and any(each.contains(route.remote) for each in remote):
        return 1
    if any(route.local.contains(each) for each in local) and any(route.remote.contains(each) for each in remote):
        return 2
    return 3
