# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what a Linux host said that it can do, its kernel, its userspace and its cryptographic library, before
anything is declared there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ..algorithms import KeyEncapsulation
from ..hardware import Abilities, lacking_of_all
from ..model import DataPlaneChoice, Direction, Gateway, Side, Tunnel
from .book import ERROR, HOST, LIBRARY, OWN, Broken


@HOST.rule("host-cannot-carry", ERROR, "Linux kernel")
def host_cannot_carry(side: Side, tunnel: Tunnel, abilities: Mapping[str, Abilities]) -> Iterator[Broken]:
    """A tunnel's data plane has on its host what the tunnel's proposals, its interface and its routes' directions need.
    """
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


@LIBRARY.rule("library-lacks-key-exchange", ERROR, OWN)
def library_lacks_key_exchange(side: Side, gateway: Gateway, lacking: Collection[KeyEncapsulation]) -> Iterator[Broken]:
    """The host's cryptographic library has the additional key exchanges that a gateway and its tunnels ask for."""
    asked = [(transform.additional_key_exchange, f"transforms[{transform.name}]") for transform in gateway.transforms]
    asked += [(tunnel.additional_key_exchange, f"tunnels[{tunnel.name}].pfs")
              for tunnel in side.tunnels_of(gateway.name)]
    for method, path in asked:
        if method in lacking and method is not None:
            yield Broken("additional key exchange", f"{side.name} asks for {method.name}",
                         "this host's Python package cryptography lacks it", "nothing else computes it there",
                         f"Have the role bring its own packages, or set {path}.additional_key_exchange to none at both "
                         "ends", f"{path}.additional_key_exchange")


def _lacking(tunnel: Tunnel, plane: Abilities) -> tuple[str, ...]:
    """What the data plane lacks for the tunnel's proposals, routes and interface, in words."""
    if not plane.available:
        return lacking_of_all(plane.missing, tunnel.proposals)
    directions = any(route.direction is not Direction.BOTH for route in tunnel.routes)
    return (*dict.fromkeys(f"{word} (proposal {proposal.name})" for proposal in tunnel.proposals
                           for word in plane.lacking(proposal)),
            *(plane.lacking_for_directions if directions else ()),
            *(plane.lacking_for_interfaces if tunnel.interface is not None else ()))
