# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step of a change of credentials each end may take, by how far both are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..module_utils.observation import unproved
from ..module_utils.vpn.model import Side
from ..module_utils.vpn.pairing import pair
from ..module_utils.vpn.rotation import Stage, Step

End = tuple[str, str]
"""A host and its gateway."""


@dataclass
class Steps:
    """``steps`` are by host and gateway, ``proving`` has the gateways that show their new credential now. ``waiting``
    has a sentence for each end that cannot go on, ``unproved`` one for each whose new credential was switched to and is
    not shown to be taken."""

    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    proving: dict[str, list[str]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)


def plan(sides: Mapping[str, Side], declared: Mapping[str, Mapping[str, Any]],
         observed: Mapping[str, Mapping[str, Any]] | None = None) -> Steps:
    """``declared`` is what ipsec_config returned of each host in the play. Without ``observed`` no end of two that
    change goes beyond the switch; with it, which is what ipsec_info returned since, who has switched and proved it
    drops what is old."""
    found, ends = Steps(), _far_ends(sides)
    for host, gateway, stage in _changing(declared):
        step, far = Step.ACCEPT, ends.get((host, gateway))
        if far is None or not sides[far[0]].managed:
            if observed is None:
                step = Step.FINISH if gateway in declared[host].get("at_once", ()) else step
            elif _has_changed(observed.get(host, {}), gateway):
                step = Step.FINISH
            else:
                found.waiting.append(f"{host}: gateway {gateway} takes the new credential beside the old one, until "
                                     "its peer is set to it, which is for whoever configures that; run this again then")
        else:
            there = _stage(declared.get(far[0]), far[1])
            if there is None or there is Stage.OLD:
                found.waiting.append(f"{host}: gateway {gateway} takes the new credential beside the old one, until "
                                     f"{far[0]} does, too, which this play has not reached; play both ends together")
            else:
                step = Step.SWITCH
                both = [end for end in ((host, gateway), far) if _can_begin(sides, *end)]
                if (host, gateway) in both:
                    found.proving.setdefault(host, []).append(gateway)
                if observed is not None and Stage.ACCEPTS not in (stage, there):
                    failures = [_unproved(*end, observed.get(end[0], {})) for end in both]
                    step = step if any(failures) else Step.FINISH
                    found.unproved += [said for said in failures if said and said not in found.unproved]
        found.steps.setdefault(host, {})[gateway] = step.value
    return found


def _far_ends(sides: Mapping[str, Side]) -> dict[End, End]:
    host_of = {id(side): host for host, side in sides.items()}
    found: dict[End, End] = {}
    for couple in pair(list(sides.values()))[0]:
        ends = [(host_of[id(couple.left)], couple.left_gateway.name),
                (host_of[id(couple.right)], couple.right_gateway.name)]
        found |= {ends[0]: ends[1], ends[1]: ends[0]}
    return found


def _can_begin(sides: Mapping[str, Side], host: str, gateway: str) -> bool:
    """Whether the end knows where its peer is. One that does not cannot authenticate anew by itself."""
    return any(ends.remote.address is not None for ends in sides[host].gateway(gateway).endpoints)


def _changing(declared: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, Stage]]:
    for host, result in declared.items():
        for gateway, stage in (result.get("rotation") or {}).items():
            yield host, gateway, Stage(stage)


def _stage(result: Mapping[str, Any] | None, gateway: str) -> Stage | None:
    """How far an end is; None where this run has not heard of it."""
    if result is None or "rotation" not in result:
        return None
    return Stage(result["rotation"].get(gateway, Stage.DONE.value))


def _has_changed(observed: Mapping[str, Any], gateway: str) -> bool:
    """Whether the peer has proved itself by what is only accepted beside the old one."""
    associations = [ike for row in (observed.get("live") or {}).get("gateways", ()) if row["name"] == gateway
                    for ike in row["ike"]]
    return bool(associations) and not any(ike["credential_in_force"] for ike in associations)


def _unproved(host: str, gateway: str, observed: Mapping[str, Any]) -> str:
    """Why the credential that the end has switched to is not proved, or nothing."""
    live = observed.get("live")
    if not live:
        return f"{host}: gateway {gateway}: {observed.get('reason') or 'the host was not observed'}"
    why = unproved(live, observed.get("declared") or {}, gateway)
    return f"{host}: gateway {gateway} {why}" if why else ""
