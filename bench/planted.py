# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet whose sites are all joined, and faults planted at single ends of its links."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ikeengine.vpn import algorithms, declaration, fleet
from ikeengine.vpn.findings import Finding
from ikeengine.vpn.model import (
    Endpoint,
    EndpointPair,
    Expiration,
    Gateway,
    Identity,
    IdentityKind,
    Secret,
    Side,
    Tunnel,
)

_SUBJECT = re.compile(r"(?:gateways|tunnels)\[([^]]+)\]")
_FIRST_SITE = 0x0A000000  # 10.0.0.0, a /24 for each site
_FIRST_GATEWAY = 0xC6120000  # 198.18.0.0 (RFC 2544)


def mesh(sites: int, networks: int = 1) -> list[Side]:
    """Sites with some networks each, all joined, and a key for every pair."""
    definition = {
        "gateway": {"credential": {"method": "psk"}},
        "sites": {f"s{number}": {"address": _dotted(_FIRST_GATEWAY + number),
                                 "networks": [f"{_dotted(_FIRST_SITE + (number * networks + place) * 256)}/24"
                                              for place in range(networks)]}
                  for number in range(sites)},
        "links": [{"mesh": "all"}],
    }
    return fleet.sides(fleet.read(definition), _Keys())


def _dotted(address: int) -> str:
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


class _Keys(dict[str, str]):
    """A key for every pair, made when it is asked for."""

    def get(self, pair: str, _otherwise: object = None) -> str:  # type: ignore[override]
        return f"{pair:-<40}"


Ends = tuple[Gateway, Tunnel]
Bend = Callable[[Ends, random.Random], Ends]


class Fault(NamedTuple):
    """What goes wrong at one end of a link, and the codes of all that this breaks."""

    codes: frozenset[str]
    bend: Bend


def _fault(*codes: str) -> Callable[[Bend], Fault]:
    return lambda bend: Fault(frozenset(codes), bend)


@_fault("psk-differs")
def _other_key(ends: Ends, draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return replace(gateway, credential=replace(gateway.credential, secret=Secret(draw.randbytes(20).hex().encode()))), \
        tunnel


@_fault("psk-missing")
def _no_key(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return replace(gateway, credential=replace(gateway.credential, secret=None)), tunnel


@_fault("phase1-no-common-transform")
def _other_transform(ends: Ends, draw: random.Random) -> Ends:
    gateway, tunnel = ends
    usual = declaration.DEFAULT_TRANSFORM
    changed = draw.choice((replace(usual, encryption=algorithms.encryption("AES-128")),
                           replace(usual, authentication=algorithms.authentication("SHA2-512")),
                           replace(usual, key_group=algorithms.key_group(19))))
    return replace(gateway, transforms=(changed,)), tunnel


@_fault("phase1-sa-life-differs")
def _other_life(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return replace(gateway, transforms=(replace(declaration.DEFAULT_TRANSFORM, sa_life=3600),)), tunnel


@_fault("identity-does-not-mirror")
def _other_identity(ends: Ends, draw: random.Random) -> Ends:
    gateway, tunnel = ends
    (pair,) = gateway.endpoints
    name = Identity(IdentityKind.DOMAIN_NAME, f"{draw.randbytes(8).hex()}.example")
    return replace(gateway, endpoints=(EndpointPair(pair.local, Endpoint(pair.remote.address, name)),)), tunnel


@_fault("phase2-no-common-proposal")
def _other_proposal(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    gcm = replace(declaration.DEFAULT_PROPOSAL, encryption=algorithms.encryption("AES-GCM-256"), authentication=None)
    return gateway, replace(tunnel, proposals=(gcm,))


@_fault("phase2-key-expiration-differs")
def _other_expiration(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return gateway, replace(tunnel, proposals=(replace(declaration.DEFAULT_PROPOSAL, expiration=Expiration(60, None)),))


@_fault("pfs-differs", "pfs-off")
def _no_pfs(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return gateway, replace(tunnel, pfs=None)


@_fault("pfs-group-differs")
def _other_pfs_group(ends: Ends, draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return gateway, replace(tunnel, pfs=algorithms.key_group(draw.choice((15, 19, 31))))


@_fault("tunnel-without-counterpart")
def _no_tunnel(ends: Ends, _draw: random.Random) -> Ends:
    gateway, tunnel = ends
    return gateway, replace(tunnel, gateway="")


FAULTS = (_other_key, _no_key, _other_transform, _other_life, _other_identity, _other_proposal, _other_expiration,
          _no_pfs, _other_pfs_group, _no_tunnel)


class Planted(NamedTuple):
    """Where a fault is, and what it is to be found as."""

    site: str
    peer: str
    codes: frozenset[str]


def plant(sides: Sequence[Side], count: int, draw: random.Random) -> tuple[list[Side], list[Planted]]:
    """The sides with faults at ``count`` links of their own, of every kind in turn."""
    links = draw.sample([(one, other) for one in range(len(sides)) for other in range(len(sides)) if one < other],
                        count)
    bent: dict[int, dict[str, Fault]] = {}
    planted = []
    for number, link in enumerate(links):
        fault = FAULTS[number % len(FAULTS)]
        here, there = draw.sample(link, 2)
        bent.setdefault(here, {})[sides[there].name] = fault
        planted.append(Planted(sides[here].name, sides[there].name, fault.codes))
    return [_bend(side, bent[position], draw) if position in bent else side
            for position, side in enumerate(sides)], planted


def _bend(side: Side, faults: dict[str, Fault], draw: random.Random) -> Side:
    ends = [faults[gateway.name].bend((gateway, tunnel), draw) if gateway.name in faults else (gateway, tunnel)
            for gateway, tunnel in zip(side.gateways, side.tunnels, strict=True)]
    return replace(side, gateways=tuple(gateway for gateway, _tunnel in ends),
                   tunnels=tuple(tunnel for _gateway, tunnel in ends if tunnel.gateway))


def found(findings: Sequence[Finding]) -> Counter[tuple[frozenset[str], str]]:
    """The links at which something was found, and its code."""
    return Counter((_link(finding), finding.code) for finding in findings)


def expected(planted: Sequence[Planted]) -> Counter[tuple[frozenset[str], str]]:
    """The same of what was planted."""
    return Counter((frozenset((fault.site, fault.peer)), code) for fault in planted for code in fault.codes)


def _link(finding: Finding) -> frozenset[str]:
    peers = [match[1] for path in finding.paths if (match := _SUBJECT.match(path))]
    return frozenset((*finding.sites, *peers))
