# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two subjects alike to every rule of their chapter.

In a fleet almost all gateways and tunnels are: they differ in names, addresses and keys, and no rule minds. So each
chapter's rules run once for each kind of subject that is found clean. A likeness holds everything that a rule may
decide on; it is None where that would be too much to hold, and the rules then look for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from ipaddress import ip_network
from operator import attrgetter, ge
from typing import NamedTuple

from .. import identities
from ..model import Credential, CredentialMethod, Endpoint, Gateway, IdentityKind, Side, Tunnel
from ..pairing import Pair, TunnelPair
from ..selectors import Address, Selector
from .settings import GatewaySettings, PairSettings, SiteSettings, TunnelPairSettings, TunnelSettings

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_LONG = 64
"""Characters or octets from which no rule asks how long a key is."""

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
    """A number for each kind of parts. The parts' owners must live as long: they are told apart by identity."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {}
        self._last: _Parts | None = None
        self._last_number = 0

    def number(self, parts: _Parts) -> int:
        if parts != self._last:  # which is decided at a glance where they are the same objects
            self._last = parts
            self._last_number = self._numbers.setdefault(tuple(map(id, parts)), len(self._numbers))
        return self._last_number


class Likenesses:
    """The likenesses of one validation, whose sides must outlive it. Subjects best come with what they belong to."""

    def __init__(self) -> None:
        self._site_kinds, self._gateway_kinds, self._tunnel_kinds = _Kinds(), _Kinds(), _Kinds()
        self._endpoints: dict[int, _End] = {}
        self._numbers: dict[Hashable, int] = {}
        self._gateway: GatewaySettings | None = None
        self._phase1: Likeness = None
        self._pair: PairSettings | None = None
        self._both_phase1: Likeness = None

    def site(self, side: Side) -> Likeness:
        """Settings, and that its peers and its tunnel routes are well apart."""
        endpoints = [pair.remote for gateway in side.gateways for pair in gateway.endpoints]
        self._look_at(endpoints)
        peers = [self._endpoints[id(endpoint)] for endpoint in endpoints]
        if (side.shared_transforms or not (len(side.gateways) == len(peers) == len({peer.identity for peer in peers})
                                           == len({peer.address for peer in peers}))
                or [tunnel for tunnel in side.tunnels if tunnel.interface is not None]):
            return None
        remotes = sorted([(route.remote.low, route.remote.high) for tunnel in side.tunnels for route in tunnel.routes])
        lows, highs = [low for low, _high in remotes], [high for _low, high in remotes]
        if any(map(ge, highs, lows[1:])):
            return None
        return self._site_kinds.number(_site_parts(side))

    def phase1(self, side: SiteSettings, gateway: GatewaySettings) -> Likeness:
        if gateway is not self._gateway:
            self._gateway, self._phase1 = gateway, self._settings(side, gateway)
        return self._phase1

    def phase2(self, side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Likeness:
        return self.phase1(side, gateway), self._tunnel_kinds.number(_tunnel_parts(tunnel))

    def both_phase1(self, pair: PairSettings) -> Likeness:
        if pair is not self._pair:
            self._pair = pair
            self._both_phase1 = (self._settings(pair.left, pair.left_gateway),
                                 self._settings(pair.right, pair.right_gateway))
        return self._both_phase1

    def both_phase2(self, pair: PairSettings, tunnels: TunnelPairSettings) -> Likeness:
        number = self._tunnel_kinds.number
        return self.both_phase1(pair), number(_tunnel_parts(tunnels.left)), number(_tunnel_parts(tunnels.right))

    def gateway(self, side: Side, gateway: Gateway) -> Likeness:
        """Settings, traits of the endpoints, whether their addresses differ, and what can be told of the key."""
        if len(gateway.endpoints) != 1:
            return None
        (pair,) = gateway.endpoints
        local, remote = self._endpoint(pair.local), self._endpoint(pair.remote)
        return (self.phase1(side, gateway), local.traits, remote.traits, local.address == remote.address,
                _credential(gateway.credential))

    def tunnel(self, side: Side, gateway: Gateway, tunnel: Tunnel) -> Likeness:
        """Settings, traits of the endpoints, and that the one route's sides and the endpoints are well apart."""
        if len(gateway.endpoints) != 1 or len(tunnel.routes) != 1:
            return None
        (pair,), (route,) = gateway.endpoints, tunnel.routes
        here, there = self._endpoint(pair.local), self._endpoint(pair.remote)
        local, remote = route.local, route.remote
        if (local.version != remote.version or (local.low <= remote.high and remote.low <= local.high)
                or local.is_range or remote.is_range
                or local.low <= here.number <= local.high or remote.low <= there.number <= remote.high):
            return None
        return self.phase2(side, gateway, tunnel), here.traits, there.traits, local.version, id(route.direction)

    def gateways(self, pair: Pair) -> Likeness:
        """Settings, traits of the endpoints, and that these mirror and the keys are the same."""
        left, right = pair.left_gateway, pair.right_gateway
        if len(left.endpoints) != 1 or len(right.endpoints) != 1 or pair.left_only or pair.right_only:
            return None
        (here,), (there,) = left.endpoints, right.endpoints
        local, remote = self._endpoint(here.local), self._endpoint(here.remote)
        peers_local, peers_remote = self._endpoint(there.local), self._endpoint(there.remote)
        if not (local.address == peers_remote.address and local.identity == peers_remote.identity
                and remote.address == peers_local.address and remote.identity == peers_local.identity):
            return None
        if left.credential is not right.credential and left.credential != right.credential:
            return None
        return self.both_phase1(pair), local.traits, remote.traits, left.credential.secret is None

    def tunnels(self, pair: Pair, tunnels: TunnelPair) -> Likeness:
        """Settings, and that every route stands mirrored at the same place."""
        left, right = tunnels.left.routes, tunnels.right.routes
        if len(left) != len(right):
            return None
        for route, other in zip(left, right, strict=True):
            if not (_equal(route.local, other.remote) and _equal(route.remote, other.local)
                    and route.direction is other.direction.mirrored):
                return None
        return self.both_phase2(pair, tunnels)

    def _settings(self, side: SiteSettings, gateway: GatewaySettings) -> Likeness:
        return self._site_kinds.number(_site_parts(side)), self._gateway_kinds.number(_gateway_parts(gateway))

    def _endpoint(self, endpoint: Endpoint) -> _End:
        found = self._endpoints.get(id(endpoint))
        if found is None:
            self._look_at((endpoint,))
            found = self._endpoints[id(endpoint)]
        return found

    def _look_at(self, endpoints: Iterable[Endpoint]) -> None:
        number = self._number
        for name, endpoint in {id(endpoint): endpoint for endpoint in endpoints}.items():
            if name not in self._endpoints:
                address, identity = endpoint.address, endpoint.identity
                traits = (address and address.version, address and is_private(address), identity.kind,
                          identity.kind is IdentityKind.IP_ADDRESS and identity.value == str(address))
                self._endpoints[name] = _End(number(address), number(identities.key(identity)), number(traits),
                                             -1 if address is None else int(address))

    def _number(self, value: Hashable) -> int:
        """The same for equal values."""
        return self._numbers.setdefault(value, len(self._numbers))


class _End(NamedTuple):
    """Numbers for an endpoint's address, identity and traits; and the address itself as one, -1 where it is dynamic."""

    address: int
    identity: int
    traits: int
    number: int


def _equal(one: Selector, other: Selector) -> bool:
    return one is other or one == other


def _credential(credential: Credential) -> Likeness:
    """What can be told of a key without knowing it, and which parts of a certificate are there."""
    if credential.secret is None:
        known: Likeness = None
    else:
        octets = credential.secret.octets
        is_text = credential.method is CredentialMethod.PSK and not octets.isascii()
        length = len(octets.decode()) if is_text else len(octets)
        known = min(length, _LONG), octets[:1].isspace() or octets[-1:].isspace()
    return known, credential.certificate is None, not credential.ca
