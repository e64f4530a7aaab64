# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's ESP and AH behind the data plane's interface."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeAlias

from pyroute2.netlink import nlmsg

from ...security_association import ChildSa, Path, SocketAddress
from ...vpn.model import Protocol
from ...vpn.selectors import Address
from ..device import Device
from ..interface import Acquire, Counters, DataPlaneError, DataPlaneEvent, Departure, Expired, Moved, Protection
from ..limits import octet_limits, packet_limits
from ..mtu import PATH_MTU, mtu_of
from ..netfilter.probe import Netfilter
from ..netfilter.table import kernel_traffic
from ..netlink import NETLINK_XFRM, NetlinkError, NetlinkEvents, NetlinkSocket
from ..path_mtu import PathMtuWatch, path_mtu
from . import messages, states
from .binding import UNBOUND, Attributes, Binding
from .claims import Claims
from .devices import KernelDevices
from .messages import XFRM_POLICY_ALLOW, XFRM_POLICY_OUT
from .policies import Body, Key, Template
from .policy_table import PolicyTable
from .waiting import Waiting

#: Where a route's policies lead: the outer addresses, and the number that the SA has in common with them.
_Lead: TypeAlias = tuple[Address, Address, int]

_EVENT_GROUPS = (messages.XFRMNLGRP_ACQUIRE, messages.XFRMNLGRP_EXPIRE, messages.XFRMNLGRP_MAPPING)

_log = logging.getLogger(__name__)

#: Sequence numbers that a moved outbound state leaps over. Its number is read before the old state goes, and what
#: that one sends in between must never be numbered again: under AES-GCM the number makes the nonce (RFC 4106 §3.1).
SEQUENCE_LEAP = 1 << 20


@dataclass(slots=True)
class _Pair:
    """An installed pair: which directions the kernel has, and within which limits."""

    child: ChildSa
    binding: Binding
    limits: states.Limits = field(init=False)
    inbound: bool = False
    outbound: bool = False
    sent: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.limits = states.Limits(octet_limits(self.child.expiration.kilobytes),
                                    packet_limits(self.child.extended_sequence_numbers))

    def state_id(self, inbound: bool) -> dict[str, Any]:
        if inbound:
            return states.state_id(self.child.local.address, self.child.spi_in, self.child.protocol)
        return states.state_id(self.child.remote.address, self.child.spi_out, self.child.protocol)


class XfrmDataPlane:
    """States and policies over NETLINK_XFRM. Needs CAP_NET_ADMIN."""

    name = "kernel"
    always_encapsulates = False

    def __init__(self, add_reader: Callable[[int, Callable[[], None]], object],
                 remove_reader: Callable[[int], object], call_later: Callable[[float, Callable[[], None]], object],
                 netfilter: Netfilter, *, extended_sequence_numbers: bool = True,
                 device_kind: str | None = None) -> None:
        """The first three are the event loop's. Raises DataPlaneError without XFRM."""
        self.extended_sequence_numbers = extended_sequence_numbers
        self.device_kind = device_kind
        self._devices = KernelDevices(device_kind)
        self._table = netfilter.table(self.name, kernel_traffic())
        self._kernel = NetlinkSocket(NETLINK_XFRM, messages.parse)
        self._policies = PolicyTable(self._kernel, of_kernel=True)
        self._events: NetlinkEvents | None = None
        self._add_reader, self._remove_reader, self._call_later = add_reader, remove_reader, call_later
        self._watch: PathMtuWatch | None = None
        self._on_event: Callable[[DataPlaneEvent], None] = lambda event: None
        self._pairs: dict[int, _Pair] = {}
        self._protections: dict[int, Protection] = {}
        #: By the number of a route: the pair that sends for it, and where its policies lead.
        self._sending: dict[int, _Pair] = {}
        self._leads: dict[int, _Lead] = {}
        self._claims = Claims()
        self._waiting = Waiting()
        #: By the number of a state: the newest pair that has it, whose inner MTU holds for what comes in.
        self._fitted: dict[int, _Pair] = {}

    @property
    def drops(self) -> Mapping[str, int]:
        return self._table.drops() if self._table is not None else {}

    def start(self, on_event: Callable[[DataPlaneEvent], None]) -> Iterable[Path]:
        """States of an earlier run go: nobody knows their IKE SA any more. Its policies stand until replaced."""
        self._on_event = on_event
        lost: set[Path] = set()
        for state in self._kernel.dump("listing states", messages.build(messages.XFRM_MSG_GETSA)):
            if states.daemon_reqid(state["reqid"]) is not None:
                self._delete_state({"daddr": state["id_daddr"], "spi": state["id_spi"], "family": state["family"],
                                    "proto": state["id_proto"]}, Binding.of(state))
                path = states.path_of_inbound(state)
                if path is not None:
                    lost.add(path)
        if any(True for _key in self._policies.listed()):
            self._waiting.adopt()
        self._events = NetlinkEvents(NETLINK_XFRM, _EVENT_GROUPS, messages.parse)
        self._add_reader(self._events.fileno(), self._read_events)
        if self._table is not None:
            self._table.watch(self._add_reader, self._remove_reader, self._call_later)
        self._watch = PathMtuWatch(self._add_reader, self._remove_reader, self._call_later, self._fit_all)
        return lost

    def clear_leftovers(self) -> None:
        for key in list(self._policies.listed()):
            if key not in self._claims:
                self._policies.delete(key)
        if not self._protections:
            self._hold()
        self._devices.clear_leftovers()

    def block(self, *devices: Device) -> None:
        self._devices.block(devices)

    def provide(self, device: Device) -> None:
        for protection in self._protections.values():
            if (protection.tunnel, protection.device) == (device.tunnel, device.name):
                local, remote, _reqid = self._wanted_lead(protection)
                device = replace(device, local=local, remote=remote)
        self._devices.provide(device)
        if self._table is not None:
            self._table.fit(device.name, self._devices.fits(device.name))

    def withdraw(self, device: Device) -> None:
        self._devices.withdraw(device.name)
        if self._table is not None:
            self._table.fit(device.name, None)

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol) -> int:
        values = {"info_id_daddr": local.packed, "info_id_proto": messages.IP_PROTOCOL[protocol],
                  "info_saddr": remote.packed, "info_family": messages.family(local),
                  "info_mode": messages.XFRM_MODE_TUNNEL, "min": states.SPI_MIN, "max": states.SPI_MAX}
        answer = self._kernel.get(f"allocating an SPI for {remote} -> {local}",
                                  messages.build(messages.XFRM_MSG_ALLOCSPI, values))
        return int(answer["id_spi"])

    def protect(self, *protections: Protection) -> None:
        bindings = {each.reqid: self._devices.binding(each.device) for each in protections}
        before = [self._protections[each.reqid] for each in protections if each.reqid in self._protections]
        if not self._protections:
            self._waiting.allow()
        self._protections |= {each.reqid: each for each in protections}
        self._hold()
        keys = {key: None for each in before for key in self._claims.drop(each)}
        for protection in protections:
            keys |= dict.fromkeys(self._claims.add(protection, bindings[protection.reqid]))
            self._lead(protection)
        for key in keys:
            self._settle(key)

    def unprotect(self, *protections: Protection) -> None:
        errors: list[DataPlaneError] = []
        known = [self._protections.pop(each.reqid) for each in protections if each.reqid in self._protections]
        for protection in known:
            self._leads.pop(protection.reqid, None)
            for key in self._claims.drop(protection):
                try:
                    self._settle(key)
                except DataPlaneError as error:
                    errors.append(error)
        self._hold()
        if errors:
            raise errors[0]

    def add_inbound(self, child: ChildSa) -> None:
        pair = self._pair(child)
        try:
            self._install(pair, True, messages.XFRM_MSG_UPDSA)
        except NetlinkError as error:
            # The larval state that held the SPI is gone after net.core.xfrm_acq_expires seconds.
            if error.errno != errno.ESRCH:
                raise
            self._install(pair, True, messages.XFRM_MSG_NEWSA)
        pair.inbound = True
        self._fit(pair)

    def add_outbound(self, child: ChildSa) -> None:
        pair = self._pair(child)
        self._install(pair, False, messages.XFRM_MSG_NEWSA)
        pair.outbound = True
        before = {self._sending[reqid].child.spi_in for reqid in child.reqids if reqid in self._sending}
        self._sending |= dict.fromkeys(child.reqids, pair)
        self._follow(child.reqids)
        for spi_in in before - {child.spi_in}:
            older = self._pairs[spi_in]
            if not any(self._sending.get(reqid) is older for reqid in older.child.reqids):
                older.sent = self._carried(older, False)
                older.outbound = False
                self._delete_state(older.state_id(False), older.binding)

    def move(self, child: ChildSa) -> None:
        pair = self._pairs.get(child.spi_in)
        if pair is None:
            raise DataPlaneError(f"tunnel {child.tunnel}: SA {child.spi_in:08x} is not installed, so it cannot move")
        before = pair.child
        if (before.local, before.remote, before.udp_encapsulated) == (
                child.local, child.remote, child.udp_encapsulated):
            return
        in_place = (before.local.address, before.remote.address, before.udp_encapsulated) == (
            child.local.address, child.remote.address, child.udp_encapsulated)
        for inbound in (True, False):
            if not (pair.inbound if inbound else pair.outbound):
                continue
            if in_place:
                # An update changes the ports in place and touches nothing else.
                self._install(pair, inbound, messages.XFRM_MSG_UPDSA, child)
            else:
                self._carry_over(pair, inbound, child)
        pair.child = child
        self._fit(pair)
        self._follow(child.reqids)

    def remove(self, child: ChildSa) -> None:
        pair = self._pairs.pop(child.spi_in, None)
        if pair is None:
            pair = _Pair(child, UNBOUND, inbound=True)
        for inbound in (True, False):
            if pair.inbound if inbound else pair.outbound:
                self._delete_state(pair.state_id(inbound), pair.binding)
        if self._fitted.get(child.reqid) is pair:
            del self._fitted[child.reqid]
            if self._table is not None:
                self._table.fit(states.kernel_reqid(child.reqid), None)
        idle = [reqid for reqid in child.reqids if self._sending.get(reqid) is pair]
        for reqid in idle:
            del self._sending[reqid]
        self._follow(idle)

    def counters(self, child: ChildSa) -> Counters:
        pair = self._pairs.get(child.spi_in)
        if pair is None:
            return Counters()
        received = self._carried(pair, True) if pair.inbound else (0, 0)
        sent = self._carried(pair, False) if pair.outbound else pair.sent
        return Counters(*received, *sent)

    def packets_in(self, child: ChildSa) -> int:
        pair = self._pairs.get(child.spi_in)
        return self._carried(pair, True)[0] if pair is not None and pair.inbound else 0

    def receive(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        """The kernel takes its ESP off the socket before the daemon reads; what still comes is dropped."""

    def audit(self) -> list[Departure]:
        wanted = {key: (body,) for key, body in map(self._wanted, self._claims)}
        standing = {(messages.address_of(state["id_daddr"], state["family"]), state["id_spi"], state["id_proto"])
                    for state in self._kernel.dump("listing states", messages.build(messages.XFRM_MSG_GETSA))}
        found = [*self._devices.audit(), *self._policies.audit(wanted)]
        if self._table is not None:
            found += self._table.audit()
        for pair in self._pairs.values():
            child, number = pair.child, messages.IP_PROTOCOL[pair.child.protocol]
            for installed, address, spi, way in ((pair.inbound, child.local.address, child.spi_in, "inbound"),
                                                 (pair.outbound, child.remote.address, child.spi_out, "outbound")):
                if installed and (address, spi, number) not in standing:
                    found.append(Departure(f"tunnel {child.tunnel}: {way} SA {spi:08x}", "in the kernel", "not there",
                                           child.spi_in))
        return found

    def restore(self) -> None:
        self._devices.restore()
        self._fit_all(None)  # the routes into a device that is another one
        for key in self._claims:
            self._settle(key)
        self.clear_leftovers()
        if self._table is not None:
            self._table.restore()

    def stop(self, keep_protection: bool) -> None:
        for pair in list(self._pairs.values()):
            self.remove(pair.child)
        if not keep_protection:
            self._waiting.end()
            self.unprotect(*self._protections.values())
            self._devices.withdraw_all()
            self.clear_leftovers()
        if self._events is not None:
            self._remove_reader(self._events.fileno())
            self._events.close()
        if self._watch is not None:
            self._watch.close()
        self._kernel.close()
        self._devices.close()
        if self._table is not None:
            self._table.close()

    def _pair(self, child: ChildSa) -> _Pair:
        if child.spi_in not in self._pairs:
            self._pairs[child.spi_in] = _Pair(child, self._devices.binding(child.interface))
        return self._pairs[child.spi_in]

    def _install(self, pair: _Pair, inbound: bool, kind: int, child: ChildSa | None = None,
                 carried: Attributes | None = None) -> None:
        """``child`` is the pair's as it is to be from now on, where that is not as it is."""
        child = child or pair.child
        values, attributes = states.state(child, inbound, child.local, child.remote, pair.limits,
                                          pair.binding)
        if carried is not None:
            attributes = [each for each in attributes if each[0] != "XFRMA_REPLAY_ESN_VAL"] + carried
        way, spi = ("inbound", child.spi_in) if inbound else ("outbound", child.spi_out)
        self._kernel.change(f"tunnel {child.tunnel}: installing the {way} SA {spi:08x} ({child.suite})",
                            messages.build(kind, values, attributes))

    def _carry_over(self, pair: _Pair, inbound: bool, child: ChildSa) -> None:
        """Replace a state by its like on another path, with its counters and replay state."""
        state = self._kernel.get("reading an SA that moves", self._query(pair, inbound))
        carried = states.carried_over(state, 0 if inbound else SEQUENCE_LEAP)
        self._delete_state(pair.state_id(inbound), pair.binding)
        if not inbound:
            pair.limits = pair.limits.less(SEQUENCE_LEAP)
        self._install(pair, inbound, messages.XFRM_MSG_NEWSA, child, carried)

    def _wanted_lead(self, protection: Protection) -> _Lead:
        """To the SA that sends for the route; where there is none, to one as it was declared."""
        pair = self._sending.get(protection.reqid)
        if pair is None:
            return protection.local, protection.remote, protection.reqid
        return pair.child.local.address, pair.child.remote.address, pair.child.reqid

    def _lead(self, protection: Protection) -> None:
        """Note where its policies lead; its device goes along."""
        local, remote, _reqid = self._leads[protection.reqid] = self._wanted_lead(protection)
        self._devices.follow(protection.device, local, remote)

    def _settle(self, key: Key) -> None:
        """Have the policy demand the SA of the route that it belongs to, or let pass what is near, or go."""
        if key in self._claims:
            wanted, (action, template) = self._wanted(key)
            self._policies.put(wanted, action, template)
        else:
            self._policies.delete(key)

    def _wanted(self, key: Key) -> tuple[Key, Body]:
        """A claimed policy, and what it is to hold."""
        protection = self._claims.owner(key)
        if protection is None:
            return replace(key, kernel_passes=True), (XFRM_POLICY_ALLOW, None)
        local, remote, reqid = self._wanted_lead(protection)
        ends = (local, remote) if key.direction == XFRM_POLICY_OUT else (remote, local)
        return key, (XFRM_POLICY_ALLOW, Template(*ends, protection.protocol, states.kernel_reqid(reqid)))

    def _follow(self, reqids: Iterable[int]) -> None:
        """Lead these routes where their traffic goes now, if that changed."""
        for reqid in reqids:
            protection = self._protections.get(reqid)
            if protection is not None and self._leads.get(reqid) != self._wanted_lead(protection):
                self._lead(protection)
                for key in self._claims.of(protection):
                    if self._claims.owner(key) is protection:
                        self._settle(key)

    def _carried(self, pair: _Pair, inbound: bool) -> tuple[int, int]:
        """Packets and octets of one direction; zeros where its hard limit took it away."""
        try:
            state = self._kernel.get("reading an SA's counters", self._query(pair, inbound))
        except NetlinkError as error:
            if error.errno != errno.ESRCH:
                raise
            return 0, 0
        return state["curlft_packets"], state["curlft_bytes"]

    @staticmethod
    def _query(pair: _Pair, inbound: bool) -> nlmsg:
        return messages.build(messages.XFRM_MSG_GETSA, pair.state_id(inbound), pair.binding.naming)

    def _delete_state(self, state_id: dict[str, Any], binding: Binding) -> None:
        try:
            self._kernel.change("deleting an SA", messages.build(messages.XFRM_MSG_DELSA, state_id, binding.naming))
        except NetlinkError as error:
            if error.errno != errno.ESRCH:
                raise

    def _fit(self, pair: _Pair, ask: Callable[[Address, Address], int | None] = path_mtu) -> None:
        """TCP that comes in by the pair is to send no more than what fits the way back. What goes out the kernel sees
        to itself, which knows its path, but not when it goes into a device."""
        child = pair.child
        if self._table is None and child.interface is None:
            return
        self._fitted[child.reqid] = pair
        mtu = mtu_of(child, ask(child.local.address, child.remote.address) or PATH_MTU)
        fits = self._devices.fit(child.interface, mtu) if child.interface is not None else None
        if self._table is not None:
            self._table.fit(states.kernel_reqid(child.reqid), mtu)
            if child.interface is not None:
                self._table.fit(child.interface, fits)

    def _fit_all(self, remotes: Collection[Address] | None) -> None:
        """The paths to these addresses, or to any, may carry less than before: each is asked for once."""
        ask = cache(path_mtu)
        for pair in self._fitted.values():
            if remotes is None or pair.child.remote.address in remotes:
                try:
                    self._fit(pair, ask)
                except DataPlaneError as error:
                    _log.warning("tunnel %s: TCP keeps the MSS that it has: %s", pair.child.tunnel, error)

    def _hold(self) -> None:
        """What nf_tables does is for the protections of this moment."""
        if self._table is not None:
            self._table.hold(self._protections.values())

    def _read_events(self) -> None:
        if self._events is None:
            return
        for kind, message in self._events.read():
            if kind == messages.XFRM_MSG_ACQUIRE:
                template = message.get_attr("XFRMA_TMPL")
                reqid = states.daemon_reqid(template["reqid"]) if template is not None else None
                if reqid in self._protections:
                    self._on_event(Acquire(reqid))
            elif kind == messages.XFRM_MSG_EXPIRE:
                self._expired(message["state_id_spi"], bool(message["hard"]))
            elif kind == messages.XFRM_MSG_MAPPING:
                pair = self._pairs.get(message["id_spi"])
                if pair is not None:
                    address = messages.address_of(message["new_saddr"], message["id_family"])
                    remote = SocketAddress(address, message["new_sport"])
                    self._on_event(Moved(pair.child.spi_in, pair.child.local, remote))

    def _expired(self, spi: int, hard: bool) -> None:
        for pair in self._pairs.values():
            if spi == pair.child.spi_in or (pair.outbound and spi == pair.child.spi_out):
                _log.debug("tunnel %s: SA %08x reached its %s limit", pair.child.tunnel, spi,
                           "hard" if hard else "soft")
                self._on_event(Expired(pair.child.spi_in, hard))
                return
