# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what a Linux host said that its kernel and userspace can do, before anything is declared there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..hardware import Abilities
from ..model import DataPlaneChoice, Side, Tunnel
from .book import ERROR, HOST, Broken


@HOST.rule("host-cannot-carry", ERROR, "Linux kernel")
def host_cannot_carry(side: Side, tunnel: Tunnel, abilities: Mapping[str, Abilities]) -> Iterator[Broken]:
    """A tunnel's data plane has on its host what each of the tunnel's proposals needs."""
    lacking = {name: _lacking(tunnel, plane) for name, plane in abilities.items()}
    able = [name for name, lacks in lacking.items() if not lacks]
    wanted = tunnel.dataplane.value
    if wanted in able or (tunnel.dataplane is DataPlaneChoice.AUTO and able):
        return
    asked = lacking if tunnel.dataplane is DataPlaneChoice.AUTO else {wanted: lacking.get(wanted, ("it",))}
    said = "; ".join(f"{name} lacks {', '.join(lacks)}" for name, lacks in asked.items())
    fix = (f"Set tunnels[{tunnel.name}].dataplane to {able[0]}, or to auto" if able else
           "Choose proposals that one of them has, or load the kernel's module for what is lacking")
    yield Broken("data plane", f"{side.name} asks for {wanted}", f"on this host {said}",
                 "any of a tunnel's proposals may be the one agreed on", fix, f"tunnels[{tunnel.name}].dataplane")


def _lacking(tunnel: Tunnel, plane: Abilities) -> tuple[str, ...]:
    """What the data plane lacks for the tunnel's proposals, in words."""
    if not plane.available:
        return plane.missing
    return tuple(dict.fromkeys(f"{word} (proposal {proposal.name})" for proposal in tunnel.proposals
                               for word in plane.lacking(proposal)))
