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
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from . import identities
from .model import Address, Endpoint, EndpointPair, Gateway, Side, Tunnel


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


class Leftover(NamedTuple):
    """A gateway without a far end. ``claimed`` is the side that has the address it wants to reach, if one does."""

    side: Side
    gateway: Gateway
    claimed: Side | None


_Key = Callable[[Endpoint], Hashable]


class _Numbers:
    """The same number for endpoints with the same key, None where the key is None.

    Comparing and hashing addresses is slow, and gateways of a fleet share endpoints: each is looked at once.
    """

    def __init__(self, key: _Key) -> None:
        self._key = key
        self._by_key: dict[Hashable, int] = {}
        self._by_endpoint: dict[int, int | None] = {}

    def of(self, endpoints: Sequence[Endpoint]) -> list[int | None]:
        numbers = self._by_endpoint
        for name, endpoint in {id(endpoint): endpoint for endpoint in endpoints}.items():
            if name not in numbers:
                key = self._key(endpoint)
                numbers[name] = None if key is None else self._by_key.setdefault(key, len(self._by_key))
        return [numbers[id(endpoint)] for endpoint in endpoints]


def _address(endpoint: Endpoint) -> Hashable:
    return endpoint.address


def _identity(endpoint: Endpoint) -> Hashable:
    return identities.key(endpoint.identity)


def _both(endpoint: Endpoint) -> Hashable:
    return endpoint.address, identities.key(endpoint.identity)


def _whatever(_endpoint: Endpoint) -> Hashable:
    return ""


_STEPS: tuple[tuple[_Key, _Key], ...] = (
    (_both, _both), (_both, _address), (_address, _both), (_address, _address), (_both, _identity),
    (_identity, _both), (_identity, _identity))
"""By what is said of the own end and of the peer's: by all, then by less and less."""
_LAST_STEPS: tuple[tuple[_Key, _Key], ...] = ((_whatever, _both), (_whatever, _address), (_whatever, _identity))
"""Only one end points at the other: taken where exactly one gateway does and exactly one could be meant."""


def pair(sides: Sequence[Side]) -> tuple[tuple[Pair, ...], tuple[Leftover, ...]]:
    """All pairs of gateways in the order of the sides, and the gateways without a far end."""
    matching = _Matching(sides)
    firsts = [(end, gateway.endpoints[0]) for end, gateway in enumerate(matching.gateways)]
    for step in _STEPS:
        matching.by(*step, firsts)
    others = [(end, pair) for end in matching.alone() for pair in matching.gateways[end].endpoints]
    for step in _STEPS:
        matching.by(*step, others)
    matching.by_name()
    for step in _LAST_STEPS:
        matching.by(*step, firsts, only=True)
    return matching.pairs(), matching.leftovers()


_Claim = tuple[int, EndpointPair]
"""What one end, by its position, says of both: an end with several endpoint pairs makes several claims."""


class _Matching:
    """Gateways by position, in the order of the sides, and the position of each one's peer."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self._sides = sides
        self.gateways = [gateway for side in sides for gateway in side.gateways]
        self._side_of = [side for side in sides for _gateway in side.gateways]
        self._peers: list[int | None] = [None] * len(self.gateways)
        self._numbers: dict[_Key, _Numbers] = {key: _Numbers(key) for key in (_address, _identity, _both, _whatever)}

    def alone(self) -> list[int]:
        return [end for end, peer in enumerate(self._peers) if peer is None]

    def by(self, local: _Key, remote: _Key, claims: Sequence[_Claim], *, only: bool = False) -> None:
        """Join ends that are alone and say of each other what the other says of itself."""
        peers = self._peers
        claims = [claim for claim in claims if peers[claim[0]] is None]
        locals_, remotes = [pair.local for _end, pair in claims], [pair.remote for _end, pair in claims]
        said = list(zip(self._numbers[local].of(locals_), self._numbers[remote].of(remotes), strict=True))
        heard = list(zip(self._numbers[local].of(remotes), self._numbers[remote].of(locals_), strict=True))
        self._join([end for end, _pair in claims], said, heard, only)

    def by_name(self) -> None:
        """Join ends that are alone and call each other by their sites' names."""
        ends = self.alone()
        own = [(self._side_of[end].name, self.gateways[end].name) for end in ends]
        self._join(ends, own, [(peer, name) for name, peer in own], False)

    def _join(self, ends: Sequence[int], here: Sequence[tuple[Hashable, Hashable]],
              there: Sequence[tuple[Hashable, Hashable]], only: bool) -> None:
        """Join the ends whose ``here`` is another's ``there``, the first first; with ``only``, where one each fits."""
        first: dict[tuple[Hashable, Hashable], int] = {}
        more: dict[tuple[Hashable, Hashable], deque[int]] = {}
        for end, key in zip(ends, here, strict=True):
            known = first.setdefault(key, end)
            if known != end:
                more.setdefault(key, deque((known,))).append(end)
        callers = Counter(there) if only else None
        peers = self._peers
        for end, key in zip(ends, there, strict=True):
            if peers[end] is not None or None in key:  # a dynamic address says nothing
                continue
            fitting = more.get(key)
            if fitting is None:
                peer = first.get(key)
                if peer is None or peers[peer] is not None:
                    continue
            else:
                while fitting and peers[fitting[0]] is not None:
                    fitting.popleft()
                if not fitting:
                    continue
                peer = fitting[0]
            if callers is not None and not callers[key] == len(fitting or (peer,)) == 1:
                continue
            if self._side_of[peer] is not self._side_of[end]:
                peers[end], peers[peer] = peer, end

    def pairs(self) -> tuple[Pair, ...]:
        tunnels: dict[int, dict[str, tuple[Tunnel, ...]]] = {
            id(side): side.tunnels_by_gateway() for side in self._sides}
        found = []
        for end, peer in enumerate(self._peers):
            if peer is not None and end < peer:
                left, right = self._side_of[end], self._side_of[peer]
                left_gateway, right_gateway = self.gateways[end], self.gateways[peer]
                found.append(Pair(left, left_gateway, right, right_gateway, *pair_tunnels(
                    tunnels[id(left)].get(left_gateway.name, ()), tunnels[id(right)].get(right_gateway.name, ()))))
        return tuple(found)

    def leftovers(self) -> tuple[Leftover, ...]:
        ends = self.alone()
        if not ends:
            return ()
        owner: dict[Address, Side] = {}
        for side, gateway in zip(self._side_of, self.gateways, strict=True):
            address = gateway.endpoints[0].local.address
            if address is not None:
                owner.setdefault(address, side)
        return tuple(Leftover(self._side_of[end], self.gateways[end], self._claimed(end, owner)) for end in ends)

    def _claimed(self, end: int, owner: dict[Address, Side]) -> Side | None:
        address = self.gateways[end].endpoints[0].remote.address
        claimed = None if address is None else owner.get(address)
        return None if claimed is self._side_of[end] else claimed


def pair_tunnels(left: Sequence[Tunnel], right: Sequence[Tunnel],
                 ) -> tuple[tuple[TunnelPair, ...], tuple[Tunnel, ...], tuple[Tunnel, ...]]:
    """The tunnels of two paired gateways joined by mirrored routes, then by name; and those left at either end.

    Where one is left at each end, the two are taken for one tunnel that differs in both.
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
    here = [tunnel for tunnel in left if tunnel.name not in partner]
    there = [tunnel for tunnel in right if tunnel.name not in taken]
    if len(here) == len(there) == 1:
        join(here.pop(), there.pop())
    pairs = tuple(TunnelPair(tunnel, partner[tunnel.name]) for tunnel in left if tunnel.name in partner)
    return pairs, tuple(here), tuple(there)
