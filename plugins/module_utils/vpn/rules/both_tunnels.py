# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the two ends of a tunnel: Phase 2."""

from __future__ import annotations

from collections.abc import Iterator

from ..durations import format_duration, format_traffic
from ..model import Expiration, Route, Side, Tunnel
from ..pairing import Pair, TunnelPair
from .book import BOTH_PHASE2, ERROR, SEED, TUNNELS, Broken
from .mismatch import nearest, proposal_members, values
from .settings import PairSettings, TunnelPairSettings


@BOTH_PHASE2.rule("phase2-protocol-differs", ERROR, SEED, member="proposals")
def protocol_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have the same Phase 2 protocol."""
    left = {proposal.protocol.name for proposal in tunnels.left.proposals}
    right = {proposal.protocol.name for proposal in tunnels.right.proposals}
    if not left & right:
        yield Broken("phase 2 protocol", f"{pair.left.name} has {'/'.join(left)}",
                     f"{pair.right.name} has {'/'.join(right)}",
                     "no common protocol; the peers would answer NO_PROPOSAL_CHOSEN",
                     "Set protocol to ESP in the proposals of both ends")


@BOTH_PHASE2.rule("phase2-no-common-proposal", ERROR, f"{SEED}; RFC 7296 §2.7", member="proposals")
def no_common_proposal(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have a Phase 2 proposal with the same protocol, encryption and authentication."""
    left = [(proposal.name, proposal_members(proposal)) for proposal in tunnels.left.proposals]
    right = [(proposal.name, proposal_members(proposal)) for proposal in tunnels.right.proposals]
    if {members for _name, members in left} & {members for _name, members in right}:
        return
    if not {members[0] for _name, members in left} & {members[0] for _name, members in right}:
        return
    near = nearest(left, right)
    yield Broken(f"phase 2 {near.labels}", f"{pair.left.name} offers {values(near.left)}",
                 f"{pair.right.name} offers {values(near.right)}",
                 "no common proposal; the peers would answer NO_PROPOSAL_CHOSEN",
                 near.mend(pair.left.name, pair.right.name, "proposal"))


@BOTH_PHASE2.rule("phase2-key-expiration-differs", ERROR, f"{SEED}; RFC 7296 §2.8", member="proposals")
def key_expiration_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends force key expiration alike in the Phase 2 proposal that they share."""
    shared = [(left, right) for left in tunnels.left.proposals for right in tunnels.right.proposals
              if (left.protocol, left.encryption, left.authentication)
              == (right.protocol, right.encryption, right.authentication)]
    if not shared or any(left.expiration == right.expiration for left, right in shared):
        return
    left, right = shared[0]
    here, there = _expiration(left.expiration), _expiration(right.expiration)
    yield Broken("phase 2 force key expiration", f"{pair.left.name}'s proposal {left.name} has {here}",
                 f"{pair.right.name}'s proposal {right.name} has {there}",
                 "proposals must match exactly, and IKEv2 does not negotiate lifetimes",
                 f"Set force_key_expiration to {here} in {pair.right.name}'s proposal {right.name}, "
                 f"or to {there} in {pair.left.name}'s proposal {left.name}")


def _expiration(expiration: Expiration) -> str:
    parts = [] if expiration.seconds is None else [f"time: {format_duration(expiration.seconds)}"]
    if expiration.kilobytes is not None:
        parts.append(f"traffic: {format_traffic(expiration.kilobytes)}")
    return f"{{{', '.join(parts)}}}"


@BOTH_PHASE2.rule("pfs-differs", ERROR, f"{SEED}; RFC 7296 §1.2", member="pfs.enabled")
def pfs_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy is on at both ends or at none."""
    left, right = tunnels.left.pfs, tunnels.right.pfs
    if (left is None) is not (right is None):
        without, tunnel, group = ((pair.left, tunnels.left, right) if left is None
                                  else (pair.right, tunnels.right, left))
        yield Broken("PFS", f"{pair.left.name} has it {'on' if left else 'off'}",
                     f"{pair.right.name} has it {'on' if right else 'off'}",
                     "the tunnel would come up and fail at its first rekey",
                     f"Set tunnels[{tunnel.name}].pfs of {without.name} to "
                     f"{{enabled: true, key_group: {group.number if group else ''}}}")


@BOTH_PHASE2.rule("pfs-group-differs", ERROR, f"{SEED}; RFC 7296 §1.2", member="pfs.key_group")
def pfs_group_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have the same key group for Perfect Forward Secrecy."""
    left, right = tunnels.left.pfs, tunnels.right.pfs
    if left is not None and right is not None and left != right:
        yield Broken("PFS key group", f"{pair.left.name} has group {left.number}",
                     f"{pair.right.name} has group {right.number}",
                     "the tunnel would come up and fail at its first rekey",
                     f"Set tunnels[{tunnels.right.name}].pfs.key_group of {pair.right.name} to {left.number}, "
                     f"or tunnels[{tunnels.left.name}].pfs.key_group of {pair.left.name} to {right.number}")


@TUNNELS.rule("route-direction-does-not-mirror", ERROR, SEED, member="routes")
def direction_does_not_mirror(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """The direction of a tunnel route is mirrored at the other end."""
    there = {(route.remote, route.local): route for route in tunnels.right.routes}
    for route in tunnels.left.routes:
        other = there.get((route.local, route.remote))
        if other is not None and other.direction is not route.direction.mirrored:
            yield Broken("tunnel route", f"{pair.left.name} has {route} ({route.direction.value})",
                         f"{pair.right.name} has {other} ({other.direction.value})",
                         "the directions do not mirror, so one end drops what the other sends",
                         f"Set the direction of {pair.right.name}'s route to {route.direction.mirrored.value}")


@TUNNELS.rule("route-does-not-mirror", ERROR, f"{SEED}; RFC 7296 §2.9", member="routes")
def route_does_not_mirror(pair: Pair, tunnels: TunnelPair) -> Iterator[Broken]:
    """Each tunnel route of one end is mirrored at the other, address for address."""
    left, right = _without_mirror(tunnels.left, tunnels.right), _without_mirror(tunnels.right, tunnels.left)
    for route in left:
        other = next((other for other in right if _touch(route, other)), None)
        if other is None:
            yield _missing(route, pair.left, tunnels.left, pair.right, tunnels.right)
            continue
        right.remove(other)
        yield Broken("tunnel route", f"{pair.left.name} has {route}", f"{pair.right.name} has {other}",
                     _relation(pair.left.name, route, pair.right.name, other),
                     f"Set the route of {pair.right.name}'s tunnel {tunnels.right.name} to "
                     f"{{local: {route.remote}, remote: {route.local}}}, or that of {pair.left.name}'s tunnel "
                     f"{tunnels.left.name} to {{local: {other.remote}, remote: {other.local}}}")
    for route in right:
        yield _missing(route, pair.right, tunnels.right, pair.left, tunnels.left)


def _without_mirror(tunnel: Tunnel, peers: Tunnel) -> list[Route]:
    mirrors = {(route.remote, route.local) for route in peers.routes}
    return [route for route in tunnel.routes if (route.local, route.remote) not in mirrors]


def _touch(route: Route, other: Route) -> bool:
    return route.local.overlaps(other.remote) and route.remote.overlaps(other.local)


def _relation(left: str, route: Route, right: str, other: Route) -> str:
    if route.local.contains(other.remote) and route.remote.contains(other.local):
        return f"{right}'s is narrower, so the rest of {left}'s traffic would find no tunnel"
    if other.remote.contains(route.local) and other.local.contains(route.remote):
        return f"{left}'s is narrower, so the rest of {right}'s traffic would find no tunnel"
    return "they only overlap, so the rest of either's traffic would find no tunnel"


def _missing(route: Route, side: Side, tunnel: Tunnel, peer: Side, peers: Tunnel) -> Broken:
    return Broken("tunnel route", f"{side.name} has {route}", f"{peer.name} has no mirror of it",
                  f"{peer.name} would answer TS_UNACCEPTABLE",
                  f"Add {{local: {route.remote}, remote: {route.local}}} to the routes of {peer.name}'s tunnel "
                  f"{peers.name}, or remove {{local: {route.local}, remote: {route.remote}}} from {side.name}'s tunnel "
                  f"{tunnel.name}")
