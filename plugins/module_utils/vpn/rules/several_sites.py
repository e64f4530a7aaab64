# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules over all sites of a validation together: names, and gateways whose far end is not among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .. import identities
from ..model import Endpoint, Side
from ..pairing import Leftover
from .book import ERROR, FAR_END, OWN, SITES, WARNING, Broken


@SITES.rule("site-declared-twice", ERROR, OWN)
def site_declared_twice(sides: Sequence[Side]) -> Iterator[Broken]:
    """Each site has its own name."""
    for name, count in Counter(side.name for side in sides).items():
        if count > 1:
            yield Broken("site.name", f"{count} sites are called {name}", "", "findings could not tell them apart",
                         "Give each site its own name", "site.name", "site.name", ends=((name, "site.name"),))


@SITES.rule("identity-of-two-sites", WARNING, "RFC 7296 §2.15")
def identity_of_two_sites(sides: Sequence[Side]) -> Iterator[Broken]:
    """No two sites present the same Phase 1 identifier."""
    first: dict[object, tuple[Side, Endpoint]] = {}
    for side in sides:
        # Gateways of a site mostly share one local endpoint, so each is looked at once.
        own = {id(pair.local): pair.local for gateway in side.gateways for pair in gateway.endpoints}.values()
        for key, local in {identities.key(local.identity): local for local in reversed(own)}.items():
            other, others = first.setdefault(key, (side, local))
            if other is not side:
                here, there = _local(other, others), _local(side, local)
                yield Broken("phase 1 identifier", f"{other.name} presents {others.identity}",
                             f"{side.name} presents {local.identity}", "a peer of both could not tell them apart",
                             "Give one of the two sites another local identifier", here, there,
                             ends=((other.name, here), (side.name, there)))


def _local(side: Side, endpoint: Endpoint) -> str:
    """Where that identifier stands first."""
    return next(f"gateways[{gateway.name}].endpoints[{index}].local.identifier"
                for gateway in side.gateways for index, pair in enumerate(gateway.endpoints) if pair.local is endpoint)


@FAR_END.rule("far-end-has-no-gateway", ERROR, OWN, member="endpoints")
def far_end_has_no_gateway(leftover: Leftover) -> Iterator[Broken]:
    """Where the far end's site is declared, it has a gateway back."""
    if leftover.claimed is not None:
        there, endpoints = leftover.claimed.name, leftover.gateway.endpoints[leftover.at]
        yield Broken("far end", f"{leftover.side.name} reaches for {endpoints.remote.address}",
                     f"that is {there}, which has no gateway back",
                     f"{there} would answer AUTHENTICATION_FAILED",
                     f"Add a gateway to {there} with remote address {endpoints.local.reached or 'dynamic'}",
                     _remote(leftover))


@FAR_END.rule("far-end-declared-nowhere", WARNING, OWN, member="endpoints")
def far_end_declared_nowhere(leftover: Leftover) -> Iterator[Broken]:
    """The far end of every gateway is declared."""
    if leftover.claimed is None:
        address = leftover.gateway.endpoints[leftover.at].remote.address or "a dynamic address"
        yield Broken("far end", f"{leftover.side.name} reaches for {address}", "no declared site has it",
                     "only one end is known, so nothing can be held against the other",
                     "Declare the far end too, with managed: false where somebody else configures it",
                     _remote(leftover))


def _remote(leftover: Leftover) -> str:
    return f"gateways[{leftover.gateway.name}].endpoints[{leftover.at}].remote.address"
