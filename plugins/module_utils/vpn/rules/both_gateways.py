# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the two ends of a gateway: Phase 1."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from .. import identities
from ..durations import format_duration
from ..model import Endpoint, Gateway, IkeVersion, Side, Start
from ..pairing import Pair
from ..selectors import Address
from .book import BOTH_PHASE1, ERROR, GATEWAYS, OWN, SEED, WARNING, Broken
from .likeness import is_private
from .mismatch import listed, nearest, transform_members, values
from .settings import PairSettings


@BOTH_PHASE1.rule("ike-version-differs", ERROR, SEED, member="ike_version")
def ike_version_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same IKE version."""
    left, right = pair.left_gateway.version, pair.right_gateway.version
    if left is not right:
        yield Broken("IKE version", f"{pair.left.name} has IKEv{left.value}",
                     f"{pair.right.name} has IKEv{right.value}", "a peer does not answer the other version",
                     f"Set ike_version to {IkeVersion.V2.value} at both ends")


@BOTH_PHASE1.rule("mode-differs", ERROR, SEED, member="mode")
def mode_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same IKEv1 mode."""
    left, right = pair.left_gateway, pair.right_gateway
    if left.version is right.version is IkeVersion.V1 and left.mode and right.mode and left.mode is not right.mode:
        yield Broken("mode", f"{pair.left.name} has {left.mode.value}", f"{pair.right.name} has {right.mode.value}",
                     "a responder refuses a mode that it is not set up for", "Set mode to main at both ends")


@BOTH_PHASE1.rule("credential-method-differs", ERROR, SEED, member="credential.method")
def credential_method_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same credential method."""
    left, right = pair.left_gateway.method, pair.right_gateway.method
    if left is not right:
        yield Broken("credential", f"{pair.left.name} has method {left.value}", f"{pair.right.name} has {right.value}",
                     "both ends need the same method; the peers would answer AUTHENTICATION_FAILED",
                     f"Set gateways[{pair.right_gateway.name}].credential.method of {pair.right.name} to {left.value}, "
                     f"or {pair.left.name}'s to {right.value}")


@GATEWAYS.rule("psk-differs", ERROR, f"{SEED}; RFC 7296 §2.15", member="credential.psk")
def psk_differs(pair: Pair) -> Iterator[Broken]:
    """Both ends have the same pre-shared key."""
    left, right = pair.left_gateway.credential, pair.right_gateway.credential
    if left.method is not right.method or left.secret is None or right.secret is None:
        return
    if not hmac.compare_digest(left.secret.octets, right.secret.octets):
        yield Broken("credential", f"{pair.left.name} has one pre-shared key", f"{pair.right.name} has another",
                     "the keys must be equal; the peers would answer AUTHENTICATION_FAILED",
                     f"Set the same psk in gateways[{pair.left_gateway.name}].credential of {pair.left.name} and "
                     f"gateways[{pair.right_gateway.name}].credential of {pair.right.name}")


@BOTH_PHASE1.rule("phase1-no-common-transform", ERROR, f"{SEED}; RFC 7296 §2.7", member="transforms")
def no_common_transform(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have a Phase 1 transform with the same encryption, authentication and key group."""
    left = [(transform.name, transform_members(transform)) for transform in pair.left_gateway.transforms]
    right = [(transform.name, transform_members(transform)) for transform in pair.right_gateway.transforms]
    if {members for _name, members in left} & {members for _name, members in right}:
        return
    near = nearest(left, right)
    yield Broken(f"phase 1 {near.labels}", f"{pair.left.name} offers {values(near.left)}",
                 f"{pair.right.name} offers {values(near.right)}",
                 "no common transform; the peers would answer NO_PROPOSAL_CHOSEN",
                 near.mend(pair.left.name, pair.right.name, "transform"))


@BOTH_PHASE1.rule("phase1-sa-life-differs", ERROR, f"{SEED}; RFC 7296 §2.8", member="transforms")
def sa_life_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same SA life in the Phase 1 transform that they share."""
    shared = [(left, right) for left in pair.left_gateway.transforms for right in pair.right_gateway.transforms
              if (left.encryption, left.authentication, left.key_group)
              == (right.encryption, right.authentication, right.key_group)]
    if not shared or any(left.sa_life == right.sa_life for left, right in shared):
        return
    left, right = shared[0]
    here, there = format_duration(left.sa_life), format_duration(right.sa_life)
    yield Broken("phase 1 SA life", f"{pair.left.name}'s transform {left.name} has {here}",
                 f"{pair.right.name}'s transform {right.name} has {there}",
                 "transforms must match exactly, and IKEv2 does not negotiate lifetimes",
                 f"Set sa_life to {here} in {pair.right.name}'s transform {right.name}, "
                 f"or to {there} in {pair.left.name}'s transform {left.name}")


def _mirrors(pair: Pair) -> Iterator[tuple[int, Side, Gateway, Endpoint, Side, Gateway, Endpoint]]:
    """Each end's local endpoint beside what the other end takes for it."""
    for index, (left, right) in enumerate(zip(pair.left_gateway.endpoints, pair.right_gateway.endpoints, strict=False)):
        yield index, pair.left, pair.left_gateway, left.local, pair.right, pair.right_gateway, right.remote
        yield index, pair.right, pair.right_gateway, right.local, pair.left, pair.left_gateway, left.remote


@GATEWAYS.rule("identity-does-not-mirror", ERROR, f"{SEED}; RFC 7296 §2.15", member="endpoints")
def identity_does_not_mirror(pair: Pair) -> Iterator[Broken]:
    """The Phase 1 identifier that one end presents is the one that the other expects."""
    for index, side, gateway, local, peer, peers_gateway, remote in _mirrors(pair):
        if identities.same(local.identity, remote.identity):
            continue
        given, expected = local.identity, remote.identity
        yield Broken("phase 1 identifier", f"{side.name} presents {given.value} ({given.kind.value})",
                     f"{peer.name} expects {expected.value} ({expected.kind.value})",
                     f"they do not mirror; {peer.name} would answer AUTHENTICATION_FAILED",
                     f"Set gateways[{peers_gateway.name}].endpoints[{index}].remote.identifier of {peer.name} to "
                     f"{{type: {given.kind.value}, value: {given.value}}}, or "
                     f"gateways[{gateway.name}].endpoints[{index}].local.identifier of {side.name} to "
                     f"{{type: {expected.kind.value}, value: {expected.value}}}")


def _behind_nat(local: Address, remote: Address) -> bool:
    return is_private(local) and not is_private(remote)


@GATEWAYS.rule("endpoint-address-does-not-mirror", ERROR, SEED, member="endpoints")
def address_does_not_mirror(pair: Pair) -> Iterator[Broken]:
    """The address of one end is the one that the other end reaches for."""
    for index, side, gateway, local, peer, peers_gateway, remote in _mirrors(pair):
        if local.address is None or remote.address is None or local.address == remote.address:
            continue
        if not _behind_nat(local.address, remote.address):
            yield Broken("endpoint address", f"{side.name} has {local.address}",
                         f"{peer.name} reaches for {remote.address}", "they do not mirror, so the peers never meet",
                         f"Set gateways[{peers_gateway.name}].endpoints[{index}].remote.address of {peer.name} to "
                         f"{local.address}, or gateways[{gateway.name}].endpoints[{index}].local.address of "
                         f"{side.name} to {remote.address}")


@GATEWAYS.rule("endpoint-behind-nat", WARNING, "RFC 7296 §2.23", member="endpoints")
def endpoint_behind_nat(pair: Pair) -> Iterator[Broken]:
    """The address of one end is private and the other end reaches for a public one."""
    for index, side, gateway, local, peer, _gateway, remote in _mirrors(pair):
        if local.address is not None and remote.address is not None and _behind_nat(local.address, remote.address):
            yield Broken("endpoint address", f"{side.name} has {local.address}",
                         f"{peer.name} reaches for {remote.address}",
                         "that is right only if a NAT translates the one to the other",
                         f"Check that UDP ports 500 and 4500 of {remote.address} lead to {side.name}, or set "
                         f"gateways[{gateway.name}].endpoints[{index}].local.address to {remote.address} there")


@GATEWAYS.rule("endpoint-pairs-differ", ERROR, SEED, member="endpoints")
def endpoint_pairs_differ(pair: Pair) -> Iterator[Broken]:
    """Both ends have the same number of endpoint pairs, in the same order."""
    left, right = len(pair.left_gateway.endpoints), len(pair.right_gateway.endpoints)
    if left != right:
        yield Broken("endpoints", f"{pair.left.name} has {left} pairs", f"{pair.right.name} has {right}",
                     "failover needs the same pairs in the same order at both ends",
                     f"Add the missing pairs at {pair.left.name if left < right else pair.right.name}")


@GATEWAYS.rule("nobody-initiates", ERROR, OWN, member="start")
def nobody_initiates(pair: Pair) -> Iterator[Broken]:
    """One end at least initiates: it does not only answer, and its peer's address is known."""
    ends = ((pair.left, pair.left_gateway), (pair.right, pair.right_gateway))
    reasons = []
    for side, gateway in ends:
        dynamic = all(endpoints.remote.address is None for endpoints in gateway.endpoints)
        if gateway.start is not Start.ANSWER and not dynamic:
            return
        why = "only answers" if gateway.start is Start.ANSWER else "knows no address to reach"
        reasons.append(f"{side.name} {why}")
    able = next(((side, gateway) for side, gateway in ends
                 if any(endpoints.remote.address is not None for endpoints in gateway.endpoints)), ends[0])
    yield Broken("start", reasons[0], reasons[1], "nobody initiates, so the tunnel never comes up",
                 f"Set gateways[{able[1].name}].start of {able[0].name} to boot, with a static remote address")


@GATEWAYS.rule("tunnel-without-counterpart", ERROR, SEED)
def tunnel_without_counterpart(pair: Pair) -> Iterator[Broken]:
    """Each tunnel of one end has its counterpart at the other."""
    for side, peer, gateway, tunnels in ((pair.left, pair.right, pair.right_gateway, pair.left_only),
                                         (pair.right, pair.left, pair.left_gateway, pair.right_only)):
        for tunnel in tunnels:
            routes = listed(f"{{local: {route.remote}, remote: {route.local}}}" for route in tunnel.routes)
            yield Broken("tunnel", f"{side.name} declares tunnel {tunnel.name}", f"{peer.name} declares no counterpart",
                         f"{peer.name} would answer TS_UNACCEPTABLE",
                         f"Add a tunnel to {peer.name} under gateway {gateway.name} with routes {routes}, "
                         f"or remove tunnels[{tunnel.name}] from {side.name}")
