# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data plane carries a tunnel, and why."""

from __future__ import annotations

from dataclasses import dataclass

from ..vpn.hardware import lacking_of_all
from ..vpn.model import DataPlaneChoice, Direction, Tunnel
from .capabilities import Capabilities
from .interface import DataPlaneError

_PORT = "the NAT traversal port of this address, which a {} tunnel has"


@dataclass(frozen=True, slots=True)
class Choice:
    """A data plane's name and the sentence that ``ikectl`` shows for it."""

    name: str
    reason: str


def obstacles(tunnel: Tunnel, capabilities: Capabilities) -> tuple[str, ...]:
    """What keeps a data plane from serving the tunnel: every one of its proposals may be the one agreed on."""
    if not capabilities.available:
        return lacking_of_all(capabilities.missing, tunnel.proposals)
    lacking = [f"{word} (proposal {proposal.name})" for proposal in tunnel.proposals
               for word in capabilities.lacks_for(proposal)]
    if any(route.direction is not Direction.BOTH for route in tunnel.routes):
        lacking += capabilities.lacks_directions()
    if tunnel.interface is not None:
        lacking += capabilities.lacks_device()
    return tuple(dict.fromkeys(lacking))


def choose(tunnel: Tunnel, kernel: Capabilities, userspace: Capabilities, port_encapsulates: bool | None = None,
           ) -> Choice:
    """The data plane for one tunnel.

    ``port_encapsulates`` tells what the local address's NAT traversal port is already set to by other tunnels, or
    None where it is free. A port on which the kernel decapsulates (UDP_ENCAP) takes every ESP datagram for itself
    and drops SPIs that it does not know, so the two data planes cannot share it.

    Raises DataPlaneError where the one that was asked for, or each of the two, cannot serve.
    """
    lacking = {"kernel": obstacles(tunnel, kernel), "userspace": obstacles(tunnel, userspace)}
    ports = {"kernel": (_PORT.format("userspace"),) if port_encapsulates is False else (),
             "userspace": (_PORT.format("kernel"),) if port_encapsulates is True else ()}
    against = {name: lacking[name] + ports[name] for name in lacking}
    # What a data plane lacks says enough: that another one has the port as well mends nothing.
    said = {name: f"lacks {'; '.join(lacking[name])}" if lacking[name] else f"cannot have {''.join(ports[name])}"
            for name in lacking}
    if tunnel.dataplane is not DataPlaneChoice.AUTO:
        name = tunnel.dataplane.value
        if against[name]:
            other = "userspace" if name == "kernel" else "kernel"
            mend = f"; dataplane: {other} can" if not against[other] else ""
            raise DataPlaneError(f"tunnel {tunnel.name}: dataplane: {name} cannot serve it here, for want of "
                                 f"{'; '.join(against[name])}{mend}")
        return Choice(name, "declared")
    if not against["kernel"]:
        return Choice("kernel", "the kernel can do all that the tunnel's proposals need")
    if not against["userspace"]:
        return Choice("userspace", f"the kernel {said['kernel']}")
    raise DataPlaneError(f"tunnel {tunnel.name}: no data plane can serve it here: the kernel {said['kernel']}; "
                         f"userspace {said['userspace']}")
