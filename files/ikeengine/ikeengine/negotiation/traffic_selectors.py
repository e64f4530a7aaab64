# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnel routes as traffic selectors, and narrowing (RFC 7296 §2.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..vpn.model import Route
from ..vpn.selectors import Selector
from ..wire.traffic_selectors import TrafficSelector

_ALL_PORTS = (0, 65535)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """``index`` is the place of our route among those given; ``route`` what both ends can agree on, from our side."""

    index: int
    route: Route


@dataclass(frozen=True, slots=True)
class Apart:
    """Nothing in common. ``reason`` is a sentence with both ends' selectors."""

    reason: str


def to_wire(selector: Selector) -> TrafficSelector:
    return TrafficSelector(selector.first, selector.last)


def from_wire(selectors: Sequence[TrafficSelector]) -> list[Selector]:
    """The selectors for all protocols and ports: the only kind a tunnel route can be."""
    return [Selector.between(row.first, row.last) for row in selectors
            if row.protocol == 0 and (row.first_port, row.last_port) == _ALL_PORTS
            and row.first.version == row.last.version and int(row.first) <= int(row.last)]


def narrow(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector],
           ours: Sequence[Route]) -> Narrowed | Apart:
    """The best of ``ours`` for what the peer proposes: an equal one, else one the proposal contains, else one that
    contains the proposal, else one that shares addresses with it; the earliest where several are as good."""
    offered_local, offered_remote = from_wire(local), from_wire(remote)
    best: tuple[int, Narrowed] | None = None
    for index, route in enumerate(ours):
        for theirs_local in offered_local:
            for theirs_remote in offered_remote:
                shared_local = route.local.intersection(theirs_local)
                shared_remote = route.remote.intersection(theirs_remote)
                if shared_local is None or shared_remote is None:
                    continue
                rank = _rank(route, theirs_local, theirs_remote)
                if best is None or rank < best[0]:
                    best = rank, Narrowed(index, Route(shared_local, shared_remote, route.direction))
    if best is not None:
        return best[1]
    return Apart(f"tunnel routes: the peer proposes {_text(local)} here and {_text(remote)} there; "
                   f"declared are {', '.join(str(route) for route in ours) or 'none'}")


def _rank(route: Route, local: Selector, remote: Selector) -> int:
    if route.local == local and route.remote == remote:
        return 0
    if local.contains(route.local) and remote.contains(route.remote):
        return 1
    if route.local.contains(local) and route.remote.contains(remote):
        return 2
    return 3


def agreed(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector], route: Route) -> Route | Apart:
    """What the responder's answer makes of the route that we proposed; refuses an answer that is wider than it."""
    if len(local) == 1 and len(remote) == 1:
        answered_local, answered_remote = from_wire(local), from_wire(remote)
        if (answered_local and answered_remote and route.local.contains(answered_local[0])
                and route.remote.contains(answered_remote[0])):
            return Route(answered_local[0], answered_remote[0], route.direction)
    return Apart(f"tunnel routes: we proposed {route}, the peer answered {_text(local)} here and "
                   f"{_text(remote)} there")


def _text(selectors: Sequence[TrafficSelector]) -> str:
    return ", ".join(_one(row) for row in selectors) or "nothing"


def _one(row: TrafficSelector) -> str:
    if row.first.version != row.last.version or int(row.first) > int(row.last):
        return f"{row.first}-{row.last}"
    text = str(Selector.between(row.first, row.last))
    if row.protocol or (row.first_port, row.last_port) != _ALL_PORTS:
        text += f" (protocol {row.protocol}, ports {row.first_port}-{row.last_port})"
    return text
