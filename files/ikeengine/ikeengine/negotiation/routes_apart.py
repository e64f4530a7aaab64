# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why tunnel routes and what a peer proposes have nothing in common, or only a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..vpn.model import Route, Tunnel
from ..vpn.selectors import Selector
from ..wire.traffic_selectors import TrafficSelector
from .reasons import Reason
from .traffic_selectors import ALL_PORTS, Narrowed, from_wire, in_common, joined

_MOST_NAMED = 8


def no_route(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector],
             ours: Sequence[tuple[Tunnel, Route]], peer: object) -> Reason:
    """Why `narrow` finds nothing. ``local`` and ``remote`` are as we would declare them."""
    listed = [str(route) for _tunnel, route in ours[:_MOST_NAMED]] or ["none"]
    more = [f"{len(ours) - _MOST_NAMED} more"] if len(ours) > _MOST_NAMED else []
    fix, path = "", ""
    if ours:
        tunnel, near = max(ours, key=lambda row: _alike(row[1], from_wire(local), from_wire(remote)))
        path = f"tunnels[{tunnel.name}].routes"
        fix = f"have the peer propose {near.mirrored.as_yaml}"
        asked = _one_route(local, remote)
        if asked is not None:
            fix = f"add {asked.as_yaml} to {path}, or {fix}"
    return Reason("no traffic is common to both, so the answer is TS_UNACCEPTABLE", fix[:1].upper() + fix[1:],
                  "tunnel route", f"the peer {peer} proposes {proposed(local, remote)}",
                  f"we have {', '.join(listed + more)}", path)


def told_of_narrowing(reason: Reason, found: Narrowed, local: Sequence[TrafficSelector],
                      remote: Sequence[TrafficSelector]) -> Reason:
    """A reason why the tunnel of ``found`` would not do, which may not be the tunnel that the peer means where it has
    but a part of what was proposed: counting those of its routes that have an SA, or are to have another."""
    here, there = joined(from_wire(local)), joined(from_wire(remote))
    shared = [in_common(route, here, there) for route in found.tunnel.secured]
    if (joined(each for ours, _theirs in shared for each in ours) == here
            and joined(each for _ours, theirs in shared for each in theirs) == there):
        return reason
    return replace(reason, rule=f"{reason.rule}; and the tunnel route that the peer proposes, "
                                f"{proposed(local, remote)}, is only in part one of tunnel {found.tunnel.name}")


def _alike(route: Route, local: Sequence[Selector], remote: Sequence[Selector]) -> int:
    """How many of its two ends have something of what was proposed; an equal one counts twice."""
    return sum(max((2 if own == row else 1 if own.overlaps(row) else 0 for row in rows), default=0)
               for own, rows in ((route.local, local), (route.remote, remote)))


def _one_route(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> Route | None:
    """What was proposed as a route that could be declared, where it is one."""
    here, there = from_wire(local), from_wire(remote)
    if len(here) != 1 or len(there) != 1 or here[0].overlaps(there[0]):
        return None
    return Route(here[0], there[0])


def not_narrowed(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector],
                 routes: Sequence[Route], peer: object) -> Reason:
    """Why `agreed` finds nothing."""
    rule, fix = "an answer may only narrow what was proposed (RFC 7296 §2.9)", "Mend the peer, or its tunnel route"
    if any(route.is_everything for route in routes):
        rule, fix = "a route-based tunnel is for all traffic", "Have both ends of one kind"
    return Reason(rule, fix, "tunnel route", f"the peer {peer} answered {proposed(local, remote)}",
                  f"we proposed {', '.join(map(str, routes[:_MOST_NAMED]))}")


def proposed(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> str:
    """Both lists, in words."""
    return f"{text(local)} <-> {text(remote)}"


def text(selectors: Sequence[TrafficSelector]) -> str:
    """For the operator."""
    more = [f"{len(selectors) - _MOST_NAMED} more"] if len(selectors) > _MOST_NAMED else []
    return ", ".join([*map(_one, selectors[:_MOST_NAMED]), *more]) or "nothing"


def _one(row: TrafficSelector) -> str:
    if row.first.version != row.last.version or int(row.first) > int(row.last):
        return f"{row.first}-{row.last}"
    text = str(Selector.between(row.first, row.last))
    if row.protocol or (row.first_port, row.last_port) != ALL_PORTS:
        text += f" (protocol {row.protocol}, ports {row.first_port}-{row.last_port})"
    return text
