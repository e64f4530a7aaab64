# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is whose peer: gateways of different sides that mean each other, and their tunnels.

Two ends that disagree must still be paired, or nobody could say on what. So gateways are joined by all that they
claim of each other, then by less and less; each step is one pass over an index, so the work grows with the number of
gateways and tunnels, not with its square.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import compress
from operator import add
from typing import NamedTuple

from . import identities
from .model import Address, Endpoint, EndpointPair, Gateway, Route, Selector, Side, Tunnel


class TunnelPair(NamedTuple):
    """Two tunnels that are meant to be one."""

    left: Tunnel
    right: Tunnel


class Pair(NamedTuple):
    """Two gateways that are each other's far end, their tunnels, and the tunnels that only one of them has."""

    left: Side
    left_gateway: Gateway
    right: Side
    right_gateway: Gateway
    tunnels: tuple[TunnelPair, ...] = ()
    left_only: tuple[Tunnel, ...] = ()
    right_only: tuple[Tunnel, ...] = ()

    @property
    def left_tunnels(self) -> tuple[Tunnel, ...]:
        return *(tunnels.left for tunnels in self.tunnels), *self.left_only

    @property
    def right_tunnels(self) -> tuple[Tunnel, ...]:
        return *(tunnels.right for tunnels in self.tunnels), *self.right_only

    def strays(self) -> Iterator[tuple[TunnelPair, list[tuple[int, int]]]]:
        """Two tunnels that are no counterparts and have mirrored routes all the same, and these by their places."""
        counterparts = {tunnels.left.name: tunnels.right.name for tunnels in self.tunnels}
        mirrors: dict[tuple[Selector, Selector], dict[str, tuple[Tunnel, int]]] = {}
        for tunnel in self.right_tunnels:
            for index, route in enumerate(tunnel.routes):
                mirrors.setdefault((route.remote, route.local), {})[tunnel.name] = tunnel, index
        for tunnel in self.left_tunnels:
            found: dict[str, tuple[TunnelPair, list[tuple[int, int]]]] = {}
            for index, route in enumerate(tunnel.routes):
                others = mirrors.get((route.local, route.remote), {})
                if others and counterparts.get(tunnel.name) not in others:
                    (name, (other, at)), *_more = others.items()
                    found.setdefault(name, (TunnelPair(tunnel, other), []))[1].append((index, at))
            yield from found.values()


def asking(routes: Iterable[Route], others: Iterable[Route]) -> list[Route]:
    """Of the routes without mirrors at one end those that ask for one: none that is wrong by itself, and none that a
    wrong one of the other end was to mirror, as one of its sides shows. What is wrong is told of the wrong one."""
    wrong = [other for other in others if other.is_wrong]
    return [route for route in routes if not route.is_wrong
            and not any(other.local == route.remote or other.remote == route.local for other in wrong)]


class Leftover(NamedTuple):
    """A gateway without a far end.

    ``claimed`` is the side that has an address it wants to reach, if one does, and ``at`` the endpoint pair in which.
    """

    side: Side
    gateway: Gateway
    claimed: Side | None
    at: int = 0


_Key = Callable[[Endpoint], Hashable]


_DYNAMIC = -(1 << 64)
"""So far below zero that with the number of any endpoint, or of any pair, added it still is."""
_FACTOR = 1 << 32
"""More than there are endpoints."""


class _Numbers:
    """The same number for endpoints with the same key, ``_DYNAMIC`` where the key is None.

    Comparing and hashing addresses is slow, and gateways of a fleet share endpoints: each is looked at once.
    """

    def __init__(self, key: _Key) -> None:
        self._key = key
        self._by_key: dict[Hashable, int] = {None: _DYNAMIC}
        self._by_endpoint: dict[int, int] = {}

    def of(self, endpoints: Sequence[Endpoint]) -> list[int]:
        numbers = self._by_endpoint
        for name, endpoint in dict(zip(map(id, endpoints), endpoints, strict=True)).items():
            if name not in numbers:
                numbers[name] = self._by_key.setdefault(self._key(endpoint), len(self._by_key))
        return list(map(numbers.__getitem__, map(id, endpoints)))


def _address(endpoint: Endpoint) -> Hashable:
    return endpoint.reached


def _identity(endpoint: Endpoint) -> Hashable:
    return identities.key(endpoint.identity)


def _both(endpoint: Endpoint) -> Hashable:
    return endpoint.reached, identities.key(endpoint.identity)


def _said(local: Iterable[int], remote: Iterable[int]) -> list[int]:
    """Each two numbers as one; below zero where either is, because a dynamic address says nothing."""
    return list(map(add, map(_FACTOR.__mul__, local), remote))


_STEPS: tuple[tuple[_Key, _Key], ...] = (
    (_both, _both), (_both, _address), (_address, _both), (_address, _address), (_both, _identity),
    (_identity, _both), (_identity, _identity), (_address, _identity), (_identity, _address))
"""By what is said of the own end and of the peer's: by all, then by less and less."""
_LAST_STEPS: tuple[_Key, ...] = (_both, _address, _identity)
"""By what one end says of its peer, which says nothing of it: see `_Matching.by_pointing`."""


def pair(sides: Sequence[Side]) -> tuple[tuple[Pair, ...], tuple[Leftover, ...]]:
    """All pairs of gateways in the order of the sides, and the gateways without a far end."""
    matching = _Matching(sides)
    firsts = _Claims(range(len(matching.gateways)), [gateway.endpoints[0] for gateway in matching.gateways])
    for step in _STEPS:
        firsts = matching.by(*step, firsts)
    every = [(end, pair) for end in firsts.ends for pair in matching.gateways[end].endpoints]
    others = _Claims([end for end, _pair in every], [pair for _end, pair in every])
    for step in _STEPS:
        others = matching.by(*step, others)
    matching.by_name()
    for key in _LAST_STEPS:
        matching.by_pointing(key, matching.alone(firsts))
    return matching.pairs(), matching.leftovers()


class _Claims(NamedTuple):
    """What ends, by their positions, say of both: an end with several endpoint pairs makes several claims."""

    ends: Sequence[int]
    pairs: Sequence[EndpointPair]


class _Matching:
    """Gateways by position, in the order of the sides, and the position of each one's peer."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self._sides = sides
        self.gateways = [gateway for side in sides for gateway in side.gateways]
        self._side_of = [side for side in sides for _gateway in side.gateways]
        self._peers: list[int | None] = [None] * len(self.gateways)
        self._numbers: dict[_Key, _Numbers] = {key: _Numbers(key) for key in (_address, _identity, _both)}

    @cached_property
    def _tunnels(self) -> dict[int, dict[str, tuple[Tunnel, ...]]]:
        return {id(side): side.tunnels_by_gateway() for side in self._sides}

    def alone(self, claims: _Claims) -> _Claims:
        """The claims of ends that have no peer."""
        alone = [self._peers[end] is None for end in claims.ends]
        return _Claims(list(compress(claims.ends, alone)), list(compress(claims.pairs, alone)))

    def by(self, local: _Key, remote: _Key, claims: _Claims) -> _Claims:
        """Join ends that say of each other what the other says of itself; what is left are the claims of the others.

        All claims are of ends that have no peer yet.
        """
        locals_, remotes = [pair.local for pair in claims.pairs], [pair.remote for pair in claims.pairs]
        own, of_peer = self._numbers[local], self._numbers[remote]
        here, there = own.of(locals_), of_peer.of(remotes)
        mirrored = (there, here) if own is of_peer else (own.of(remotes), of_peer.of(locals_))
        self._join(claims.ends, _said(here, there), _said(*mirrored))
        return self.alone(claims)

    def by_name(self) -> None:
        """Join ends that are alone and call each other by their sites' names."""
        ends = [end for end, peer in enumerate(self._peers) if peer is None]
        own = [(self._side_of[end].name, self.gateways[end].name) for end in ends]
        numbers: dict[tuple[str, str], int] = {}
        here, there = ([numbers.setdefault(key, len(numbers)) for key in keys]
                       for keys in (own, [(peer, name) for name, peer in own]))
        self._join(ends, here, there)

    def by_pointing(self, key: _Key, claims: _Claims) -> None:
        """Join each end with the one that it means of those that have what it says of its peer, where no other end
        means that one and that one means no third.

        It means the one that bears its site's name and has a route that mirrors one of its; else the only one that has
        such a route; else the only one of that name. All claims are of ends that have no peer yet.
        """
        numbers, marks = self._numbers[key], _Marks(self._side_of)
        here = numbers.of([pair.local for pair in claims.pairs])
        there = numbers.of([pair.remote for pair in claims.pairs])
        for end, number, pair in zip(claims.ends, here, claims.pairs, strict=True):
            if key is _identity or pair.local.reached is not None:
                marks.add(end, number, self.gateways[end].name, self._mirrored_routes(end))
        meant: dict[int, int] = {}
        for end, number, pair in zip(claims.ends, there, claims.pairs, strict=True):
            if key is _identity or pair.remote.reached is not None:
                peer = marks.meant(end, number, self._side_of[end].name, self._routes(end))
                if peer is not None:
                    meant[end] = peer
        callers = Counter(meant.values())
        for end, peer in meant.items():
            if callers[peer] == 1 and meant.get(peer, end) == end:
                self._peers[end], self._peers[peer] = peer, end

    def _routes(self, end: int) -> set[tuple[Selector, Selector]]:
        return {(route.local, route.remote) for tunnel in self._tunnels_of(end) for route in tunnel.routes}

    def _mirrored_routes(self, end: int) -> set[tuple[Selector, Selector]]:
        return {(remote, local) for local, remote in self._routes(end)}

    def _join(self, ends: Sequence[int], here: Sequence[int], there: Sequence[int]) -> None:
        """Join the ends whose ``here`` is another's ``there``, the first first.

        An end that has a negative number there does not know whom it means.
        """
        fitting: dict[int, deque[int]] = {}
        first = dict(zip(reversed(here), reversed(ends), strict=True))
        if len(first) < len(ends):  # several are alike
            for end, key in zip(ends, here, strict=True):
                fitting.setdefault(key, deque()).append(end)
        peers, side_of = self._peers, self._side_of
        for end, key, peer in zip(ends, there, map(first.get, there), strict=True):
            if peer is None or peers[end] is not None or key < 0:
                continue
            if fitting:
                others = fitting[key]
                while others and peers[others[0]] is not None:
                    others.popleft()
                if not others:
                    continue
                peer = others[0]
            elif peers[peer] is not None:
                continue
            if side_of[peer] is not side_of[end]:
                peers[end], peers[peer] = peer, end

    def _tunnels_of(self, end: int) -> tuple[Tunnel, ...]:
        return self._tunnels[id(self._side_of[end])].get(self.gateways[end].name, ())

    def pairs(self) -> tuple[Pair, ...]:
        found, tunnels = [], self._tunnels
        for end, peer in enumerate(self._peers):
            if peer is not None and end < peer:
                left, right = self._side_of[end], self._side_of[peer]
                left_gateway, right_gateway = self.gateways[end], self.gateways[peer]
                found.append(Pair(left, left_gateway, right, right_gateway, *pair_tunnels(
                    tunnels[id(left)].get(left_gateway.name, ()), tunnels[id(right)].get(right_gateway.name, ()))))
        return tuple(found)

    def leftovers(self) -> tuple[Leftover, ...]:
        ends = [end for end, peer in enumerate(self._peers) if peer is None]
        if not ends:
            return ()
        owner: dict[Address, Side] = {}
        for side, gateway in zip(self._side_of, self.gateways, strict=True):
            for endpoints in gateway.endpoints:
                if endpoints.local.reached is not None:
                    owner.setdefault(endpoints.local.reached, side)
        return tuple(self._leftover(self._side_of[end], self.gateways[end], owner) for end in ends)

    def _leftover(self, side: Side, gateway: Gateway, owner: dict[Address, Side]) -> Leftover:
        for at, endpoints in enumerate(gateway.endpoints):
            address = endpoints.remote.address
            claimed = None if address is None else owner.get(address)
            if claimed is not None and claimed is not side:
                return Leftover(side, gateway, claimed, at)
        return Leftover(side, gateway, None)


class _Marks:
    """By what ends that the same is said of are told apart: their gateways' names, and their routes from the peer's
    side. Of ends that are alike in that a few are kept, as more than one are several."""

    _OF_A_SIDE, _SIDES = 2, 3

    def __init__(self, side_of: Sequence[Side]) -> None:
        self._side_of = side_of
        self._ends: dict[tuple[int, Hashable], list[int]] = {}
        self._routes: dict[int, set[tuple[Selector, Selector]]] = {}

    def add(self, end: int, number: int, name: str, routes: set[tuple[Selector, Selector]]) -> None:
        self._routes[end] = routes
        for mark in (name, *routes):
            ends = self._ends.setdefault((number, mark), [])
            sides = [id(self._side_of[row]) for row in ends]
            side = id(self._side_of[end])
            if sides.count(side) < self._OF_A_SIDE and (side in sides or len(set(sides)) < self._SIDES):
                ends.append(end)

    def meant(self, end: int, number: int, name: str, routes: set[tuple[Selector, Selector]]) -> int | None:
        named = self._of_others(end, number, name)
        only = {found.pop() for route in routes if len(found := self._of_others(end, number, route)) == 1}
        for candidates in ({row for row in named if routes & self._routes[row]}, only, named):
            if len(candidates) == 1:
                return candidates.pop()
        return None

    def _of_others(self, end: int, number: int, mark: Hashable) -> set[int]:
        return {row for row in self._ends.get((number, mark), ()) if self._side_of[row] is not self._side_of[end]}


def pair_tunnels(left: Sequence[Tunnel], right: Sequence[Tunnel],
                 ) -> tuple[tuple[TunnelPair, ...], tuple[Tunnel, ...], tuple[Tunnel, ...]]:
    """The tunnels of two paired gateways joined by mirrored routes, then by name; and those left at either end.

    Where one is left at each end, the two are taken for one tunnel that differs in both; so are the only two left that
    are route-based, since these need neither routes nor a common name.
    """
    if len(left) == len(right) == 1:
        return (TunnelPair(left[0], right[0]),), (), ()
    at_route = {(route.remote, route.local): tunnel for tunnel in reversed(right) for route in tunnel.routes}
    named = {tunnel.name: tunnel for tunnel in right}
    taken: set[str] = set()
    partner: dict[str, Tunnel] = {}

    def join(one: Tunnel, other: Tunnel) -> None:
        taken.add(other.name)
        partner[one.name] = other

    for tunnel in left:
        votes = Counter(match.name for route in tunnel.routes
                        if (match := at_route.get((route.local, route.remote))) and match.name not in taken)
        if votes:
            join(tunnel, named[votes.most_common(1)[0][0]])
    for tunnel in left:
        if tunnel.name not in partner and tunnel.name in named and tunnel.name not in taken:
            join(tunnel, named[tunnel.name])
    for any_kind in (False, True):
        here = [tunnel for tunnel in left if tunnel.name not in partner and (any_kind or tunnel.interface)]
        there = [tunnel for tunnel in right if tunnel.name not in taken and (any_kind or tunnel.interface)]
        if len(here) == len(there) == 1:
            join(here.pop(), there.pop())
    pairs = tuple(TunnelPair(tunnel, partner[tunnel.name]) for tunnel in left if tunnel.name in partner)
    return pairs, tuple(here), tuple(there)
