# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a userspace tunnel's traffic out of the clear, whether the daemon lives or not.

Out of the host: for each local prefix of a route a rule ``from PREFIX lookup TABLE``, and in that table for each
remote prefix a route into the TUN device and, behind it, an ``unreachable`` one, which is left when the device goes.
So exactly the traffic of the declared selectors is taken; another source, such as the gateway's own address, follows
the main table as if there were no tunnel, and so does, by a ``throw`` route, what is near though a wide route contains
it. Reverse path filtering finds the device too, so strict mode holds.

Where the kernel has XFRM policies, policies that block stand besides: outbound for every device but the TUN, and
inbound and forwarded for what claims to come from the remote side. The kernel exempts packets from the TUN by that
device's ``disable_policy``; for IPv6 it knows this only for forwarded packets, so for the gateway's own IPv6
addresses nf_tables has to see to it, and for IPv6 at all where /proc/sys may not be written. Nor is there a block for
outbound IPv6: of what the gateway itself sends the kernel compares no device, so it would never reach the TUN.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ...vpn.selectors import Network
from ..exemption import departures_from_exemption, exempt_from_policy
from ..interface import Departure, Protection
from ..links import USERSPACE_ROUTES, metrics
from ..netlink import NETLINK_ROUTE, NETLINK_XFRM, NetlinkError, NetlinkSocket
from ..xfrm import messages, policies
from ..xfrm.messages import XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK, XFRM_POLICY_FWD, XFRM_POLICY_IN, XFRM_POLICY_OUT
from ..xfrm.policies import Body, Key
from ..xfrm.policy_table import PolicyTable

_log = logging.getLogger(__name__)

_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_RTM_NEWRULE, _RTM_DELRULE, _RTM_GETRULE = 32, 33, 34
_RTN_UNICAST, _RTN_UNREACHABLE, _RTN_THROW = 1, 7, 9
_NAMES = {_RTN_UNICAST: "into the tunnel", _RTN_UNREACHABLE: "unreachable", _RTN_THROW: "past the tunnel"}
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_FR_ACT_TO_TBL = 1

RULE_PRIORITY = 210
TABLE_BASE = 0x1CE00
_TABLE_COUNT = 1 << 16
_DEVICE_METRIC, _UNREACHABLE_METRIC = 1, 1 << 20

_GONE = {errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL}


def _parse(kind: int, octets: bytes) -> nlmsg | None:
    declared = {_RTM_NEWROUTE: rtmsg, _RTM_NEWRULE: fibmsg}.get(kind)
    if declared is None:
        return None
    message = declared(octets)
    message.decode()
    return message


class _Entry(NamedTuple):
    """What the table of a local prefix has for a remote one: the ways to the device and to nowhere, or, ``near``, the
    way back to the tables that everybody else follows."""

    remote: Network
    near: bool

    @property
    def kinds(self) -> tuple[int, ...]:
        return (_RTN_THROW,) if self.near else (_RTN_UNREACHABLE, _RTN_UNICAST)


def _entries(protection: Protection) -> Iterator[_Entry]:
    for near in protection.local_only:
        yield from (_Entry(prefix, True) for prefix in near.prefixes())
    yield from (_Entry(prefix, False) for prefix in protection.route.remote.prefixes())


class Guard:
    """Rules, routes and policies of all userspace tunnels of this host."""

    def __init__(self, ifindex: int) -> None:
        """``ifindex`` is the TUN device's, 0 where it is not there any more. Raises DataPlaneError."""
        self._ifindex = ifindex
        self._routing = NetlinkSocket(NETLINK_ROUTE, _parse)
        self._tables: dict[Network, int] = {}
        self._routes: dict[Network, Counter[_Entry]] = {}
        self._wanted_policies: Counter[Key] = Counter()
        self._leftover_routes: set[tuple[int, _Entry]] = set()  # by table
        self._held: set[Protection] = set()
        self._blocked_inbound = {4: {XFRM_POLICY_IN, XFRM_POLICY_FWD}, 6: {XFRM_POLICY_FWD}}
        self._exempt: tuple[str, set[int]] = "", set()
        self._xfrm: NetlinkSocket | None = None
        self._policy_table: PolicyTable | None = None
        with suppress(NetlinkError):
            self._xfrm = NetlinkSocket(NETLINK_XFRM, messages.parse)
            self._policy_table = PolicyTable(self._xfrm, of_kernel=False)

    def exempt(self, device: str) -> None:
        """Let what comes by the device, which has just been made, pass by the policies that block."""
        exempt = exempt_from_policy(self._routing, device, self._ifindex)
        self._exempt = device, exempt
        for version in {4, 6} - exempt:
            self._blocked_inbound[version] = set()
            _log.info("IPv%d in clear from outside cannot be told from the tunnel's own: not blocked", version)

    def find_leftovers(self) -> None:
        """Take over the rules and routes of an earlier run, also those that no rule leads to any more; they stand, as
        its policies do, until the leftovers go."""
        for rule in self._dump(_RTM_GETRULE, fibmsg()):
            table = rule.get_attr("FRA_TABLE") or rule["table"]
            if _is_ours(table) and (source := rule.get_attr("FRA_SRC", _any(rule["family"]))) is not None:
                self._tables[_network(source, rule["src_len"])] = table
        for route in self._dump(_RTM_GETROUTE, rtmsg()):
            table = route.get_attr("RTA_TABLE") or route["table"]
            if _is_ours(table) and route["proto"] == USERSPACE_ROUTES:
                remote = _network(route.get_attr("RTA_DST", _any(route["family"])), route["dst_len"])
                self._leftover_routes.add((table, _Entry(remote, route["type"] == _RTN_THROW)))

    def clear_leftovers(self) -> None:
        if self._policy_table is not None:
            for key in list(self._policy_table.listed()):
                if not self._wanted_policies[key]:
                    self._policy_table.delete(key)
        for table, entry in sorted(self._leftover_routes, key=str):
            self._delete_routes(table, entry)
        self._leftover_routes.clear()
        for local in [network for network in self._tables if network not in self._routes]:
            self._delete_rule(local)

    def protect(self, protection: Protection) -> None:
        """Block first, then lead the route's traffic to the device. Raises DataPlaneError, and then `unprotect` has yet
        to take away what there is of it."""
        if protection not in self._held:
            self._held.add(protection)
            for key, _action in self._policies(protection):
                self._wanted_policies[key] += 1
            for local in protection.route.local.prefixes():
                self._table(local)
                for entry in _entries(protection):
                    self._routes.setdefault(local, Counter())[entry] += 1
        self.put_up(protection)
        for local in protection.route.local.prefixes():
            for entry in _entries(protection):
                self._leftover_routes.discard((self._tables[local], entry))

    def put_up(self, protection: Protection) -> None:
        """What protects the route, whether or not it stands already. Raises DataPlaneError."""
        for key, action in self._policies(protection):
            if self._policy_table is not None:
                self._policy_table.put(key, action)
        for local in protection.route.local.prefixes():
            table = self._table(local)
            for entry in _entries(protection):
                for kind in entry.kinds:
                    self._add_route(table, entry.remote, kind)
            self._add_rule(local, table)

    def audit(self, protections: Iterable[Protection]) -> Iterator[Departure]:
        """How what is there departs from what protects these, which are all. Raises DataPlaneError."""
        yield from departures_from_exemption(*self._exempt)
        rules = {(_network(rule.get_attr("FRA_SRC", _any(rule["family"])), rule["src_len"]),
                  rule.get_attr("FRA_TABLE") or rule["table"]) for rule in self._dump(_RTM_GETRULE, fibmsg())
                 if rule.get_attr("FRA_PRIORITY") == RULE_PRIORITY}
        routes = {(row.get_attr("RTA_TABLE") or row["table"],
                   _network(row.get_attr("RTA_DST", _any(row["family"])), row["dst_len"]), row["type"],
                   row.get_attr("RTA_OIF") if row["type"] == _RTN_UNICAST else None)
                  for row in self._dump(_RTM_GETROUTE, rtmsg())}
        for local, entries in self._routes.items():
            table = self._tables[local]
            if (local, table) not in rules:
                yield Departure(f"rule from {local} to table {table}", "there", "not there")
            for entry in entries:
                for kind in entry.kinds:
                    device = self._ifindex if kind == _RTN_UNICAST else None
                    if (table, entry.remote, kind, device) not in routes:
                        yield Departure(f"route to {entry.remote} in table {table}, {_NAMES[kind]}", "there",
                                        "not there")
        if self._policy_table is not None:
            wanted: dict[Key, set[Body]] = {}
            for protection in protections:
                for key, action in self._policies(protection):
                    wanted.setdefault(key, set()).add((action, None))
            yield from self._policy_table.audit(wanted)

    def unprotect(self, protection: Protection) -> None:
        """Take away what no other protection shares; what is not there is no error."""
        if protection not in self._held:
            return
        self._held.remove(protection)
        for local in protection.route.local.prefixes():
            entries = self._routes.get(local, Counter())
            for entry in _entries(protection):
                entries[entry] -= 1
                if entries[entry] <= 0:
                    del entries[entry]
                    self._delete_routes(self._tables[local], entry)
            if not entries:
                self._routes.pop(local, None)
                self._delete_rule(local)
        for key, _action in self._policies(protection):
            self._wanted_policies[key] -= 1
            if self._policy_table is not None and not self._wanted_policies[key]:
                self._policy_table.delete(key)

    def fit(self, protection: Protection, mtu: int | None) -> None:
        """Packets of the route may have ``mtu`` octets, or what fits the device."""
        for local in protection.route.local.prefixes():
            for remote in protection.route.remote.prefixes():
                self._add_route(self._tables[local], remote, _RTN_UNICAST, mtu)

    def close(self) -> None:
        self._routing.close()
        if self._xfrm is not None:
            self._xfrm.close()

    def _policies(self, protection: Protection) -> Iterable[tuple[Key, int]]:
        for key in policies.keys_of_near(protection):
            if key.direction == XFRM_POLICY_OUT or key.direction in self._blocked_inbound[key.source.version]:
                yield key, XFRM_POLICY_ALLOW
        for key in policies.keys(protection.route):
            if key.direction == XFRM_POLICY_OUT and key.source.version == 4:
                # First the exception, so that traffic of a tunnel that is taken over does not stumble.
                yield Key(key.source, key.destination, key.direction, self._ifindex), XFRM_POLICY_ALLOW
                yield key, XFRM_POLICY_BLOCK
            elif key.direction in self._blocked_inbound[key.source.version]:
                yield key, XFRM_POLICY_BLOCK

    def _table(self, local: Network) -> int:
        if local not in self._tables:
            taken = {*self._tables.values(), *(table for table, _entry in self._leftover_routes)}
            self._tables[local] = next(number for number in range(TABLE_BASE, TABLE_BASE + _TABLE_COUNT)
                                       if number not in taken)
        return self._tables[local]

    def _add_rule(self, local: Network, table: int) -> None:
        try:
            self._routing.change(f"leading traffic from {local} to table {table}",
                                 _rule(_RTM_NEWRULE, local, table), NLM_F_CREATE | NLM_F_EXCL)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise

    def _delete_rule(self, local: Network) -> None:
        table = self._tables.pop(local)
        self._unless_gone(self._routing, f"deleting the rule for {local}", _rule(_RTM_DELRULE, local, table))

    def _add_route(self, table: int, remote: Network, kind: int, mtu: int | None = None) -> None:
        message = self._route(_RTM_NEWROUTE, table, remote, kind)
        if mtu is not None:
            message["attrs"].append(metrics(remote.version, mtu))
        self._routing.change(f"routing {remote} in table {table}", message, NLM_F_CREATE | NLM_F_REPLACE)

    def _delete_routes(self, table: int, entry: _Entry) -> None:
        for kind in entry.kinds:
            self._unless_gone(self._routing, f"deleting the route to {entry.remote}",
                              self._route(_RTM_DELROUTE, table, entry.remote, kind))

    def _route(self, request: int, table: int, remote: Network, kind: int) -> rtmsg:
        through = kind == _RTN_UNICAST
        message = rtmsg()
        message["header"] = {"type": request}
        message.update({"family": messages.family(remote), "dst_len": remote.prefixlen, "src_len": 0, "tos": 0,
                        "table": 0, "proto": USERSPACE_ROUTES, "type": kind, "flags": 0,
                        "scope": _RT_SCOPE_LINK if through and remote.version == 4 else _RT_SCOPE_UNIVERSE})
        message["attrs"] = [("RTA_DST", str(remote.network_address)), ("RTA_TABLE", table),
                            ("RTA_PRIORITY", _DEVICE_METRIC if through else _UNREACHABLE_METRIC)]
        if through:
            message["attrs"].append(("RTA_OIF", self._ifindex))
        return message

    def _dump(self, request: int, message: nlmsg) -> list[nlmsg]:
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            query = type(message)()
            query["header"] = {"type": request}
            query.update(dict.fromkeys((name for name, _format in query.fields), 0) | {"family": family})
            found += self._routing.dump("listing rules and routes", query)
        return found

    @staticmethod
    def _unless_gone(kernel: NetlinkSocket, what: str, message: nlmsg) -> None:
        try:
            kernel.change(what, message)
        except NetlinkError as error:
            if error.errno not in _GONE:
                raise


def _rule(request: int, local: Network, table: int) -> fibmsg:
    message = fibmsg()
    message["header"] = {"type": request}
    message.update({"family": messages.family(local), "dst_len": 0, "src_len": local.prefixlen, "tos": 0, "table": 0,
                    "res1": 0, "res2": 0, "action": _FR_ACT_TO_TBL, "flags": 0})
    message["attrs"] = [("FRA_PRIORITY", RULE_PRIORITY), ("FRA_TABLE", table), ("FRA_PROTOCOL", USERSPACE_ROUTES)]
    if local.prefixlen:
        message["attrs"].append(("FRA_SRC", str(local.network_address)))
    return message


def _is_ours(table: int) -> bool:
    return TABLE_BASE <= table < TABLE_BASE + _TABLE_COUNT


def _any(family: int) -> str:
    return "0.0.0.0" if family == socket.AF_INET else "::"


def _network(text: str, length: int) -> Network:
    return ipaddress.ip_network((text, length))
