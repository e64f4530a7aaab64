# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes to offer where two ends differ: none that a rule on the changed end has something against.

A rule on settings may not see more than settings, but what would mend it may: it is asked for only where the rule is
broken, and the rules on one end then look at the whole of it. A transform or proposal that others use too is changed
for them as well, so it is offered only where nothing else mends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

from ..findings import Finding
from ..model import Gateway, Proposal, Side, Transform, Tunnel
from .book import GATEWAY, PHASE1, PHASE2, SITE, TUNNEL
from .settings import GatewaySettings, SiteSettings, TunnelSettings

_MOST_OTHERS = 3
"""Of those that share what is changed: they are mostly alike, and a mesh has a thousand."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change in words, such as ``mode to main at both ends``, and what the changed ends would have wrong by it.

    ``is_shared`` says that it changes what other gateways or tunnels of the end have, too.
    """

    words: str
    against: tuple[Finding, ...]
    is_shared: bool = False

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.against if finding.is_error)

    def __and__(self, other: Remedy) -> Remedy:
        """Both ends changed at once, in the words of the first."""
        return replace(self, against=self.against + other.against, is_shared=self.is_shared or other.is_shared)


def to_gateway(words: str, side: SiteSettings, gateway: GatewaySettings, **changes: Any) -> Remedy:
    """Set these fields of the gateway."""
    whole, of = cast(Gateway, gateway), cast(Side, side)
    return _remedy(words, of, [(whole, replace(whole, **changes))], tunnels_too=True)


def to_transform(words: str, side: SiteSettings, gateway: GatewaySettings, old: Transform, new: Transform) -> Remedy:
    """Change a transform of the gateway, which is that of every gateway that names it."""
    of = cast(Side, side)
    users = [cast(Gateway, gateway), *islice((other for other in of.gateways if other is not gateway
                                              and any(item is old or item == old for item in other.transforms)),
                                             _MOST_OTHERS)]
    changed = [(user, replace(user, transforms=_in_place(user.transforms, old, new))) for user in users]
    return replace(_remedy(words, of, changed), is_shared=len(users) > 1)


def to_tunnel(words: str, side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings,
              **changes: Any) -> Remedy:
    """Set these fields of the tunnel."""
    whole = cast(Tunnel, tunnel)
    return _of_tunnels(words, cast(Side, side), [(cast(Gateway, gateway), whole, replace(whole, **changes))])


def to_proposal(words: str, side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings, old: Proposal,
                new: Proposal) -> Remedy:
    """Change a proposal of the tunnel, which is that of every tunnel that names it."""
    of = cast(Side, side)
    users = [cast(Tunnel, tunnel), *islice((other for other in of.tunnels if other is not tunnel
                                            and any(item is old or item == old for item in other.proposals)),
                                           _MOST_OTHERS)]
    under = {one.name: one for one in of.gateways}
    changed = [(under[user.gateway], user, replace(user, proposals=_in_place(user.proposals, old, new)))
               for user in users]
    return replace(_of_tunnels(words, of, changed), is_shared=len(users) > 1)


def offered(remedies: Sequence[Remedy]) -> str:
    """A sentence: the changes that leave nothing wrong, else those that leave no error.

    Where each leaves one, it is the first, with what then has to be mended.
    """
    sound = [remedy for remedy in remedies if not remedy.errors]
    best = [remedy for remedy in sound if not remedy.against] or sound
    best = [remedy for remedy in best if not remedy.is_shared] or best
    if best:
        return f"Set {', or '.join(remedy.words for remedy in best)}"
    first = remedies[0]
    return f"Set {first.words}, and then mend what that breaks: {'; '.join(dict.fromkeys(map(_said, first.errors)))}"


def is_sound(remedies: Iterable[Remedy]) -> bool:
    """Whether one of them leaves no error."""
    return any(not remedy.errors for remedy in remedies)


def _said(finding: Finding) -> str:
    return f"{finding.where}: {finding.rule}"


def _in_place(items: tuple[Any, ...], old: object, new: object) -> tuple[Any, ...]:
    return tuple(new if item is old or item == old else item for item in items)


def _remedy(words: str, side: Side, changed: Sequence[tuple[Gateway, Gateway]], *,
            tunnels_too: bool = False) -> Remedy:
    """The gateways before and after, judged alone and among those that share their transforms."""
    def wrong(gateways: Sequence[Gateway], others: Sequence[Gateway]) -> list[Finding]:
        sharing = [gateway for gateway in (*gateways, *others) if gateway.shares_transforms]
        return [*(SITE.check(replace(side, gateways=tuple(sharing), tunnels=())) if len(sharing) > 1 else ()),
                *(finding for gateway in gateways for finding in (
                    *PHASE1.check(side, gateway), *GATEWAY.check(side, gateway),
                    *(found for tunnel in (side.tunnels_of(gateway.name) if tunnels_too else ())
                      for found in (*PHASE2.check(side, gateway, tunnel), *TUNNEL.check(side, gateway, tunnel)))))]

    before, after = zip(*changed, strict=True)
    others: list[Gateway] = []
    if any(gateway.shares_transforms for gateway in after):
        own = set(map(id, before))
        others = [gateway for gateway in side.gateways if id(gateway) not in own]
    return _judged(words, lambda: wrong(before, others), wrong(after, others))


def _of_tunnels(words: str, side: Side, changed: Sequence[tuple[Gateway, Tunnel, Tunnel]]) -> Remedy:
    def wrong(gateway: Gateway, tunnel: Tunnel) -> list[Finding]:
        return [*PHASE2.check(side, gateway, tunnel), *TUNNEL.check(side, gateway, tunnel)]

    return _judged(words, lambda: [finding for gateway, old, _new in changed for finding in wrong(gateway, old)],
                   [finding for gateway, _old, new in changed for finding in wrong(gateway, new)])


def _judged(words: str, before: Callable[[], list[Finding]], after: Sequence[Finding]) -> Remedy:
    known = {(finding.code, finding.left_path) for finding in before()} if after else set()
    return Remedy(words, tuple(finding for finding in after if (finding.code, finding.left_path) not in known))
