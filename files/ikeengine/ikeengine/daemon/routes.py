# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of the way to an address."""

from __future__ import annotations

import socket
from contextlib import suppress

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ..dataplane.netlink import NETLINK_ROUTE, NetlinkError, NetlinkSocket
from ..vpn.selectors import Address

#: linux/rtnetlink.h.
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RTN_LOCAL = 2
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_PREFIX = {4: 32, 6: 128}


class Routes:
    """Asks the kernel; each question takes a tenth of a millisecond or two."""

    def __init__(self) -> None:
        """Raises NetlinkError."""
        self._kernel = NetlinkSocket(NETLINK_ROUTE, _parse)

    def close(self) -> None:
        self._kernel.close()

    def to(self, address: Address) -> nlmsg | None:
        """The route that a packet takes, None where no way leads there."""
        question = rtmsg()
        question.update({"family": _FAMILY[address.version], "dst_len": _PREFIX[address.version]})
        question["attrs"] = [("RTA_DST", str(address))]
        question["header"] = {"type": _RTM_GETROUTE, "flags": 0, "sequence_number": 0, "pid": 0}
        with suppress(NetlinkError):
            return self._kernel.get(f"asking for the way to {address}", question)
        return None


def has_address(address: Address) -> bool:
    """Whether this host has it now: it can be bound to, and what goes there stays here. On hosts that may take over an
    address (``net.ipv4.ip_nonlocal_bind``) any can be bound to."""
    with socket.socket(_FAMILY[address.version], socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((str(address), 0))
        except OSError:
            return False
    try:
        routes = Routes()
    except NetlinkError:
        return True
    try:
        route = routes.to(address)
    finally:
        routes.close()
    return route is not None and bool(route["type"] == _RTN_LOCAL)


def _parse(kind: int, octets: bytes) -> nlmsg | None:
    if kind != _RTM_NEWROUTE:
        return None
    message = rtmsg(octets)
    message.decode()
    return message
