# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes to offer where two ends differ: none that a rule on the changed end has something against.

A rule on settings may not see more than settings, but what would mend it may: it is asked for only where the rule is
broken, and the rules on one end then look at the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..findings import Finding
from ..model import Gateway, Side, Tunnel
from .book import GATEWAY, PHASE1, PHASE2, TUNNEL
from .settings import GatewaySettings, SiteSettings, TunnelSettings


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change in words, such as ``mode to main at both ends``, and what the changed ends would have wrong by it."""

    words: str
    against: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.against if finding.is_error)

    def __and__(self, other: Remedy) -> Remedy:
        """Both ends changed at once, in the words of the first."""
        return replace(self, against=self.against + other.against)


def to_gateway(words: str, side: SiteSettings, gateway: GatewaySettings, **changes: Any) -> Remedy:
    """Set these fields of the gateway."""
    whole = cast(Gateway, gateway)
    tunnels = cast(Side, side).tunnels_of(gateway.name)
    return _remedy(words, cast(Side, side), (whole, tunnels), (replace(whole, **changes), tunnels))


def to_tunnel(words: str, side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings,
              **changes: Any) -> Remedy:
    """Set these fields of the tunnel."""
    whole, of = cast(Tunnel, tunnel), cast(Gateway, gateway)
    return _remedy(words, cast(Side, side), (of, (whole,)), (of, (replace(whole, **changes),)))


def offered(remedies: Sequence[Remedy]) -> str:
    """A sentence: the changes that leave nothing wrong, else those that leave no error.

    Where each leaves one, it is the first, with what then has to be mended.
    """
    good = _best(remedies)
    if good:
        return f"Set {', or '.join(remedy.words for remedy in good)}"
    first = remedies[0]
    return f"Set {first.words}, and then mend what that breaks: {'; '.join(dict.fromkeys(map(_said, first.errors)))}"


def is_sound(remedies: Iterable[Remedy]) -> bool:
    """Whether one of them leaves no error."""
    return any(not remedy.errors for remedy in remedies)


def _best(remedies: Sequence[Remedy]) -> list[Remedy]:
    return [remedy for remedy in remedies if not remedy.against] or [
        remedy for remedy in remedies if not remedy.errors]


def _said(finding: Finding) -> str:
    return f"{finding.where}: {finding.rule}"


_End = tuple[Gateway, tuple[Tunnel, ...]]


def _remedy(words: str, side: Side, before: _End, after: _End) -> Remedy:
    against = _wrong(side, after)
    known = {(finding.code, finding.left_path) for finding in _wrong(side, before)} if against else set()
    return Remedy(words, tuple(finding for finding in against if (finding.code, finding.left_path) not in known))


def _wrong(side: Side, end: _End) -> list[Finding]:
    gateway, tunnels = end
    return [*PHASE1.check(side, gateway), *GATEWAY.check(side, gateway),
            *(finding for tunnel in tunnels for finding in (*PHASE2.check(side, gateway, tunnel),
                                                            *TUNNEL.check(side, gateway, tunnel)))]
