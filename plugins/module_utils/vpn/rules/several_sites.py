# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules over all sites of a validation together: names, and gateways whose far end is not among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..model import Side
from ..pairing import Leftover
from .book import ERROR, FAR_END, OWN, SITES, WARNING, Broken


@SITES.rule("site-declared-twice", ERROR, OWN, member="site.name")
def site_declared_twice(sides: Sequence[Side]) -> Iterator[Broken]:
    """Each site has its own name."""
    for name, count in Counter(side.name for side in sides).items():
        if count > 1:
            yield Broken("site.name", f"{count} sites are called {name}", "", "findings could not tell them apart",
                         "Give each site its own name")


@FAR_END.rule("far-end-has-no-gateway", ERROR, OWN, member="endpoints")
def far_end_has_no_gateway(leftover: Leftover) -> Iterator[Broken]:
    """Where the far end's site is declared, it has a gateway back."""
    if leftover.claimed is not None:
        there, back = leftover.claimed.name, leftover.gateway.endpoints[0].local.address
        yield Broken("far end", f"{leftover.side.name} reaches for {leftover.gateway.endpoints[0].remote.address}",
                     f"that is {there}, which has no gateway back",
                     f"{there} would answer AUTHENTICATION_FAILED",
                     f"Add a gateway to {there} with remote address {back or 'dynamic'}")


@FAR_END.rule("far-end-declared-nowhere", WARNING, OWN, member="endpoints")
def far_end_declared_nowhere(leftover: Leftover) -> Iterator[Broken]:
    """The far end of every gateway is declared."""
    if leftover.claimed is None:
        address = leftover.gateway.endpoints[0].remote.address or "a dynamic address"
        yield Broken("far end", f"{leftover.side.name} reaches for {address}", "no declared site has it",
                     "only one end is known, so nothing can be held against the other",
                     "Declare the far end too, with managed: false where somebody else configures it")
