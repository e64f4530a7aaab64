# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what the gateways of one site, and its interfaces, mean to each other."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .. import identities
from ..durations import format_duration
from ..model import Credential, CredentialMethod, EndpointPair, Gateway, IkeVersion, Mode, Secret, Side, Transform
from .book import ERROR, FIREWARE, OWN, SEED, SITE, WARNING, Broken


@SITE.rule("duplicate-identity", ERROR, "RFC 7296 §2.15", member="gateways")
def duplicate_identity(side: Side) -> Iterator[Broken]:
    """Gateways that expect one Phase 1 identifier have one credential, which it chooses, and differ in addresses."""
    first: dict[object, tuple[Gateway, int]] = {}
    for gateway in side.gateways:
        for index, pair in enumerate(gateway.endpoints):
            other, at = first.setdefault(identities.key(pair.remote.identity), (gateway, index))
            if other is gateway or _alike(other.endpoints[at], pair):
                continue
            apart = _apart(other.endpoints[at], pair)
            if apart and _same_credential(other.credential, gateway.credential):
                continue
            yield Broken("remote identifier",
                         f"gateways {other.name} and {gateway.name} both expect {pair.remote.identity}", "",
                         "a peer that presents it could be either", "Give the peers different identifiers, or " + (
                             "both gateways the same credential" if apart else
                             f"join the two gateways' tunnels under {other.name}"),
                         f"gateways[{other.name}].endpoints[{at}].remote.identifier",
                         f"gateways[{gateway.name}].endpoints[{index}].remote.identifier")
            break


@SITE.rule("gateway-declared-twice", ERROR, OWN, member="gateways")
def gateway_declared_twice(side: Side) -> Iterator[Broken]:
    """No two gateways of a site have the same endpoints and identifiers."""
    first: dict[object, tuple[Gateway, int]] = {}
    for gateway in side.gateways:
        for index, pair in enumerate(gateway.endpoints):
            other, at = first.setdefault(identities.key(pair.remote.identity), (gateway, index))
            if other is not gateway and _alike(other.endpoints[at], pair):
                local, remote = (f"{end.address or 'dynamic'} ({end.identity})" for end in (pair.local, pair.remote))
                yield Broken("endpoints",
                             f"gateways {other.name} and {gateway.name} both join {local} and {remote}", "",
                             "nothing tells the two apart",
                             "Give the peers different identifiers where they are two; where they are one, put "
                             f"{gateway.name}'s tunnels under {other.name} and remove gateways[{gateway.name}]",
                             f"gateways[{other.name}].endpoints[{at}]", f"gateways[{gateway.name}].endpoints[{index}]")
                break


def _alike(one: EndpointPair, other: EndpointPair) -> bool:
    return all(mine.address == its.address and identities.same(mine.identity, its.identity)
               for mine, its in ((one.local, other.local), (one.remote, other.remote)))


def _apart(one: EndpointPair, other: EndpointPair) -> bool:
    """Whether static addresses tell the two apart."""
    return any(mine.address is not None and its.address is not None and mine.address != its.address
               for mine, its in ((one.local, other.local), (one.remote, other.remote)))


def _same_credential(one: Credential, other: Credential) -> bool:
    """As far as both are known."""
    return replace(one, secret=None) == replace(other, secret=None) and not _keys_differ(one.secret, other.secret)


@SITE.rule("main-mode-keys-differ", ERROR, "RFC 2409 §5.4", member="gateways")
def main_mode_keys_differ(side: Side) -> Iterator[Broken]:
    """In Main Mode all gateways between the same two addresses have the same pre-shared key."""
    first: dict[object, Gateway] = {}
    for gateway in side.gateways:
        if gateway.version is not IkeVersion.V1 or gateway.mode is Mode.AGGRESSIVE \
                or gateway.method is CredentialMethod.CERTIFICATE:
            continue
        for pair in gateway.endpoints:
            other = first.setdefault((pair.local.address, pair.remote.address), gateway)
            if other is not gateway and _keys_differ(other.credential.secret, gateway.credential.secret):
                yield Broken("credential", f"gateways {other.name} and {gateway.name} have different keys for "
                             f"{pair.local.address or 'dynamic'}<->{pair.remote.address or 'dynamic'}", "",
                             "in Main Mode the key is chosen by the two addresses",
                             "Set the same psk in both, or ike_version to 2",
                             f"gateways[{other.name}].credential.psk", f"gateways[{gateway.name}].credential.psk")
                break


def _keys_differ(one: Secret | None, other: Secret | None) -> bool:
    """Whether both are known, and are not the same."""
    return one is not None and other is not None and not hmac.compare_digest(one.octets, other.octets)


@SITE.rule("shared-transforms-differ", ERROR, f"{SEED}; {FIREWARE}", member="gateways")
def shared_transforms_differ(side: Side) -> Iterator[Broken]:
    """All IKEv2 gateways of a site with a dynamic remote end share their Phase 1 transforms."""
    holder, path, shared = "shared_transforms", "shared_transforms", side.shared_transforms
    for gateway in side.gateways:
        if not gateway.shares_transforms:
            continue
        if not shared:
            holder, path, shared = (f"gateway {gateway.name}", f"gateways[{gateway.name}].transforms",
                                    gateway.transforms)
        elif gateway.transforms is not shared and _unnamed(gateway.transforms) != _unnamed(shared):
            own = f"gateways[{gateway.name}].transforms"
            fix = (f"Remove {own}, or change shared_transforms" if side.shared_transforms else
                   f"Set {own} to [{', '.join(transform.name for transform in shared)}], or name the transforms of all "
                   "of them in shared_transforms")
            yield Broken("phase 1 transforms", f"gateway {gateway.name} has {_described(gateway.transforms)}",
                         f"{holder} has {_described(shared)}",
                         "all IKEv2 gateways with a dynamic remote end share theirs", fix, own, path)


@SITE.rule("same-addresses-transforms-differ", WARNING, "RFC 7296 §2.7", member="gateways")
def same_addresses_transforms_differ(side: Side) -> Iterator[Broken]:
    """IKEv2 gateways between the same two addresses have the same Phase 1 transforms."""
    first: dict[object, Gateway] = {}
    for gateway in side.gateways:
        if gateway.version is not IkeVersion.V2 or gateway.shares_transforms:
            continue
        for pair in gateway.endpoints:
            other = first.setdefault((pair.local.address, pair.remote.address), gateway)
            if other is gateway or other.transforms is gateway.transforms \
                    or _unnamed(other.transforms) == _unnamed(gateway.transforms):
                continue
            yield Broken("phase 1 transforms", f"gateway {gateway.name} has {_described(gateway.transforms)}",
                         f"gateway {other.name} has {_described(other.transforms)}",
                         "a responder chooses the transform before it knows which of the peers behind one address asks",
                         f"Set gateways[{gateway.name}].transforms to "
                         f"[{', '.join(transform.name for transform in other.transforms)}]",
                         f"gateways[{gateway.name}].transforms", f"gateways[{other.name}].transforms")
            break


def _unnamed(transforms: Sequence[Transform]) -> list[Transform]:
    return [replace(transform, name="") for transform in transforms]


def _described(transforms: Sequence[Transform]) -> str:
    return ", ".join(
        f"{transform.name} ({transform.encryption.name}, {transform.authentication.name}, "
        f"group {transform.key_group.number}, "
        + (f"{transform.additional_key_exchange.name}, " if transform.additional_key_exchange else "")
        + f"{format_duration(transform.sa_life)})" for transform in transforms)


@SITE.rule("interface-declared-twice", ERROR, OWN, member="tunnels")
def interface_declared_twice(side: Side) -> Iterator[Broken]:
    """Each virtual interface of a site belongs to one tunnel."""
    first: dict[str, str] = {}
    for tunnel in side.tunnels:
        if tunnel.interface is None:
            continue
        name = tunnel.interface.name
        other = first.setdefault(name, tunnel.name)
        if other != tunnel.name:
            yield Broken("virtual interface", f"tunnel {other} has {name}", f"tunnel {tunnel.name} has {name}",
                         "an interface belongs to one tunnel", f"Give tunnels[{tunnel.name}].interface another name",
                         f"tunnels[{other}].interface.name", f"tunnels[{tunnel.name}].interface.name")


@SITE.rule("interfaces-of-one-gateway", ERROR, "RFC 7296 §2.9", member="tunnels")
def interfaces_of_one_gateway(side: Side) -> Iterator[Broken]:
    """A gateway has one route-based tunnel at most."""
    first: dict[str, str] = {}
    for tunnel in side.tunnels:
        if tunnel.interface is None:
            continue
        other = first.setdefault(tunnel.gateway, tunnel.name)
        if other != tunnel.name:
            yield Broken("virtual interface", f"tunnels {other} and {tunnel.name} are route-based",
                         f"both are under gateway {tunnel.gateway}",
                         "the SAs of both are for all traffic, so the peer could not tell them apart",
                         f"Give tunnels[{tunnel.name}] a gateway of its own, or route its networks into "
                         f"tunnels[{other}].interface", f"tunnels[{other}].interface",
                         f"tunnels[{tunnel.name}].interface")
