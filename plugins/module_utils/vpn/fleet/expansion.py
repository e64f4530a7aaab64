# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's definition unfolded: each site's mirrored gateways and tunnels.

A full mesh of 1,000 sites has 499,500 links, so what ends have in common is one object for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from .. import collector, declaration, reading
from ..declaration import GATEWAY, TUNNEL, DeclarationError
from ..layers import Choice, Layers
from ..model import (
    Credential,
    CredentialMethod,
    Direction,
    Endpoint,
    EndpointPair,
    Gateway,
    IkeVersion,
    Route,
    Selector,
    Side,
    Tunnel,
)
from ..reading import Fields, Misfit
from ..writing import joined
from .model import Fleet, Link, Profile, Settings, Site, pair_name

_NOBODY = {"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.2"}}
_DYNAMIC = {"local": {"address": "192.0.2.1"},
            "remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "peer"}}}
_TUNNEL = {"name": "peer", "gateway": "peer", "routes": [{"local": "192.0.2.1", "remote": "192.0.2.2"}]}
"""In the place of what every end has of its own, so that the rest is read as any declaration is."""

CHOICES = (
    Choice("ike_version", reading.choice(IkeVersion), {
        IkeVersion.V1: ("mode", "ike_keep_alive", "nat_traversal.enabled", "dead_peer_detection.enabled"),
        IkeVersion.V2: ("credential.ppk", "credential.ppk_key")}),
    Choice("method", reading.choice(CredentialMethod), {
        CredentialMethod.PSK: ("psk", "also_accepted"), CredentialMethod.HEX_PSK: ("psk", "also_accepted"),
        CredentialMethod.CERTIFICATE: ("certificate", "private_key", "ca", "chain", "crl")}),
)
"""IKEv2 always has NAT traversal and dead peer detection; what is a key to psk is none to hex-psk."""


def sides(fleet: Fleet, keys: Mapping[str, str] | None = None, names: Iterable[str] | None = None) -> list[Side]:
    """Both ends of every link: each site's side, in the order of the definition, or those of the named sites in theirs.

    ``keys`` are generated pre-shared keys by ``pair_name``; a key that the definition gives goes before. Where there is
    neither, the key is unknown. Raises DeclarationError where an override makes an end that cannot be, and KeyError.
    """
    credentials: dict[str, Credential] = {}
    wanted = fleet.sites if names is None else names
    with collector.paused():
        return [_side(fleet, fleet.sites[name], {} if keys is None else keys, credentials) for name in wanted]


def side(fleet: Fleet, name: str, keys: Mapping[str, str] | None = None) -> Side:
    """One site's side alone. Raises KeyError, and DeclarationError as ``sides`` does."""
    (found,) = sides(fleet, keys, (name,))
    return found


def key_names(fleet: Fleet, site: str | None = None) -> Iterator[str]:
    """The pairs of sites, by ``pair_name``, whose pre-shared key the definition does not give; one site's, or all."""
    for name in fleet.sites if site is None else (site,):
        for link, peer in fleet.neighbours(name):
            if site is None and name > peer:
                continue  # it is the peer's turn to name the pair
            here, there = fleet.sites[name], fleet.sites[peer]
            if (_lacks_key(profile(fleet, link, here, there).gateway.credential)
                    or _lacks_key(profile(fleet, link, there, here).gateway.credential)):
                yield pair_name(name, peer)


def _lacks_key(credential: Credential) -> bool:
    return credential.secret is None and credential.method is not CredentialMethod.CERTIFICATE


def _side(fleet: Fleet, site: Site, keys: Mapping[str, str], credentials: dict[str, Credential]) -> Side:
    gateways, tunnels = [], []
    for link, peer in fleet.neighbours(site.name):
        there = fleet.sites[peer]
        shape = profile(fleet, link, site, there)
        try:
            credential = _credential(shape.gateway.credential, pair_name(site.name, peer), keys, credentials)
            gateway, tunnel = end(fleet, link, site, there, shape, credential)
        except Misfit as misfit:
            fleet.misfits.add(link.path, misfit, misfit.state)
        else:
            gateways.append(gateway)
            tunnels.append(tunnel)
    if fleet.misfits.findings:
        raise DeclarationError(tuple(dict.fromkeys(fleet.misfits.findings)))
    transforms = {id(gateway.transforms): gateway.transforms for gateway in gateways}
    proposals = {id(tunnel.proposals): tunnel.proposals for tunnel in tunnels}
    return Side(
        site.name, tuple(gateways), tuple(tunnels), site.platform, site.managed, fleet.policy, fleet.shared_transforms,
        joined(fleet.transforms, (item for items in transforms.values() for item in items)),
        joined(fleet.proposals, (item for items in proposals.values() for item in items)))


def end(fleet: Fleet, link: Link, own: Site, peer: Site, shape: Profile,
        credential: Credential) -> tuple[Gateway, Tunnel]:
    """One end of a link. Raises Misfit where the two sites cannot be joined."""
    usual, tunnel = shape.gateway, shape.tunnel
    gateway = Gateway(peer.name, usual.version, credential, _endpoints(link, own, peer), usual.transforms, usual.mode,
                      usual.nat_traversal, usual.nat_keep_alive, usual.dead_peer_detection, usual.keep_alive,
                      usual.start)
    routes = _routes(fleet, link, own, peer)
    if not routes and tunnel.interface is None:
        raise Misfit("a tunnel needs a route", "Give both sites networks of one address family, or the link routes",
                     state=f"joins {own.name} and {peer.name}, which have no networks of one address family")
    return gateway, Tunnel(peer.name, peer.name, routes, tunnel.proposals, tunnel.pfs, tunnel.dataplane,
                           tunnel.interface, tunnel.additional_key_exchange, tunnel.sa_pairs)


def profile(fleet: Fleet, link: Link, own: Site, peer: Site) -> Profile:
    """What the end of a link at ``own`` shares with others."""
    said = own.name if own.own is not None or own.name in link.way.ends else ""
    shared = own.shares_transforms or peer.shares_transforms
    key: tuple[object, ...] = (id(link), said, shared, peer.is_dynamic)
    if fleet.overrides_of or fleet.overrides_between:
        key = (*map(id, fleet.layers(link, own.name, peer.name)), shared, peer.is_dynamic)
    found = fleet.profiles.get(key)
    if found is None:
        found = fleet.profiles[key] = _read_profile(fleet, fleet.layers(link, own.name, peer.name), own, peer)
    return found


def _read_profile(fleet: Fleet, layers: Sequence[Settings], own: Site, peer: Site) -> Profile:
    # Both ends of a link to a dynamic site take the shared transforms, so both are read as the one that does.
    usual = {"name": "peer", "credential": {"method": "psk"}, "start": "answer" if peer.is_dynamic else "boot",
             "endpoints": [_DYNAMIC if own.shares_transforms or peer.shares_transforms else _NOBODY]}
    return Profile(
        declaration.read_gateway(Layers(Fields(usual, fleet.path, GATEWAY, fleet.misfits),
                                        *(settings.gateway for settings in layers), choices=CHOICES),
                                 fleet.transform_of, fleet.shared_transforms),
        declaration.read_tunnel(Layers(Fields(_TUNNEL, fleet.path, TUNNEL, fleet.misfits),
                                       *(settings.tunnel for settings in layers)), ("peer",), fleet.proposal_of))


def _credential(usual: Credential, pair: str, keys: Mapping[str, str],
                credentials: dict[str, Credential]) -> Credential:
    """With the pair's key, where it has none: the same object for both ends."""
    if not _lacks_key(usual):
        return usual
    known = credentials.pop(pair, None)
    if known is not None and replace(known, secret=None) == usual:
        return known
    text = keys.get(pair)
    if text is None:
        return usual
    made = credentials[pair] = replace(usual, secret=declaration.key_parser(usual.method)(text))
    return made


def _endpoints(link: Link, own: Site, peer: Site) -> tuple[EndpointPair, ...]:
    """The endpoint pairs of one family, the same ones in the same order at both ends."""
    if own.is_dynamic and peer.is_dynamic:
        raise Misfit("one of two peers needs an address that the other can reach", "Give one of the two an address",
                     state=f"joins {own.name} and {peer.name}, which are both dynamic")
    if len(own.local) == len(peer.local) == 1 and _can_meet(own.remote[0], peer.remote[0]):
        return (EndpointPair(own.local[0], peer.remote[0]),)
    forward = _is_first(link, own, peer)
    first, second = (own, peer) if forward else (peer, own)
    pairs = tuple(EndpointPair(first.local[here], second.remote[there]) if forward
                  else EndpointPair(second.local[there], first.remote[here])
                  for here, there in product(range(len(first.local)), range(len(second.local)))
                  if _can_meet(first.remote[here], second.remote[there]))
    if not pairs:
        raise Misfit("two peers reach each other by addresses of one family", "Give both an address of one family",
                     state=f"joins {own.name} and {peer.name}, which have no addresses of one family")
    return pairs


def _can_meet(one: Endpoint, other: Endpoint) -> bool:
    """Whether the two are of one family, or one of them is dynamic."""
    if one.address is None or other.address is None:
        return one.address is not other.address
    return type(one.address) is type(other.address)


def _is_first(link: Link, own: Site, peer: Site) -> bool:
    """Whether of two sites a link names ``own`` first."""
    if not link.mesh:
        return link.sites[0] == own.name
    return own.position < peer.position


def _routes(fleet: Fleet, link: Link, own: Site, peer: Site) -> tuple[Route, ...]:
    override = fleet.overrides_between.get(pair_name(own.name, peer.name)) if fleet.overrides_between else None
    towards, given = Direction.BOTH, None
    for way in (link.way,) if override is None else (link.way, override):
        if way.direction is not None:
            towards = way.direction if way.first == own.name else way.direction.mirrored
        if way.routes:
            given = way
    if given is not None:
        return given.routes_at(own.name, towards)
    if len(own.networks) == len(peer.networks) == 1 and not link.through_hub:
        local, remote = own.networks[0], peer.networks[0]
        return (Route(local, remote, towards),) if type(local.first) is type(remote.first) else ()
    if _is_first(link, own, peer):
        return tuple(Route(here, there, towards) for here, there in _joined_networks(fleet, link, own, peer))
    return tuple(Route(here, there, towards) for there, here in _joined_networks(fleet, link, peer, own))


def _joined_networks(fleet: Fleet, link: Link, first: Site, second: Site) -> Iterator[tuple[Selector, Selector]]:
    """What may talk over the link of a pair or of a hub and its spoke, also with what lies behind the hub."""
    behind: Iterable[Selector] = first.networks
    if link.through_hub:
        others = (fleet.sites[name] for name in link.sites[1:]
                  if name != second.name and fleet.joining(name, second.name) is None)
        behind = (*first.networks, *(network for other in others for network in other.networks))
    return ((here, there) for here, there in product(behind, second.networks) if here.version == there.version)
