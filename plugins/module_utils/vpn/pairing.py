# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is whose peer: gateways of different sides that mean each other, and their tunnels.

Two ends that disagree must still be paired, or nobody could say on what. So gateways are joined by all that they
claim of each other, then by less and less; each step is one pass over an index, so the work grows with the number of
gateways and tunnels, not with its square.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import identities
from .model import Address, Endpoint, Gateway, Side, Tunnel


@dataclass(frozen=True, slots=True)
class TunnelPair:
    """Two tunnels that are meant to be one."""

    left: Tunnel
    right: Tunnel


@dataclass(frozen=True, slots=True)
class Pair:
    """Two gateways that are each other's far end, their tunnels, and the tunnels that only one of them has."""

    left: Side
    left_gateway: Gateway
    right: Side
    right_gateway: Gateway
    tunnels: tuple[TunnelPair, ...] = ()
    left_only: tuple[Tunnel, ...] = ()
    right_only: tuple[Tunnel, ...] = ()


@dataclass(frozen=True, slots=True)
class Leftover:
    """A gateway without a far end. ``claimed`` is the side that has the address it wants to reach, if one does."""

    side: Side
    gateway: Gateway
    claimed: Side | None


@dataclass(frozen=True, slots=True)
class _End:
    """One gateway as pairing sees it: the first endpoint pair, and names."""

    position: int
    side: Side
    gateway: Gateway
    local: Endpoint
    remote: Endpoint


_Key = Callable[[_End], tuple[Hashable, Hashable]]


def _address(endpoint: Endpoint) -> Hashable:
    return endpoint.address


def _identity(endpoint: Endpoint) -> Hashable:
    return identities.key(endpoint.identity)


def _both(endpoint: Endpoint) -> Hashable:
    return endpoint.address, identities.key(endpoint.identity)


def _mirrored(local: Callable[[Endpoint], Hashable], remote: Callable[[Endpoint], Hashable]) -> tuple[_Key, _Key]:
    """Keys that are equal where what one end says of both is what the other says of both."""
    return (lambda end: (local(end.local), remote(end.remote))), (lambda end: (local(end.remote), remote(end.local)))


def _whatever(_endpoint: Endpoint) -> Hashable:
    return ""


_STEPS: tuple[tuple[_Key, _Key], ...] = (
    _mirrored(_both, _both),
    _mirrored(_both, _address),
    _mirrored(_address, _both),
    _mirrored(_address, _address),
    _mirrored(_both, _identity),
    _mirrored(_identity, _both),
    _mirrored(_identity, _identity),
    ((lambda end: (end.side.name, end.gateway.name)), (lambda end: (end.gateway.name, end.side.name))),
)
_LAST_STEPS: tuple[tuple[_Key, _Key], ...] = (
    _mirrored(_whatever, _both),
    _mirrored(_whatever, _address),
    _mirrored(_whatever, _identity),
)
"""Only one end points at the other: taken where exactly one gateway does and exactly one could be meant."""


def pair(sides: Sequence[Side]) -> tuple[tuple[Pair, ...], tuple[Leftover, ...]]:
    """All pairs of gateways in the order of the sides, and the gateways without a far end."""
    ends = [_End(position, side, gateway, gateway.endpoints[0].local, gateway.endpoints[0].remote)
            for position, (side, gateway) in enumerate((side, gateway) for side in sides for gateway in side.gateways)]
    matched: dict[int, _End] = {}
    for here, there in _STEPS:
        _match(ends, here, there, matched, ambiguous=True)
    for here, there in _LAST_STEPS:
        _match(ends, here, there, matched, ambiguous=False)
    tunnels: defaultdict[tuple[int, str], list[Tunnel]] = defaultdict(list)
    for side in sides:
        for tunnel in side.tunnels:
            tunnels[id(side), tunnel.gateway].append(tunnel)
    pairs = tuple(_paired(end, matched[end.position], tunnels) for end in ends
                  if end.position in matched and end.position < matched[end.position].position)
    owner: dict[Address | None, Side] = {
        end.local.address: end.side for end in reversed(ends) if end.local.address is not None}
    leftovers = tuple(Leftover(end.side, end.gateway, _other(owner.get(end.remote.address), end.side))
                      for end in ends if end.position not in matched)
    return pairs, leftovers


def _paired(left: _End, right: _End, tunnels: Mapping[tuple[int, str], Sequence[Tunnel]]) -> Pair:
    return Pair(left.side, left.gateway, right.side, right.gateway,
                *pair_tunnels(tunnels.get((id(left.side), left.gateway.name), ()),
                              tunnels.get((id(right.side), right.gateway.name), ())))


def _other(claimed: Side | None, side: Side) -> Side | None:
    return None if claimed is side else claimed


def _match(ends: Iterable[_End], here: _Key, there: _Key, matched: dict[int, _End], *, ambiguous: bool) -> None:
    """Join the ends that are still alone and whose ``here`` is another's ``there``, the first first."""
    waiting: defaultdict[Hashable, list[_End]] = defaultdict(list)
    alone = [end for end in ends if end.position not in matched]
    for end in reversed(alone):
        waiting[here(end)].append(end)
    callers = Counter(there(end) for end in alone)
    for end in alone:
        if end.position in matched:
            continue
        key = there(end)
        if None in key:  # a dynamic address says nothing
            continue
        candidates = waiting.get(key, [])
        while candidates and candidates[-1].position in matched:
            candidates.pop()
        if not candidates or not (ambiguous or len(candidates) == callers[key] == 1):
            continue
        if candidates[-1].side is not end.side:
            peer = candidates.pop()
            matched[end.position], matched[peer.position] = peer, end


def pair_tunnels(left: Sequence[Tunnel], right: Sequence[Tunnel],
                 ) -> tuple[tuple[TunnelPair, ...], tuple[Tunnel, ...], tuple[Tunnel, ...]]:
    """The tunnels of two paired gateways joined by mirrored routes, then by name; and those left at either end.

    Where one is left at each end, the two are taken for one tunnel that differs in both.
    """
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
