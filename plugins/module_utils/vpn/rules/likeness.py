# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two subjects alike to every rule of their chapter.

In a fleet almost all gateways and tunnels are: they differ in names, addresses and keys, and no rule minds. So each
chapter's rules run once for each kind of subject that is found clean. A likeness holds everything that a rule may
decide on; it is None where that would be too much to hold, and the rules then look for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import ip_network
from operator import attrgetter

from .. import identities
from ..model import Credential, Endpoint, EndpointPair, Gateway, IdentityKind, Side, Tunnel
from ..pairing import Pair, TunnelPair
from ..selectors import Address
from .settings import GatewaySettings, PairSettings, SiteSettings, TunnelPairSettings, TunnelSettings

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_LONG = 64
"""Octets from which no rule asks how long a key is."""

Likeness = Hashable
_Parts = tuple[object, ...]


def is_private(address: Address) -> bool:
    """Whether only a NAT shows it to the outside (RFC 1918, RFC 6598)."""
    return any(address in network for network in _PRIVATE)


def _parts(settings: type) -> Callable[[object], _Parts]:
    """Reads all that decides of a subject, as its protocol lists it."""
    return attrgetter(*(name for name, value in vars(settings).items() if isinstance(value, property)
                        and name != "name"))


_site_parts, _gateway_parts, _tunnel_parts = _parts(SiteSettings), _parts(GatewaySettings), _parts(TunnelSettings)


class _Kinds:
    """A small number for each kind of parts. The parts' owners must live as long: they are told apart by identity."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {}
        self._last: _Parts = ()
        self._last_number = 0

    def number(self, parts: _Parts) -> int:
        if parts != self._last or not self._last:  # equal at a glance where they are the same objects
            key = tuple(map(id, parts))
            self._last, self._last_number = parts, self._numbers.setdefault(key, len(self._numbers))
        return self._last_number


class Likenesses:
    """The likenesses of one validation, whose sides must outlive it."""

    def __init__(self) -> None:
        self._sites, self._gateways, self._tunnels = _Kinds(), _Kinds(), _Kinds()
        self._endpoints: dict[int, tuple[int, int, Hashable]] = {}
        self._addresses: dict[Hashable, int] = {}
        self._identities: dict[Hashable, int] = {}

    def phase1(self, side: SiteSettings, gateway: GatewaySettings) -> Likeness:
        return self._sites.number(_site_parts(side)), self._gateways.number(_gateway_parts(gateway))

    def phase2(self, side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Likeness:
        return (self._sites.number(_site_parts(side)), self._gateways.number(_gateway_parts(gateway)),
                self._tunnels.number(_tunnel_parts(tunnel)))

    def both_phase1(self, pair: PairSettings) -> Likeness:
        sites, gateways = self._sites.number, self._gateways.number
        return (sites(_site_parts(pair.left)), gateways(_gateway_parts(pair.left_gateway)),
                sites(_site_parts(pair.right)), gateways(_gateway_parts(pair.right_gateway)))

    def both_phase2(self, pair: PairSettings, tunnels: TunnelPairSettings) -> Likeness:
        number = self._tunnels.number
        return self.both_phase1(pair), number(_tunnel_parts(tunnels.left)), number(_tunnel_parts(tunnels.right))

    def gateway(self, side: Side, gateway: Gateway) -> Likeness:
        """Settings, traits of the endpoints, whether their addresses differ, and what can be told of the key."""
        ends = self._ends(gateway)
        return None if ends is None else (self.phase1(side, gateway), ends, _credential(gateway.credential))

    def tunnel(self, side: Side, gateway: Gateway, tunnel: Tunnel) -> Likeness:
        """Settings, traits of the endpoints, and whether each route's sides and the endpoints are well apart."""
        ends = self._ends(gateway)
        if ends is None or len(tunnel.routes) != 1:
            return None
        route, pair = tunnel.routes[0], gateway.endpoints[0]
        local, remote = route.local, route.remote
        if local.version != remote.version or local.overlaps(remote) or local.is_range or remote.is_range:
            return None
        for end, selector in ((pair.local.address, local), (pair.remote.address, remote)):
            if end is not None and selector.low <= int(end) <= selector.high:
                return None
        return self.phase2(side, gateway, tunnel), ends, local.version, id(route.direction)

    def gateways(self, pair: Pair) -> Likeness:
        """Settings, traits of the endpoints and whether they mirror, whether the keys are equal."""
        left, right = pair.left_gateway, pair.right_gateway
        ends, others = self._ends(left), self._ends(right)
        if ends is None or others is None or pair.left_only or pair.right_only:
            return None
        here, there = left.endpoints[0], right.endpoints[0]
        if not (self._mirror(here.local, there.remote) and self._mirror(here.remote, there.local)):
            return None
        if left.credential is not right.credential and left.credential != right.credential:
            return None
        return self.both_phase1(pair), ends, others, left.credential.secret is None

    def tunnels(self, pair: Pair, tunnels: TunnelPair) -> Likeness:
        """Settings, and that every route stands mirrored at the same place."""
        left, right = tunnels.left.routes, tunnels.right.routes
        if len(left) != len(right) or not all(
                route.local == other.remote and route.remote == other.local
                and route.direction is other.direction.mirrored for route, other in zip(left, right, strict=True)):
            return None
        return self.both_phase2(pair, tunnels)

    def _ends(self, gateway: Gateway) -> Likeness:
        """Of a gateway with one endpoint pair."""
        if len(gateway.endpoints) != 1:
            return None
        pair: EndpointPair = gateway.endpoints[0]
        address, _identity, traits = self._endpoint(pair.local)
        peers_address, _peers_identity, peers_traits = self._endpoint(pair.remote)
        return traits, peers_traits, address == peers_address

    def _mirror(self, end: Endpoint, other: Endpoint) -> bool:
        return self._endpoint(end)[:2] == self._endpoint(other)[:2]

    def _endpoint(self, endpoint: Endpoint) -> tuple[int, int, Hashable]:
        """Numbers for its address and its identity, and its traits."""
        found = self._endpoints.get(id(endpoint))
        if found is None:
            address, identity = endpoint.address, endpoint.identity
            traits = (address and address.version, address and is_private(address), identity.kind,
                      identity.kind is IdentityKind.IP_ADDRESS and identity.value == str(address))
            found = (self._addresses.setdefault(address, len(self._addresses)),
                     self._identities.setdefault(identities.key(identity), len(self._identities)), traits)
            self._endpoints[id(endpoint)] = found
        return found


def _credential(credential: Credential) -> Likeness:
    """What can be told of a key without knowing it, and which parts of a certificate are there."""
    if credential.secret is None:
        known: Likeness = None
    else:
        octets = credential.secret.octets
        known = min(len(octets), _LONG), octets.isascii(), octets[:1].isspace() or octets[-1:].isspace()
    return known, credential.certificate is None, not credential.ca
