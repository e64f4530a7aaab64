# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that declarations keep: each side by itself, and both ends of every gateway against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..findings import Finding
from ..model import Side
from ..pairing import Pair, pair
from . import both_gateways, both_tunnels, one_gateway, one_machine, one_site, one_tunnel, several_sites
from .book import CHAPTERS, FAR_END, GATEWAY, GATEWAYS, SITE, SITES, TUNNEL, TUNNELS, Rule

# Importing a chapter's file registers its rules.
__all__ = ["Validation", "both_gateways", "both_tunnels", "check_pair", "check_side", "one_gateway", "one_machine",
           "one_site", "one_tunnel", "several_sites", "table", "validate"]


@dataclass(frozen=True, slots=True)
class Validation:
    """What holding all sides against each other found."""

    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.is_error)

    @property
    def ok(self) -> bool:
        """Whether a play may go on: warnings never stop it."""
        return not self.errors


def check_side(side: Side) -> list[Finding]:
    """What is wrong with one side by itself."""
    findings = list(SITE.check(side))
    gateways = {gateway.name: gateway for gateway in side.gateways}
    for gateway in side.gateways:
        findings += GATEWAY.check(side, gateway)
    for tunnel in side.tunnels:
        findings += TUNNEL.check(side, gateways[tunnel.gateway], tunnel)
    return findings


def check_pair(pair: Pair) -> list[Finding]:
    """What the two ends of a gateway, and of its tunnels, disagree on."""
    findings = list(GATEWAYS.check(pair))
    for tunnels in pair.tunnels:
        findings += TUNNELS.check(pair, tunnels)
    return findings


def validate(sides: Sequence[Side]) -> Validation:
    """Hold all sides against the rules, and both ends of every gateway against each other."""
    pairs, leftovers = pair(sides)
    findings = list(SITES.check(sides))
    for side in sides:
        findings += check_side(side)
    for both in pairs:
        findings += check_pair(both)
    for leftover in leftovers:
        findings += FAR_END.check(leftover)
    return Validation(tuple(findings), pairs)


def table() -> str:
    """All rules as Markdown, chapter by chapter: what ``docs/rules.md`` holds."""
    return "\n".join(_section(chapter.title, chapter.rules) for chapter in CHAPTERS)


def _section(title: str, rules: Sequence[Rule[...]]) -> str:
    rows = (f"| `{rule.code}` | {rule.severity.value} | {rule.summary} | {rule.source} |" for rule in rules)
    return "\n".join((f"## {title}", "", "| Code | Severity | Rule | Source |", "|---|---|---|---|", *rows, ""))
