# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that declarations keep: each side by itself, and both ends of every gateway against each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .. import collector
from ..algorithms import KeyEncapsulation
from ..declaration import DeclarationError
from ..findings import Finding, Severity
from ..hardware import Abilities
from ..model import Gateway, Side
from ..pairing import Pair, pair
from ..reading import CODES
from . import (
    both_gateways,
    both_peers,
    both_routes,
    both_tunnels,
    certificates,
    one_gateway,
    one_host,
    one_machine,
    one_peer,
    one_site,
    one_site_gateways,
    one_tunnel,
    ppk,
    several_sites,
    weak,
)
from .book import (
    BOTH_PHASE1,
    BOTH_PHASE2,
    CERTIFICATES,
    CHAPTERS,
    ERROR,
    FAR_END,
    GATEWAY,
    GATEWAYS,
    HOST,
    LIBRARY,
    OWN,
    PHASE1,
    PHASE2,
    SITE,
    SITES,
    TUNNEL,
    TUNNELS,
)
from .likeness import Likenesses, doubtful

# Importing a chapter's file registers its rules.
__all__ = ["Validation", "against_abilities", "against_certificates", "against_library", "both_gateways", "both_peers",
           "both_routes", "both_tunnels", "by_itself", "certificates", "one_gateway", "one_host", "one_machine",
           "one_peer", "one_site", "one_site_gateways", "one_tunnel", "ppk", "several_sites", "sound", "table",
           "validate", "weak"]


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


def validate(sides: Sequence[Side]) -> Validation:
    """Hold all sides against the rules, and both ends of every gateway against each other."""
    with collector.paused():
        pairs, leftovers = pair(sides)
        likenesses = Likenesses()
        doubtful_sides = {id(side) for side in doubtful(sides, likenesses.site, SITE.check)}
        doubtful_pairs = doubtful(pairs, likenesses.link, _link)
        gateways = {id(gateway) for both in doubtful_pairs for gateway in (both.left_gateway, both.right_gateway)}
        gateways |= {id(leftover.gateway) for leftover in leftovers}
        findings = SITES.check(sides)
        for side in sides:
            if id(side) in doubtful_sides:
                findings += SITE.check(side)
            findings += _alone(side, [gateway for gateway in side.gateways if id(gateway) in gateways])
        for both in doubtful_pairs:
            findings += _together(both)
        for leftover in leftovers:
            findings += FAR_END.check(leftover)
    return Validation(tuple(findings), pairs)


def by_itself(side: Side) -> list[Finding]:
    """What is wrong with one side, whoever its peers are."""
    return [*SITE.check(side), *_alone(side, side.gateways)]


def sound(side: Side) -> Side:
    """The side, where nothing is wrong with it by itself. Raises DeclarationError with every error there is."""
    errors = tuple(finding for finding in by_itself(side) if finding.is_error)
    if errors:
        raise DeclarationError(errors)
    return side


def against_abilities(side: Side, abilities: Mapping[str, Abilities]) -> list[Finding]:
    """What the side's tunnels need and its Linux host has not. Without any ability nothing was asked."""
    return [finding for tunnel in side.tunnels for finding in HOST.check(side, tunnel, abilities)] if abilities else []


def against_certificates(side: Side, doubts: Callable[[Gateway], Sequence[certificates.Doubt]]) -> list[Finding]:
    """What is wrong with the certificates of one side, by ``doubts`` of who can read them."""
    return [finding for gateway in side.gateways for finding in CERTIFICATES.check(side, gateway, doubts(gateway))]


def against_library(side: Side, lacking: Collection[KeyEncapsulation]) -> list[Finding]:
    """What one side asks for of what its host's cryptographic library lacks."""
    return [finding for gateway in side.gateways for finding in LIBRARY.check(side, gateway, lacking)]


def _link(both: Pair) -> list[Finding]:
    """All that is wrong with the two ends of a gateway."""
    return [*_alone(both.left, [both.left_gateway]), *_alone(both.right, [both.right_gateway]), *_together(both)]


def _alone(side: Side, gateways: Sequence[Gateway]) -> Iterator[Finding]:
    """What is wrong with some of a side's gateways, and with their tunnels, by themselves."""
    tunnels = side.tunnels_by_gateway() if gateways else {}
    for gateway in gateways:
        yield from PHASE1.check(side, gateway)
        yield from GATEWAY.check(side, gateway)
        for tunnel in tunnels.get(gateway.name, ()):
            yield from PHASE2.check(side, gateway, tunnel)
            yield from TUNNEL.check(side, gateway, tunnel)


def _together(both: Pair) -> Iterator[Finding]:
    """What the two ends of a gateway, and of its tunnels, disagree on."""
    yield from BOTH_PHASE1.check(both)
    yield from GATEWAYS.check(both)
    for tunnels in both.tunnels:
        yield from BOTH_PHASE2.check(both, tunnels)
        yield from TUNNELS.check(both, tunnels)


def table() -> str:
    """All codes as Markdown, reading first, then chapter by chapter: what ``docs/rules.md`` holds."""
    reading = [(code, ERROR, sentence, OWN) for code, sentence in CODES.items()]
    chapters = ((chapter.title, [(rule.code, rule.severity, rule.summary, rule.source) for rule in chapter.rules])
                for chapter in CHAPTERS)
    sections = (("Reading a declaration or a fleet", reading), *chapters)
    return "\n".join(_section(title, rows) for title, rows in sections)


def _section(title: str, rows: Sequence[tuple[str, Severity, str, str]]) -> str:
    lines = (f"| `{code}` | {severity.value} | {sentence} | {source} |" for code, severity, sentence, source in rows)
    return "\n".join((f"## {title}", "", "| Code | Severity | Rule | Source |", "|---|---|---|---|", *lines, ""))
