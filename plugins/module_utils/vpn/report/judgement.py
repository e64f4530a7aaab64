# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a validation came to: the findings in a stable order, counts, and a verdict on each tunnel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from ..findings import Finding
from ..pairing import Pair

_OF_ONE_TUNNEL = "tunnel-without-counterpart"
"""Found at a gateway, about one of its tunnels: says nothing of the others."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where something is written: a file, absolute or from the checkout's root; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


Locate = Callable[[str, str], "Position | None"]
"""From a site's name and a path in its declaration to where that is written, if anybody knows."""


def nowhere(_site: str, _path: str) -> None:
    """Locates nothing: for declarations that come from no file."""
    return None


class Verdict(NamedTuple):
    """Whether a tunnel would come up as declared: no error at it, nor at its gateway, at either end.

    ``tunnel`` is its name at the left end.
    """

    left: str
    right: str
    tunnel: str
    agrees: bool

    def as_dict(self) -> dict[str, object]:
        return self._asdict()


class Judgement:
    """The findings, errors first, then by site; and what was held against each other.

    Where a declaration could not be read nothing was: ``pairs`` is None.
    """

    def __init__(self, findings: Sequence[Finding], sites: int, pairs: Sequence[Pair] | None) -> None:
        self.findings = sorted(findings, key=lambda finding: (not finding.is_error, sorted(finding.sites)))
        self.sites = sites
        self.compared = pairs is not None
        self.pairs = tuple(pairs or ())
        self.errors = [finding for finding in self.findings if finding.is_error]
        self.warnings = self.findings[len(self.errors):]
        self.tunnels = sorted(self._verdicts(), key=attrgetter("agrees"))
        """Those that disagree come first."""

    @property
    def counts(self) -> dict[str, int]:
        """Gateways and tunnels are counted once for both ends."""
        return {"sites": self.sites, "gateways": len(self.pairs), "tunnels": len(self.tunnels),
                "agreeing": sum(verdict.agrees for verdict in self.tunnels),
                "errors": len(self.errors), "warnings": len(self.warnings)}

    @property
    def scope(self) -> str:
        """What was held against each other, as a sentence without its full stop."""
        if not self.compared:
            return "A declaration cannot be read, so nothing was held against each other"
        parts = [counted(self.sites, "site"), counted(len(self.pairs), "gateway"), counted(len(self.tunnels), "tunnel")]
        return f"{', '.join(parts[:2])} and {parts[2]} were held against each other"

    def _verdicts(self) -> Iterator[Verdict]:
        wrong = {(site, _subject(path)) for finding in self.errors if finding.code != _OF_ONE_TUNNEL
                 for site, path in _places(finding)}
        for pair in self.pairs:
            left, right = pair.left.name, pair.right.name
            fits = not wrong or not wrong & {(left, f"gateways[{pair.left_gateway.name}]"),
                                             (right, f"gateways[{pair.right_gateway.name}]")}
            for both in pair.tunnels:
                agrees = fits and (not wrong or not wrong & {(left, f"tunnels[{both.left.name}]"),
                                                             (right, f"tunnels[{both.right.name}]")})
                yield Verdict(left, right, both.left.name, agrees)
            yield from (Verdict(left, right, tunnel.name, False) for tunnel in pair.left_only)
            yield from (Verdict(right, left, tunnel.name, False) for tunnel in pair.right_only)


def ends(finding: Finding) -> list[tuple[str, str]]:
    """Each site of a finding with its path there; of what is declared of no one site, as a fleet, the path alone."""
    return list(zip(finding.sites, finding.paths, strict=True)) or [("", finding.field)]


def _places(finding: Finding) -> Iterator[tuple[str, str]]:
    """Each site of a finding with the paths of what it is about: of a whole site, those of the two values."""
    for site, path in zip(finding.sites, finding.paths, strict=True):
        about = (path,) if _subject(path) else (finding.left_path, finding.right_path)
        yield from ((site, within) for within in about)


def _subject(path: str) -> str:
    """The gateway or tunnel that a path leads into: ``gateways[branch]`` of ``gateways[branch].start``."""
    return path[:path.find("]") + 1]


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
