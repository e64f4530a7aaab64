# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of rules: every rule has a code, a severity and a source, and stands in one chapter.

Most gateways of a fleet share their settings and differ in endpoints, keys and routes alone. So there are chapters
whose rules may look at nothing but settings; what they found clean once is clean wherever the same settings come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, ParamSpec, Protocol

from ..algorithms import KeyEncapsulation, KeyGroup
from ..findings import Finding, Severity
from ..model import (
    CredentialMethod,
    DataPlaneChoice,
    DeadPeerDetection,
    Gateway,
    IkeVersion,
    KeepAlive,
    Mode,
    Platform,
    Policy,
    Proposal,
    Side,
    Start,
    Transform,
    Tunnel,
    VirtualInterface,
)
from ..pairing import Leftover, Pair, TunnelPair

P = ParamSpec("P")
Place = tuple[str, tuple[str, ...], tuple[str, ...]]
"""The subject of a rule as a sentence calls it, its sites, and its path in each site's declaration."""

SEED = "WatchGuard, About IPSec VPN Negotiations"
OWN = "tandem.vpn"
ERROR, WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True, slots=True)
class Broken:
    """How a rule is broken: the field, what each end has, the rule in these values' words, and what would mend it."""

    field: str
    left: str
    right: str
    rule: str
    fix: str


class SiteSettings(Protocol):
    """What a rule on settings may know of a site. Here and below, ``name`` is for messages and decides nothing."""

    @property
    def name(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def managed(self) -> bool: ...
    @property
    def policy(self) -> Policy: ...


class GatewaySettings(Protocol):
    """What it may know of a gateway: all of Phase 1 but the endpoints and the key."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> IkeVersion: ...
    @property
    def mode(self) -> Mode | None: ...
    @property
    def method(self) -> CredentialMethod: ...
    @property
    def transforms(self) -> tuple[Transform, ...]: ...
    @property
    def nat_traversal(self) -> bool: ...
    @property
    def nat_keep_alive(self) -> int: ...
    @property
    def dead_peer_detection(self) -> DeadPeerDetection | None: ...
    @property
    def keep_alive(self) -> KeepAlive | None: ...
    @property
    def start(self) -> Start: ...


class TunnelSettings(Protocol):
    """What it may know of a tunnel: all of Phase 2 but the routes."""

    @property
    def name(self) -> str: ...
    @property
    def proposals(self) -> tuple[Proposal, ...]: ...
    @property
    def pfs(self) -> KeyGroup | None: ...
    @property
    def additional_key_exchange(self) -> KeyEncapsulation | None: ...
    @property
    def dataplane(self) -> DataPlaneChoice: ...
    @property
    def interface(self) -> VirtualInterface | None: ...


class PairSettings(Protocol):
    """What it may know of two paired gateways."""

    @property
    def left(self) -> SiteSettings: ...
    @property
    def left_gateway(self) -> GatewaySettings: ...
    @property
    def right(self) -> SiteSettings: ...
    @property
    def right_gateway(self) -> GatewaySettings: ...


class TunnelPairSettings(Protocol):
    """What it may know of two paired tunnels."""

    @property
    def left(self) -> TunnelSettings: ...
    @property
    def right(self) -> TunnelSettings: ...


def _parts(settings: type) -> Callable[[object], tuple[object, ...]]:
    """Reads all that decides of a subject, as its protocol lists it."""
    return attrgetter(*(name for name, value in vars(settings).items() if isinstance(value, property)
                        and name != "name"))


_site_parts, _gateway_parts, _tunnel_parts = _parts(SiteSettings), _parts(GatewaySettings), _parts(TunnelSettings)

Key = tuple[int, ...]
"""Settings by the identity of their parts. It holds as long as the sides live."""


def _gateway_key(side: SiteSettings, gateway: GatewaySettings) -> Key:
    return tuple(map(id, _site_parts(side) + _gateway_parts(gateway)))


def _tunnel_key(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Key:
    return tuple(map(id, _site_parts(side) + _gateway_parts(gateway) + _tunnel_parts(tunnel)))


def _gateways_key(pair: PairSettings) -> Key:
    return tuple(map(id, _site_parts(pair.left) + _gateway_parts(pair.left_gateway)
                     + _site_parts(pair.right) + _gateway_parts(pair.right_gateway)))


def _tunnels_key(pair: PairSettings, tunnels: TunnelPairSettings) -> Key:
    return _gateways_key(pair) + tuple(map(id, _tunnel_parts(tunnels.left) + _tunnel_parts(tunnels.right)))


@dataclass(frozen=True, slots=True)
class Rule(Generic[P]):
    """``member`` is the field that it is about, below its subject's path; empty where it may be any."""

    code: str
    severity: Severity
    source: str
    check: Callable[P, Iterable[Broken]]
    member: str = ""

    @property
    def summary(self) -> str:
        return (self.check.__doc__ or "").partition("\n")[0].rstrip(".")


class Chapter(Generic[P]):
    """Rules over the same subject.

    ``place`` says which it is, only when a rule is broken. ``key`` tells settings apart, in a chapter whose rules look
    at nothing else.
    """

    def __init__(self, title: str, place: Callable[P, Place], key: Callable[P, Key] | None = None) -> None:
        self.title, self._place, self._key = title, place, key
        self.rules: list[Rule[P]] = []

    def rule(self, code: str, severity: Severity, source: str, *, member: str = "",
             ) -> Callable[[Callable[P, Iterable[Broken]]], Callable[P, Iterable[Broken]]]:
        """Register a check; the first line of its docstring is what the table of rules says."""

        def register(check: Callable[P, Iterable[Broken]]) -> Callable[P, Iterable[Broken]]:
            self.rules.append(Rule(code, severity, source, check, member))
            return check

        return register

    def check(self, *args: P.args, **kwargs: P.kwargs) -> list[Finding]:
        """What is wrong with one subject."""
        return [self._finding(rule, broken, *args, **kwargs)
                for rule in self.rules for broken in rule.check(*args, **kwargs)]

    def checker(self) -> Callable[P, Sequence[Finding]]:
        """``check`` for many subjects: remembers settings that it found clean. The sides must outlive it."""
        key_of, clean, check = self._key, set[Key](), self.check
        if key_of is None:
            return check

        def remembering(*args: P.args, **kwargs: P.kwargs) -> Sequence[Finding]:
            key = key_of(*args, **kwargs)
            if key in clean:
                return ()
            findings = check(*args, **kwargs)
            if not findings:
                clean.add(key)
            return findings

        return remembering

    def _finding(self, rule: Rule[P], broken: Broken, *args: P.args, **kwargs: P.kwargs) -> Finding:
        where, sites, paths = self._place(*args, **kwargs)
        return Finding(rule.code, rule.severity, broken.field, broken.left, broken.right, broken.rule, broken.fix,
                       where, sites, tuple(_below(path, rule.member) for path in paths))


def _below(path: str, member: str) -> str:
    return ".".join(part for part in (path, member) if part)


def _site(side: Side) -> Place:
    return f"site {side.name}", (side.name,), ("",)


def _gateway(side: SiteSettings, gateway: GatewaySettings) -> Place:
    return f"gateway {side.name}/{gateway.name}", (side.name,), (_gateway_path(gateway),)


def _tunnel(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Place:
    return f"tunnel {side.name}/{tunnel.name}", (side.name,), (_tunnel_path(tunnel),)


def _gateway_path(gateway: GatewaySettings) -> str:
    return f"gateways[{gateway.name}]"


def _tunnel_path(tunnel: TunnelSettings) -> str:
    return f"tunnels[{tunnel.name}]"


def _called(side: SiteSettings, gateway: GatewaySettings, peer: SiteSettings) -> str:
    """A side, with its gateway's name where that is not simply the peer's."""
    return side.name if gateway.name == peer.name else f"{side.name}/{gateway.name}"


def _gateways(pair: PairSettings) -> Place:
    left = _called(pair.left, pair.left_gateway, pair.right)
    right = _called(pair.right, pair.right_gateway, pair.left)
    paths = _gateway_path(pair.left_gateway), _gateway_path(pair.right_gateway)
    return f"gateway {left}<->{right}", (pair.left.name, pair.right.name), paths


def _tunnels(pair: PairSettings, tunnels: TunnelPairSettings) -> Place:
    left, right = pair.left.name, pair.right.name
    where = f"tunnel {left}/{tunnels.left.name}<->{right}/{tunnels.right.name}"
    if tunnels.left.name == tunnels.right.name:
        where = f"tunnel {tunnels.left.name} of {left}<->{right}"
    return where, (left, right), (_tunnel_path(tunnels.left), _tunnel_path(tunnels.right))


def _sites(sides: Sequence[Side]) -> Place:
    names = tuple(sorted({side.name for side in sides}))
    return "all sites", names, ("",) * len(names)


def _far_end(leftover: Leftover) -> Place:
    return _gateway(leftover.side, leftover.gateway)


SITE: Chapter[[Side]] = Chapter("One site", _site)
PHASE1: Chapter[[SiteSettings, GatewaySettings]] = Chapter("One gateway: settings", _gateway, _gateway_key)
GATEWAY: Chapter[[Side, Gateway]] = Chapter("One gateway: endpoints and credential", _gateway)
PHASE2: Chapter[[SiteSettings, GatewaySettings, TunnelSettings]] = Chapter(
    "One tunnel: settings", _tunnel, _tunnel_key)
TUNNEL: Chapter[[Side, Gateway, Tunnel]] = Chapter("One tunnel: routes", _tunnel)
BOTH_PHASE1: Chapter[[PairSettings]] = Chapter("Both ends of a gateway: settings", _gateways, _gateways_key)
GATEWAYS: Chapter[[Pair]] = Chapter("Both ends of a gateway: endpoints, credential and tunnels", _gateways)
BOTH_PHASE2: Chapter[[PairSettings, TunnelPairSettings]] = Chapter(
    "Both ends of a tunnel: settings", _tunnels, _tunnels_key)
TUNNELS: Chapter[[Pair, TunnelPair]] = Chapter("Both ends of a tunnel: routes", _tunnels)
SITES: Chapter[[Sequence[Side]]] = Chapter("All sites", _sites)
FAR_END: Chapter[[Leftover]] = Chapter("The far end of a gateway", _far_end)

CHAPTERS = (SITE, PHASE1, GATEWAY, PHASE2, TUNNEL, BOTH_PHASE1, GATEWAYS, BOTH_PHASE2, TUNNELS, SITES, FAR_END)
