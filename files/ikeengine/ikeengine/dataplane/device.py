# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route-based tunnel's network device, as a data plane is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..vpn.selectors import Address, Network


@dataclass(frozen=True, slots=True)
class Device:
    """``number`` is what the device, its SAs and its policies have in common, the daemon's own for its first route.

    ``addresses`` have their prefix lengths; ``remotes`` are routed into it, with ``metric`` where one is declared.
    ``mtu`` is octets. ``local`` and ``remote`` are the outer addresses of the SAs to come, the unspecified one where an
    address is not known before.
    """

    tunnel: str
    name: str
    number: int
    addresses: tuple[str, ...]
    remotes: tuple[Network, ...]
    metric: int | None
    mtu: int
    local: Address
    remote: Address
