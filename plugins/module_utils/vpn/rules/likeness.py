# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two sites, or the links between two, alike to every rule.

In a fleet almost all are: they differ in names, addresses and keys, and no rule minds. So the rules run once for each
kind of site and of link that is found clean. A likeness holds everything that a rule may decide on; it is None where
that would be too much to hold, and the rules then look for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sized
from ipaddress import ip_network
from operator import attrgetter, ge
from typing import NamedTuple, TypeVar

from .. import identities
from ..model import Credential, CredentialMethod, Endpoint, EndpointPair, IdentityKind, Ppk, Side
from ..pairing import Pair, TunnelPair
from ..selectors import Address, Network
from .settings import GatewaySettings, SiteSettings, TunnelSettings

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
_LONG = 64
"""Characters or octets from which no rule asks how long a key is."""

Likeness = Hashable
_Parts = tuple[object, ...]


def private_range(address: Address) -> Network | None:
    """Of the addresses that only a NAT shows to the outside (RFC 1918, RFC 4193, RFC 6598) the range that has it."""
    return next((network for network in _PRIVATE if address in network), None)


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


_Subject = TypeVar("_Subject")


def doubtful(subjects: Iterable[_Subject], likeness: Callable[[_Subject], Likeness],
             check: Callable[[_Subject], Sized]) -> list[_Subject]:
    """The subjects that are not like one in which ``check`` found nothing."""
    clean: dict[Likeness, bool] = {None: False}
    left = []
    for subject in subjects:
        kind = likeness(subject)
        is_clean = clean.get(kind)
        if is_clean is None:
            is_clean = clean[kind] = not check(subject)
        if not is_clean:
            left.append(subject)
    return left


class Likenesses:
    """The likenesses of one validation, whose sides must outlive it."""

    def __init__(self) -> None:
        self._site_kinds, self._gateway_kinds, self._tunnel_kinds = _Kinds(), _Kinds(), _Kinds()
        self._sites: dict[int, int] = {}
        self._endpoints: dict[int, _End] = {}
        self._numbers: dict[Hashable, int] = {}

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
        return self._site(side)

    def link(self, pair: Pair) -> Likeness:
        """Settings, traits of the endpoints, what can be told of the key; and that both ends mirror in everything."""
        left, right = pair.left_gateway, pair.right_gateway
        if len(left.endpoints) != 1 or len(right.endpoints) != 1 or pair.left_only or pair.right_only:
            return None
        (local, remote), (far_local, far_remote) = self._ends(left.endpoints[0]), self._ends(right.endpoints[0])
        if not (local.address == far_remote.address and local.identity == far_remote.identity
                and remote.address == far_local.address and remote.identity == far_local.identity):
            return None
        if left.credential is not right.credential and left.credential != right.credential:
            return None
        kind = self._gateway_kinds.number
        phase1 = (self._site(pair.left), kind(_gateway_parts(left)), self._site(pair.right),
                  kind(_gateway_parts(right)), local.traits, remote.traits, far_local.traits, far_remote.traits,
                  local.address == remote.address, _credential(left.credential))
        if len(pair.tunnels) == 1:
            phase2 = self._phase2(pair.tunnels[0], local, remote)
            return None if phase2 is None else (phase1, phase2)
        several = tuple([self._phase2(tunnels, local, remote) for tunnels in pair.tunnels])
        return None if None in several else (phase1, several)

    def _phase2(self, tunnels: TunnelPair, here: _End, there: _End) -> Likeness:
        """Settings and families; and that each route mirrors, with its sides and the endpoints well apart."""
        left, right = tunnels
        by_interface = left.interface is not None or right.interface is not None
        if len(left.routes) != len(right.routes) or (by_interface and left.secured != right.secured):
            return None
        families = []
        for route, far_route in zip(left.routes, right.routes, strict=True):
            local, remote = route.local, route.remote
            if ((local is not far_route.remote and local != far_route.remote)
                    or (remote is not far_route.local and remote != far_route.local)
                    or route.direction.mirrored is not far_route.direction
                    or local.version != remote.version or (local.low <= remote.high and remote.low <= local.high)
                    or local.is_range or remote.is_range
                    or (local.low <= here.number <= local.high and remote.low <= there.number <= remote.high)
                    or (by_interface and (local.low <= here.number <= local.high
                                          or remote.low <= there.number <= remote.high))):
                return None
            families.append((local.version, id(route.direction)))
        if len(families) > 1 and len({(route.local, route.remote) for route in left.routes}) < len(families):
            return None
        kind = self._tunnel_kinds.number
        return kind(_tunnel_parts(left)), kind(_tunnel_parts(right)), *families

    def _site(self, side: SiteSettings) -> int:
        number = self._sites.get(id(side))
        if number is None:
            number = self._sites[id(side)] = self._site_kinds.number(_site_parts(side))
        return number

    def _ends(self, pair: EndpointPair) -> tuple[_End, _End]:
        """Of the local and the remote endpoint."""
        known, local, remote = self._endpoints, pair.local, pair.remote
        try:
            return known[id(local)], known[id(remote)]
        except KeyError:
            self._look_at((local, remote))
            return known[id(local)], known[id(remote)]

    def _look_at(self, endpoints: Iterable[Endpoint]) -> None:
        number = self._number
        for name, endpoint in {id(endpoint): endpoint for endpoint in endpoints}.items():
            if name not in self._endpoints:
                address, identity = endpoint.address, endpoint.identity
                traits = (address and address.version, address and private_range(address) is not None, identity.kind,
                          identity.kind is IdentityKind.IP_ADDRESS and identity.value == str(address))
                reached = address if endpoint.reached == address else endpoint  # what is translated mirrors nothing
                self._endpoints[name] = _End(number(reached), number(identities.key(identity)), number(traits),
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


def _credential(credential: Credential) -> Likeness:
    """What can be told of a key without knowing it, and which parts of a certificate are there."""
    known: Likeness = None
    if credential.secret is not None:
        octets = credential.secret.octets
        is_text = not octets.isascii() and credential.method is CredentialMethod.PSK
        length = len(octets.decode()) if is_text else len(octets)
        known = length if length < _LONG else _LONG, octets != octets.strip()
    return known, credential.certificate is None, not credential.ca, _ppk(credential.ppk)


def _ppk(ppk: Ppk | None) -> Likeness:
    """Whether there is one, whether it must be used, and what can be told of its key."""
    if ppk is None:
        return None
    return ppk.required, None if ppk.secret is None else min(len(ppk.secret.octets), _LONG)
