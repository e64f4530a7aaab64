# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exempting what comes in by one of our own devices from policies: it was clear text to none but us."""

# mypy: disable-error-code="misc"
# pyroute2 has no types, so its classes are Any to subclass.
from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyroute2.netlink import nla, nlmsg

from .interface import Departure
from .netlink import NetlinkError, NetlinkSocket

_RTM_SETLINK = 19
_DISABLE_POLICY = "/proc/sys/net/ipv{}/conf/{}/disable_policy"


class ipv4_setting(nlmsg):
    """struct ifinfomsg { u8 family; u16 type; int index; u32 flags, change; } with one IPv4 device setting:
    IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { IPV4_DEVCONF_NOPOLICY } } }.
    """

    fields = (("family", "B"), ("pad", "B"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"))
    nla_map = ((26, "IFLA_AF_SPEC", "af_spec"),)

    class af_spec(nla):
        nla_map = ((int(socket.AF_INET), "AF_INET", "inet"),)

        class inet(nla):
            nla_map = ((1, "IFLA_INET_CONF", "conf"),)

            class conf(nla):
                nla_map = ((16, "IPV4_DEVCONF_NOPOLICY", "uint32"),)


def exempt_from_policy(routing: NetlinkSocket, device: str, ifindex: int) -> set[int]:
    """Let what comes in by this device pass by policies. Returns the IP versions for which that worked."""
    exempt = set()
    message = ipv4_setting()
    message["header"] = {"type": _RTM_SETLINK}
    message.update({"family": 0, "pad": 0, "type": 0, "index": ifindex, "flags": 0, "change": 0})
    message["attrs"] = [("IFLA_AF_SPEC", {"attrs": [("AF_INET", {"attrs": [("IFLA_INET_CONF", {"attrs": [
        ("IPV4_DEVCONF_NOPOLICY", 1)]})]})]})]
    try:
        routing.change(f"exempting {device} from IPv4 policies", message)
        exempt.add(4)
    except NetlinkError:
        pass
    try:
        # IPv6 has no netlink attribute for it.
        Path(_DISABLE_POLICY.format(6, device)).write_text("1")
        exempt.add(6)
    except OSError:
        pass
    return exempt


def departures_from_exemption(device: str, versions: Iterable[int]) -> Iterator[Departure]:
    """Of these IP versions, those that somebody has held against policies again; what cannot be read is not told."""
    for version in sorted(versions):
        try:
            found = Path(_DISABLE_POLICY.format(version, device)).read_text().strip()
        except OSError:
            continue
        if found != "1":
            yield Departure(f"device {device}", f"disable_policy 1 for IPv{version}", f"disable_policy {found}")
