# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of rules: every rule has a code, a severity and a source, and stands in one chapter.

A rule stands in the chapter that lets it see the least: settings, which gateways of a fleet share, before endpoints,
keys and routes. On what sites and links may differ in and yet be alike (``likeness``), no rule may decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

from ..algorithms import KeyEncapsulation
from ..findings import Finding, Severity
from ..hardware import Abilities
from ..model import Gateway, Side, Tunnel
from ..pairing import Leftover, Pair, TunnelPair
from .settings import GatewaySettings, PairSettings, SiteSettings, TunnelPairSettings, TunnelSettings

P = ParamSpec("P")
Place = tuple[str, tuple[str, ...], tuple[str, ...]]
"""The subject of a rule as a sentence calls it, its sites, and its path in each site's declaration."""

SEED = "WatchGuard, About IPSec VPN Negotiations"
OWN = "tandem.vpn"
FIREWARE = "WatchGuard Help Center"
ERROR, WARNING = Severity.ERROR, Severity.WARNING
TO_IKEV2 = "ike_version to 2 at both ends, with no mode"
"""How a gateway gets what IKEv1 has not, in a fix."""


@dataclass(frozen=True, slots=True)
class Broken:
    """How a rule is broken: the field, what each end has, the rule in these values' words, and what would mend it.

    ``left_path`` and ``right_path`` are where ``left`` and ``right`` are declared. ``ends`` are the sites that it is
    about, each with the path in its declaration, where these are not the chapter's whole subject.
    """

    field: str
    left: str
    right: str
    rule: str
    fix: str
    left_path: str
    right_path: str = ""
    ends: tuple[tuple[str, str], ...] = dataclasses.field(default=(), kw_only=True)


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
    """Rules over the same subject. ``place`` says which it is, only when a rule is broken."""

    def __init__(self, title: str, place: Callable[P, Place]) -> None:
        self.title, self._place = title, place
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

    def _finding(self, rule: Rule[P], broken: Broken, *args: P.args, **kwargs: P.kwargs) -> Finding:
        where, sites, paths = self._place(*args, **kwargs)
        ends = broken.ends or tuple((site, _below(path, rule.member))
                                    for site, path in zip(sites, paths, strict=True))
        return Finding(rule.code, rule.severity, broken.field, broken.left, broken.right, broken.rule, broken.fix,
                       where, tuple(site for site, _path in ends), tuple(path for _site, path in ends),
                       broken.left_path, broken.right_path, rule.source)


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


def _sites(_sides: Sequence[Side]) -> Place:
    return "all sites", (), ()  # each rule says which of them it is about


def _far_end(leftover: Leftover) -> Place:
    return _gateway(leftover.side, leftover.gateway)


def _on_host(side: Side, tunnel: Tunnel, _abilities: object) -> Place:
    return f"tunnel {side.name}/{tunnel.name}", (side.name,), (_tunnel_path(tunnel),)


def _with_more(side: Side, gateway: Gateway, _more: object) -> Place:
    return _gateway(side, gateway)


SITE: Chapter[[Side]] = Chapter("One site", _site)
PHASE1: Chapter[[SiteSettings, GatewaySettings]] = Chapter("One gateway: settings", _gateway)
GATEWAY: Chapter[[Side, Gateway]] = Chapter("One gateway: endpoints and credential", _gateway)
PHASE2: Chapter[[SiteSettings, GatewaySettings, TunnelSettings]] = Chapter("One tunnel: settings", _tunnel)
TUNNEL: Chapter[[Side, Gateway, Tunnel]] = Chapter("One tunnel: routes", _tunnel)
BOTH_PHASE1: Chapter[[PairSettings]] = Chapter("Both ends of a gateway: settings", _gateways)
GATEWAYS: Chapter[[Pair]] = Chapter("Both ends of a gateway: endpoints, credential and tunnels", _gateways)
BOTH_PHASE2: Chapter[[PairSettings, TunnelPairSettings]] = Chapter("Both ends of a tunnel: settings", _tunnels)
TUNNELS: Chapter[[Pair, TunnelPair]] = Chapter("Both ends of a tunnel: routes", _tunnels)
SITES: Chapter[[Sequence[Side]]] = Chapter("All sites", _sites)
FAR_END: Chapter[[Leftover]] = Chapter("The far end of a gateway", _far_end)
HOST: Chapter[[Side, Tunnel, Mapping[str, Abilities]]] = Chapter("What a Linux host can do", _on_host)
LIBRARY: Chapter[[Side, Gateway, Collection[KeyEncapsulation]]] = Chapter("What a host's cryptographic library can do",
                                                                          _with_more)
CERTIFICATES: Chapter[[Side, Gateway, Sequence[Any]]] = Chapter("What certificates say", _with_more)

CHAPTERS = (SITE, PHASE1, GATEWAY, PHASE2, TUNNEL, BOTH_PHASE1, GATEWAYS, BOTH_PHASE2, TUNNELS, SITES, FAR_END, HOST,
            LIBRARY, CERTIFICATES)
