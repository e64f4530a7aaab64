# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the credentials and endpoints of a gateway's two ends, and which tunnels both have."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .. import identities
from ..model import (
    Credential,
    CredentialMethod,
    Endpoint,
    EndpointPair,
    Gateway,
    Identity,
    IkeVersion,
    Mode,
    Protocol,
    Route,
    Secret,
    Side,
    Start,
    Tunnel,
)
from ..pairing import Pair, asking
from . import nat
from .book import ERROR, FIREWARE, GATEWAYS, OWN, SEED, TO_IKEV2, WARNING, Broken
from .mismatch import listed


def _paths(pair: Pair, field: str) -> tuple[str, str]:
    return f"gateways[{pair.left_gateway.name}].{field}", f"gateways[{pair.right_gateway.name}].{field}"


def _accepts(credential: Credential, key: Secret) -> bool:
    return any(hmac.compare_digest(key.octets, row.octets) for row in credential.accepted)


@GATEWAYS.rule("psk-differs", ERROR, f"{SEED}; RFC 7296 §2.15", member="credential.psk")
def psk_differs(pair: Pair) -> Iterator[Broken]:
    """Both ends have the same pre-shared key, or each also accepts the other's."""
    left, right = pair.left_gateway.credential, pair.right_gateway.credential
    if left is right or left.method is not right.method or left.method is CredentialMethod.CERTIFICATE \
            or left.secret is None or right.secret is None:
        return
    if not (_accepts(right, left.secret) and _accepts(left, right.secret)):
        yield Broken("credential", f"{pair.left.name} has one pre-shared key", f"{pair.right.name} has another",
                     "the keys must be equal; the peers would answer AUTHENTICATION_FAILED",
                     f"Set the same psk in gateways[{pair.left_gateway.name}].credential of {pair.left.name} and "
                     f"gateways[{pair.right_gateway.name}].credential of {pair.right.name}",
                     *_paths(pair, "credential.psk"))


@dataclass(frozen=True, slots=True)
class _Mirror:
    """One end's local endpoint beside what the other takes for it; with ``leftwards`` the other is the left one."""

    index: int
    side: Side
    gateway: Gateway
    local: Endpoint
    peer: Side
    peers_gateway: Gateway
    remote: Endpoint
    leftwards: bool

    @property
    def fit(self) -> nat.Fit:
        return nat.fit(self.local, self.remote)

    @property
    def own_address(self) -> str:
        """The field that holds what peers are to reach for."""
        return "address" if self.local.public_address is None else "public_address"

    def broken(self, field: str, has: str, takes: str, rule: str, fix: str, member: str, own: str = "") -> Broken:
        """``has`` is what the one end has, ``takes`` what the other takes it for; the left end's stands first.

        ``own`` is the one end's field where it is another than the other's, ``member``.
        """
        here = (has, self.at_local(own or member))
        there = (takes, self.at_remote(member))
        (left, left_path), (right, right_path) = (there, here) if self.leftwards else (here, there)
        return Broken(field, left, right, rule, fix, left_path, right_path)

    def broken_address(self, rule: str, fix: str) -> Broken:
        return self.broken("endpoint address", f"{self.side.name} has {self.local.reached}",
                           f"{self.peer.name} reaches for {self.remote.address}", rule, fix, "address",
                           self.own_address)

    def at_local(self, member: str) -> str:
        return f"gateways[{self.gateway.name}].endpoints[{self.index}].local.{member}"

    def at_remote(self, member: str) -> str:
        return f"gateways[{self.peers_gateway.name}].endpoints[{self.index}].remote.{member}"


def _mirrors(pair: Pair) -> Iterator[_Mirror]:
    """Both ways, for each endpoint pair; none where only the order differs, which has a rule of its own."""
    if _in_another_order(pair):
        return
    pairs = zip(pair.left_gateway.endpoints, pair.right_gateway.endpoints, strict=False)
    for index, (left, right) in enumerate(pairs):
        if left.local is not right.remote:
            yield _Mirror(index, pair.left, pair.left_gateway, left.local, pair.right, pair.right_gateway, right.remote,
                          leftwards=False)
        if left.remote is not right.local:
            yield _Mirror(index, pair.right, pair.right_gateway, right.local, pair.left, pair.left_gateway, left.remote,
                          leftwards=True)


@GATEWAYS.rule("main-mode-agreed-needs-static-peer", ERROR, f"{SEED}; RFC 2409 §5.4", member="mode")
def main_mode_agreed_needs_static_peer(pair: Pair) -> Iterator[Broken]:
    """Both ends have static addresses where one has Main Mode and the other would fall back from it."""
    ends = ((pair.left, pair.left_gateway), (pair.right, pair.right_gateway))
    modes = {gateway.mode for _side, gateway in ends}
    if modes != {Mode.MAIN, Mode.MAIN_FALLBACK_AGGRESSIVE} \
            or any(gateway.version is not IkeVersion.V1 for _side, gateway in ends):
        return
    dynamic = [side.name for side, gateway in ends if gateway.mode is Mode.MAIN_FALLBACK_AGGRESSIVE and any(
        end.address is None for endpoints in gateway.endpoints for end in (endpoints.local, endpoints.remote))]
    if dynamic:
        left, right = (f"{side.name} has {gateway.mode.value if gateway.mode else ''}" + (
            " and a dynamic address" if side.name in dynamic else "") for side, gateway in ends)
        yield Broken("mode", left, right, "they agree on main, which needs static addresses at both ends",
                     f"Set {TO_IKEV2}, or mode to aggressive at both ends",
                     *_paths(pair, "mode"))


@GATEWAYS.rule("identity-does-not-mirror", ERROR, f"{SEED}; RFC 7296 §2.15", member="endpoints")
def identity_does_not_mirror(pair: Pair) -> Iterator[Broken]:
    """The Phase 1 identifier that one end presents is the one that the other expects."""
    for mirror in _mirrors(pair):
        given, expected = mirror.local.identity, mirror.remote.identity
        if identities.same(given, expected):
            continue
        yield mirror.broken("phase 1 identifier", f"{mirror.side.name} presents {_identity(given)}",
                            f"{mirror.peer.name} expects {_identity(expected)}",
                            f"they do not mirror; {mirror.peer.name} would answer AUTHENTICATION_FAILED",
                            f"Set {mirror.at_remote('identifier')} of {mirror.peer.name} to {given.as_yaml}, or "
                            f"{mirror.at_local('identifier')} of {mirror.side.name} to {expected.as_yaml}",
                            "identifier")


def _identity(identity: Identity) -> str:
    return f"{identity.value} ({identity.kind.value})"


@GATEWAYS.rule("endpoint-address-does-not-mirror", ERROR, SEED, member="endpoints")
def address_does_not_mirror(pair: Pair) -> Iterator[Broken]:
    """The address of one end is the one that the other end reaches for."""
    for mirror in _mirrors(pair):
        if mirror.fit is nat.Fit.APART:
            yield mirror.broken_address("they do not mirror, so the peers never meet",
                                        f"Set {mirror.at_remote('address')} of {mirror.peer.name} to "
                                        f"{mirror.local.reached}, or {mirror.at_local(mirror.own_address)} of "
                                        f"{mirror.side.name} to {mirror.remote.address}")


@GATEWAYS.rule("endpoint-behind-nat", WARNING, "RFC 7296 §2.23", member="endpoints")
def endpoint_behind_nat(pair: Pair) -> Iterator[Broken]:
    """The address of one end is not private where the other end reaches for one of another range."""
    for mirror in _mirrors(pair):
        if mirror.fit is nat.Fit.TRANSLATED:
            remote = mirror.remote.address
            yield mirror.broken_address("that is right only if a NAT translates the one to the other",
                                        f"Check that UDP ports 500 and 4500 of {remote} lead to {mirror.side.name}, "
                                        f"and set {mirror.at_local('public_address')} to {remote} there")


@GATEWAYS.rule("ah-through-nat", ERROR, "RFC 3715 §2.1; RFC 3948", member="endpoints")
def ah_through_nat(pair: Pair) -> Iterator[Broken]:
    """No tunnel has AH where a NAT evidently lies between the two ends."""
    if nat.pair_behind(pair.left_gateway) is not None or nat.pair_behind(pair.right_gateway) is not None:
        return  # which each end shows by itself
    for mirror in _mirrors(pair):
        if mirror.fit is not nat.Fit.TRANSLATED:
            continue
        for tunnels in pair.tunnels:
            if any(proposal.protocol is Protocol.AH for end in tunnels for proposal in end.proposals):
                yield mirror.broken("phase 2 protocol", f"{mirror.side.name} has {mirror.local.address}",
                                    f"{mirror.peer.name} reaches for {mirror.remote.address} with AH in tunnel "
                                    f"{tunnels.left.name}",
                                    "AH protects the addresses that the NAT between them changes",
                                    "Set protocol to ESP in the proposals of both ends", "address")


@GATEWAYS.rule("endpoint-pairs-differ", ERROR, FIREWARE, member="endpoints")
def endpoint_pairs_differ(pair: Pair) -> Iterator[Broken]:
    """Both ends have the same number of endpoint pairs."""
    left, right = len(pair.left_gateway.endpoints), len(pair.right_gateway.endpoints)
    if left != right:
        yield Broken("endpoints", f"{pair.left.name} has {left} pairs", f"{pair.right.name} has {right}",
                     "failover needs the same pairs in the same order at both ends",
                     f"Add the missing pairs at {pair.left.name if left < right else pair.right.name}",
                     *_paths(pair, "endpoints"))


@GATEWAYS.rule("endpoint-order-differs", ERROR, FIREWARE, member="endpoints")
def endpoint_order_differs(pair: Pair) -> Iterator[Broken]:
    """Both ends have their endpoint pairs in the same order."""
    ordered = _in_another_order(pair)
    if not ordered:
        return
    left, right = pair.left_gateway.endpoints, pair.right_gateway.endpoints
    index, *_more = (index for index, (one, other) in enumerate(zip(right, ordered, strict=True)) if one is not other)
    yield Broken("endpoints", f"{pair.left.name} has {_joined(left[index])} as number {index + 1}",
                 f"{pair.right.name} has {_joined(right[index])}",
                 "failover needs the same pairs in the same order at both ends",
                 f"Order gateways[{pair.right_gateway.name}].endpoints of {pair.right.name} as {pair.left.name} has "
                 f"them: {', '.join(map(_joined, ordered))}", *_paths(pair, f"endpoints[{index}]"))


def _in_another_order(pair: Pair) -> list[EndpointPair]:
    """The right end's endpoint pairs in the left one's order, where all would meet and fit better; else none."""
    left, right = pair.left_gateway.endpoints, pair.right_gateway.endpoints
    if len(left) == 1 or len(left) != len(right):
        return []
    rest, ordered = list(right), []
    for one in left:
        ordered.append(max(rest, key=lambda other: _fit(one, other)))
        rest.remove(ordered[-1])
    before, after = (list(map(_fit, left, others)) for others in (right, ordered))
    return ordered if min(after) > 0 and (min(before) == 0 or sum(after) > sum(before)) else []


def _fit(one: EndpointPair, other: EndpointPair) -> int:
    """How well the addresses of two ends' pairs fit: the more the better, 0 where they do not meet."""
    fits = nat.fit(one.local, other.remote), nat.fit(other.local, one.remote)
    return 0 if nat.Fit.APART in fits else sum(fits)


def _joined(pair: EndpointPair) -> str:
    return f"{pair.local.address or 'dynamic'}<->{pair.remote.address or 'dynamic'}"


@GATEWAYS.rule("nobody-initiates", ERROR, OWN, member="start")
def nobody_initiates(pair: Pair) -> Iterator[Broken]:
    """One end at least initiates: it does not only answer, and its peer's address is known."""
    ends = ((pair.left, pair.left_gateway), (pair.right, pair.right_gateway))
    reasons = []
    for side, gateway in ends:
        if gateway.start is not Start.ANSWER and _reaches(gateway):
            return
        why = "only answers" if gateway.start is Start.ANSWER else "knows no address to reach"
        reasons.append(f"{side.name} {why}")
    able = next(((side, gateway) for side, gateway in ends if _reaches(gateway)), ends[0])
    yield Broken("start", reasons[0], reasons[1], "nobody initiates, so the tunnel never comes up",
                 f"Set gateways[{able[1].name}].start of {able[0].name} to boot, with a static remote address",
                 *_paths(pair, "start"))


def _reaches(gateway: Gateway) -> bool:
    """Whether it knows an address of its peer."""
    return any(endpoints.remote.address is not None for endpoints in gateway.endpoints)


@GATEWAYS.rule("gateway-without-tunnel", WARNING, OWN)
def gateway_without_tunnel(pair: Pair) -> Iterator[Broken]:
    """A gateway has a tunnel at one end at least."""
    if not (pair.tunnels or pair.left_only or pair.right_only):
        left, right = (f"gateways[{gateway.name}]" for gateway in (pair.left_gateway, pair.right_gateway))
        yield Broken("tunnel", f"{pair.left.name} declares none", f"{pair.right.name} declares none",
                     "the gateway carries nothing",
                     f"Add a tunnel under {left} of {pair.left.name} and its mirror under {right} of "
                     f"{pair.right.name}, or remove both gateways", left, right)


@GATEWAYS.rule("tunnel-without-counterpart", ERROR, SEED)
def tunnel_without_counterpart(pair: Pair) -> Iterator[Broken]:
    """Each tunnel of one end has its counterpart at the other."""
    for tunnel, routes in _alone(pair.left_only, pair.right_tunnels):
        yield Broken("tunnel", f"{pair.left.name} declares tunnel {tunnel.name}",
                     f"{pair.right.name} declares no counterpart",
                     *_add(tunnel, routes, pair.left, pair.right, pair.right_gateway),
                     f"tunnels[{tunnel.name}]", f"gateways[{pair.right_gateway.name}]")
    for tunnel, routes in _alone(pair.right_only, pair.left_tunnels):
        yield Broken("tunnel", f"{pair.left.name} declares no counterpart",
                     f"{pair.right.name} declares tunnel {tunnel.name}",
                     *_add(tunnel, routes, pair.right, pair.left, pair.left_gateway),
                     f"gateways[{pair.left_gateway.name}]", f"tunnels[{tunnel.name}]")


def _alone(tunnels: Iterable[Tunnel], peers: Iterable[Tunnel]) -> Iterator[tuple[Tunnel, list[Route]]]:
    """The tunnels, and of each the routes that ask for a mirror, which no tunnel of the peer's has; none that has only
    others."""
    theirs = [route for peer in peers for route in peer.routes]
    mirrored = {(route.remote, route.local) for route in theirs}
    for tunnel in tunnels:
        routes = asking((route for route in tunnel.routes if (route.local, route.remote) not in mirrored), theirs)
        if routes or not tunnel.routes:
            yield tunnel, routes


def _add(tunnel: Tunnel, routes: Sequence[Route], side: Side, peer: Side, gateway: Gateway) -> tuple[str, str]:
    """The rule, and how the peer gets its counterpart."""
    if tunnel.interface is not None:
        what = "with an interface"
    else:
        what = f"with routes {_written(route.mirrored for route in routes)}"
    return (f"{peer.name} would answer TS_UNACCEPTABLE",
            f"Add a tunnel to {peer.name} under gateway {gateway.name} {what}, or remove tunnels[{tunnel.name}] from "
            f"{side.name}")


@GATEWAYS.rule("route-in-another-tunnel", ERROR, OWN)
def route_in_another_tunnel(pair: Pair) -> Iterator[Broken]:
    """A tunnel route and its mirror are under tunnels that are each other's counterparts."""
    at_left = {tunnels.right.name: tunnels.left.name for tunnels in pair.tunnels}
    at_right = {tunnels.left.name: tunnels.right.name for tunnels in pair.tunnels}
    for (left, right), places in pair.strays():
        here, there = [left.routes[index] for index, _at in places], [right.routes[at] for _index, at in places]
        left_path, right_path = f"tunnels[{left.name}]", f"tunnels[{right.name}]"
        yield Broken("tunnel routes", f"{pair.left.name} has {listed(map(str, here))} in tunnel {left.name}",
                     f"{pair.right.name} has {listed(map(str, there))} in tunnel {right.name}",
                     "what the ends agree on is compared tunnel by tunnel",
                     f"Move {_written(here)} of {pair.left.name} from {left_path} to "
                     f"{_tunnel(at_left.get(right.name))}, or {_written(there)} of {pair.right.name} from {right_path} "
                     f"to {_tunnel(at_right.get(left.name))}",
                     f"{left_path}.routes[{places[0][0]}]", f"{right_path}.routes[{places[0][1]}]",
                     ends=((pair.left.name, left_path), (pair.right.name, right_path)))


def _tunnel(name: str | None) -> str:
    return "a tunnel of its own" if name is None else f"tunnels[{name}]"


def _written(routes: Iterable[Route]) -> str:
    return listed(route.as_yaml for route in routes)
