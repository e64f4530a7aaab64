# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two declarations agree in fact: two daemons' protocol halves bring the tunnels up and rekey everything."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from ikeengine.ike.events import IkeRekeyed
from ikeengine.security_association import ChildSa
from ikeengine.vpn.model import Side
from ikeengine.vpn.selectors import Selector

from tests.support.virtual_network import End, VirtualNetwork, translated

_SETTLED = 20.0
"""Seconds after which both ends initiating at once, or an SA that was replaced, are settled (`Settings`)."""
_SILENT = 90.0
"""Seconds after which a request without an answer has failed, and another attempt has been made."""


@dataclass(frozen=True)
class Observation:
    """``came_up`` is every declared route, ``rekeyed`` that all was then rekeyed from either end; ``said`` is what both
    daemons give for reasons, and where status shows other routes than the declared ones."""

    came_up: bool
    rekeyed: bool
    said: tuple[str, ...]

    @property
    def agreed(self) -> bool:
        return self.came_up and self.rekeyed


def observe(left: Side, right: Side, *, public: str | None, userspace: set[str], addresses: Mapping[str, str],
            seed: int) -> Observation:
    """By each endpoint pair, while all others are dead.

    ``public`` is the right end's address behind a NAT; ``userspace`` names gateways with ESP in UDP only, and
    ``addresses`` has those of an end that declares none."""
    paths = _paths(left, right)
    seen = [_observe(left, right, [other for other in paths if other != path], public=public, userspace=userspace,
                     addresses=addresses, seed=seed) for path in paths]
    return Observation(all(row.came_up for row in seen), all(row.rekeyed for row in seen),
                       tuple(dict.fromkeys(sentence for row in seen for sentence in row.said)))


def _paths(left: Side, right: Side) -> set[frozenset[str]]:
    """What endpoint pairs lie between, of the end whose gateway has most of them; one that is none where nobody has
    several."""
    most = max((gateway.endpoints for side in (left, right) for gateway in side.gateways), key=len)
    return {frozenset((str(pair.local.address), str(pair.remote.address))) if len(most) > 1 else frozenset()
            for pair in most}


def _observe(left: Side, right: Side, dead: Collection[frozenset[str]], *, public: str | None, userspace: set[str],
             addresses: Mapping[str, str], seed: int) -> Observation:
    network = VirtualNetwork({addresses.get("left") or _address(left): left,
                              addresses.get("right") or _address(right): right}, seed=seed,
                             encapsulate=userspace.__contains__)
    for path in dead:
        network.cut(*path)
    if public is not None:
        network.tamper = translated(ipaddress.ip_address(_address(right)), ipaddress.ip_address(public))
    one, other = network.ends.values()
    network.start()
    network.run(1)
    network.traffic()
    network.run(_SETTLED)
    came_up = _is_whole(one, other)
    rekeyed = came_up and all(_rekeys(network, end, order) for end in (one, other) for order in _orders(end))
    if not came_up:
        # What `ikectl up` would say at either end: there may have been nobody to ask, or no answer yet.
        for end in (one, other):
            for gateway in end.manager.overview.gateways():
                end.manager.initiate(gateway.name, network.now)
        network.run(_SILENT)
    said = (sentence for end in (one, other) for sentence in [*end.reasons, *_narrowed(end)])
    # Of a pair that is dead somebody may say so, which is no complaint about the other end.
    return Observation(came_up, rekeyed, tuple(dict.fromkeys(
        sentence for sentence in said if not (dead and came_up and " is silent: " in sentence))))


def _address(side: Side) -> str:
    return str(side.gateways[0].endpoints[0].local.address)


def _is_whole(one: End, other: End) -> bool:
    """Every declared route of both ends is in one SA pair, as exactly what is declared, and that is the peer's
    crosswise; and there is one IKE SA."""
    for end, peer in ((one, other), (other, one)):
        declared = sorted((tunnel.name, str(route.declared)) for tunnel in end.manager.overview.tunnels()
                          for route in tunnel.routes)
        installed = sorted((child.tunnel, str(row.negotiated)) for child in end.inbound.values()
                           for row in child.routes)
        if installed != declared or len(end.inbound) != len(end.outbound) or len(end.sending) != len(declared):
            return False
        for spi, child in end.inbound.items():
            theirs = peer.outbound.get(spi)
            if (theirs is None or theirs.spi_in != child.spi_out
                    or _carried(theirs) != {(remote, local) for local, remote in _carried(child)}
                    or (theirs.keys_in, theirs.keys_out) != (child.keys_out, child.keys_in)
                    or (theirs.encryption, theirs.authentication) != (child.encryption, child.authentication)
                    or theirs.udp_encapsulated is not child.udp_encapsulated
                    or any(peer.sending.get(reqid) != theirs for reqid in theirs.reqids)
                    or any(row.negotiated != row.declared for row in child.routes)):
                return False
    return bool(one.inbound) and all(sum(len(row.ike) for row in end.manager.overview.gateways()) == 1
                                     for end in (one, other))


def _carried(child: ChildSa) -> set[tuple[Selector, Selector]]:
    """Local and remote selectors, which is all that the wire knows of a route."""
    return {(row.negotiated.local, row.negotiated.remote) for row in child.routes}


_Order = Callable[[float], None]


def _orders(end: End) -> Iterator[_Order]:
    """Rekey every child SA; rekey the IKE SA."""
    def children(now: float) -> None:
        for tunnel in end.manager.overview.tunnels():
            end.manager.rekey_child(tunnel.name, now)

    def ike(now: float) -> None:
        for gateway in end.manager.overview.gateways():
            if gateway.ike:
                end.manager.rekey_ike(gateway.name, now)

    yield from (children, ike)


def _rekeys(network: VirtualNetwork, end: End, order: _Order) -> bool:
    """Whether that order replaces what it is about, and both ends are whole again without a word of failure."""
    one, other = network.ends.values()
    failures = len(one.reasons) + len(other.reasons)
    spis, ike = set(end.inbound), end.count(IkeRekeyed)
    order(network.now)
    network.run(_SETTLED)
    replaced = not spis & set(end.inbound) or end.count(IkeRekeyed) == ike + 1
    return replaced and _is_whole(one, other) and len(one.reasons) + len(other.reasons) == failures


def _narrowed(end: End) -> Iterator[str]:
    for child in end.inbound.values():
        for row in child.routes:
            if row.negotiated != row.declared:
                yield f"tunnel {child.tunnel}: installed {row.negotiated}, declared {row.declared}"
