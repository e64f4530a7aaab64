# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this kernel's nf_tables can do, learnt by writing a table that never comes into force."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from ...vpn.model import Direction, Protocol, Route
from ...vpn.selectors import Selector
from ..capabilities import DIRECTIONS
from ..interface import Protection
from ..netlink import NetlinkError
from .table import InnerTable, Traffic, kernel_traffic

#: Documentation addresses (RFC 5737), for the example of a route.
_LOCAL, _REMOTE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")


@dataclass(frozen=True, slots=True)
class Netfilter:
    """Whether routes can have a direction and whether MSSs can be clamped; ``missing`` says in words what cannot be."""

    directions: bool
    clamping: bool
    missing: tuple[str, ...]

    def table(self, plane: str, traffic: Traffic) -> InnerTable | None:
        """A data plane's table; None where it could do nothing. Raises NetlinkError."""
        return InnerTable(plane, traffic, self.clamping) if self.directions or self.clamping else None


def probe() -> Netfilter:
    """Never raises."""
    directions, clamping = (_refusal(direction, clamps) for direction, clamps in (
        (Direction.LOCAL_TO_REMOTE, False), (Direction.BOTH, True)))
    words = ((DIRECTIONS, directions), ("clamping of the TCP MSS", clamping))
    return Netfilter(directions is None, clamping is None,
                     tuple(f"{what}: {error}" for what, error in words if error is not None))


def _refusal(direction: Direction, clamps: bool) -> NetlinkError | None:
    route = Route(Selector(_LOCAL, _LOCAL), Selector(_REMOTE, _REMOTE), direction)
    try:
        table = InnerTable("probe", kernel_traffic(), clamps)
    except NetlinkError as error:
        return error
    try:
        table.rehearse([Protection("probe", route, 1, Protocol.ESP, _LOCAL, _REMOTE)])
    except NetlinkError as error:
        return error
    finally:
        table.close()
    return None
