# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of route-based tunnels, their addresses and the routes that lead into them (rtnetlink)."""

# mypy: disable-error-code="misc"
# pyroute2 has no types, so its classes are Any to subclass.
from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, nla, nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ..vpn.selectors import Network
from .device import Device
from .exemption import departures_from_exemption, exempt_from_policy
from .interface import DataPlaneError, Departure
from .netlink import NETLINK_ROUTE, NetlinkError, NetlinkSocket

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RT_TABLE_MAIN = 254
_IFF_UP, _IFF_MULTICAST = 0x1, 0x1000
_IFA_F_NODAD, _IFA_F_PERMANENT = 0x02, 0x80
_RTAX_MTU = 2
_IPV6_LEAST_MTU = 1280
#: What the kernel gives a route without a metric, or with 0.
_USUAL_METRIC = {4: 0, 6: 1024}
_LAST_METRIC = 2**32 - 1
#: What marks the routes and rules of the two data planes (rtm_protocol: 192 and above are nobody's in rtnetlink.h).
USERSPACE_ROUTES, KERNEL_ROUTES = 206, 207
_Place: TypeAlias = tuple[Network, int]
_Address: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_NO_DEVICE = {errno.ENODEV, errno.ENETDOWN}
_GONE = {errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL}


class link(nlmsg):
    """struct ifinfomsg { u8 family; u16 type; int index; u32 flags, change; }"""

    fields = (("family", "B"), ("pad", "B"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"))
    nla_map = ((3, "IFLA_IFNAME", "asciiz"), (4, "IFLA_MTU", "uint32"), (18, "IFLA_LINKINFO", "info"))

    class info(nla):
        """Which attributes IFLA_INFO_DATA has depends on the kind."""

        nla_map = ((1, "IFLA_INFO_KIND", "asciiz"), (2, "IFLA_INFO_DATA", "cdata"))


@dataclass(frozen=True, slots=True)
class Link:
    """One that is there. ``kind`` is the driver's name, empty for hardware; ``data`` are its attributes as octets."""

    name: str
    index: int
    kind: str
    data: Mapping[int, bytes]
    is_up: bool
    mtu: int


@dataclass(frozen=True, slots=True)
class _Way:
    """A route of ours. ``index`` is the device's, 0 where packets are refused."""

    network: Network
    metric: int
    index: int

    @property
    def place(self) -> _Place:
        """Where the kernel has one route of ours at most."""
        return self.network, self.metric


class Links:
    """What lies in this network namespace under our devices' names.

    Behind each route into a device stands an ``unreachable`` one, so that nothing is sent elsewhere, in clear, when the
    device is not there: neither before it is made nor while it gives way to another. ``protocol`` marks these routes
    (rtm_protocol).
    """

    def __init__(self, protocol: int) -> None:
        """Raises DataPlaneError."""
        self._protocol = protocol
        self._routing = NetlinkSocket(NETLINK_ROUTE, _parse)
        self._dressed: dict[str, tuple[Device, int]] = {}
        self._expected: dict[str, Device] = {}
        #: By its number: what fits through a device whose path carries less than it was made for.
        self._narrow: dict[int, int] = {}
        self._exempt: dict[str, set[int]] = {}
        #: Ours that stand, and those of an earlier run until they are wanted again or cleared away.
        self._ways: set[_Way] = set()
        self._leftovers: set[_Way] = set()
        self._listed = False

    def close(self) -> None:
        self._routing.close()

    def find(self, name: str) -> Link | None:
        """Raises NetlinkError."""
        try:
            return _link(self._routing.get(f"looking for {name}", _link_message(_RTM_GETLINK, name=name)))
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
            return None

    def listed(self) -> list[Link]:
        """All that are there. Raises NetlinkError."""
        return [_link(each) for each in self._routing.dump("listing devices", _link_message(_RTM_GETLINK))]

    def create(self, name: str, kind: str, data: Mapping[int, bytes]) -> Link:
        """Raises NetlinkError: EEXIST where there is one of that name or with that data."""
        self._routing.change(f"making {name}, a device of the kind {kind}",
                             _link_message(_RTM_NEWLINK, name=name, kind=kind, data=data), NLM_F_CREATE | NLM_F_EXCL)
        made = self.find(name)
        if made is None:
            raise DataPlaneError(f"the device {name} is gone as soon as it was made")
        return made

    def change(self, link: Link, data: Mapping[int, bytes]) -> None:
        """Other data for a device that stays. Raises NetlinkError."""
        self._routing.change(f"changing {link.name}",
                             _link_message(_RTM_NEWLINK, index=link.index, kind=link.kind, data=data))

    def exempt_from_policy(self, link: Link) -> None:
        """What comes out of it was held against policies before, of which nothing can be told afterwards."""
        self._exempt[link.name] = exempt_from_policy(self._routing, link.name, link.index)

    def delete(self, link: Link) -> None:
        """One that is gone is no error."""
        self._unless_gone(f"deleting {link.name}", _link_message(_RTM_DELLINK, index=link.index))

    def block(self, devices: Iterable[Device]) -> None:
        """Have what is to be routed into these refused until they are dressed, whatever else goes meanwhile.

        Raises NetlinkError, and DataPlaneError where another program has such a route.
        """
        self._expected |= {device.name: device for device in devices}
        self.look_again()  # the other data plane may have put its routes in the place of ours
        self._set_routes()

    def dress(self, device: Device, index: int) -> None:
        """Give it its MTU, its addresses and its routes, and take those that it is not to have; it is up then.

        Raises NetlinkError, and DataPlaneError where another program has such a route.
        """
        up = _link_message(_RTM_NEWLINK, index=index, mtu=device.mtu)
        up["flags"] = up["change"] = _IFF_UP | _IFF_MULTICAST
        self._routing.change(f"setting {device.name} up", up)
        self._set_addresses(device, index)
        self._expected.pop(device.name, None)
        _device, before = self._dressed.pop(device.name, (device, index))
        if before != index:
            self._narrow.pop(before, None)
        self._dressed[device.name] = device, index  # the last one, which has the route where two want it
        self._set_routes()

    def undress(self, name: str) -> None:
        """Its routes go; those of one that is expected stay, also under that name. Raises NetlinkError."""
        _device, index = self._dressed.pop(name, (None, 0))
        self._narrow.pop(index, None)
        self._set_routes()

    def forget(self, name: str) -> None:
        """Its routes go, and it is not expected any more. Raises NetlinkError."""
        self._expected.pop(name, None)
        self.undress(name)

    def fit(self, name: str, mtu: int | None) -> int | None:
        """Packets may have ``mtu`` octets on their way through that device, or as many as it was made for: its routes
        say so. Its own MTU stays, since routing protocols want the other end's to be the same.

        Returns what fits now; None where the device is not there. Raises NetlinkError.
        """
        before = self.fits(name)
        if before is None:
            return None
        device, index = self._dressed[name]
        fits = min(device.mtu, mtu or device.mtu)
        if fits < device.mtu:
            self._narrow[index] = fits
        else:
            self._narrow.pop(index, None)
        for way in [way for way in self._ways if way.index == index] if fits != before else ():
            try:
                self._routing.change(f"routing {way.network} into {name} with an MTU of {fits}",
                                     self._route(_RTM_NEWROUTE, way), NLM_F_CREATE | NLM_F_REPLACE)
            except NetlinkError as error:
                if error.errno not in _NO_DEVICE:
                    raise  # else somebody deleted it or set it down, of which the audit tells
        return fits

    def fits(self, name: str) -> int | None:
        """How many octets packets may have on their way through that device; None where it is not there."""
        if name not in self._dressed:
            return None
        device, index = self._dressed[name]
        return min(device.mtu, self._narrow.get(index, device.mtu))

    def clear_leftovers(self) -> None:
        """Routes of an earlier run that nobody wants again."""
        self._list()
        self._delete_all(self._leftovers)

    def audit(self) -> Iterator[Departure]:
        """How what is there departs from how it was dressed. Raises NetlinkError."""
        routes = self._standing({self._protocol})
        for device, index in self._dressed.values():
            standing = self.find(device.name)
            if standing is None or standing.index != index:
                yield Departure(f"device {device.name}", "there", "not there" if standing is None else "another one")
                continue
            if not standing.is_up:
                yield Departure(f"device {device.name}", "up", "down")
            if standing.mtu != device.mtu:
                yield Departure(f"device {device.name}", f"MTU {device.mtu}", f"MTU {standing.mtu}")
            yield from departures_from_exemption(device.name, self._exempt.get(device.name, ()))
            there = self._addresses(index)
            for text in device.addresses:
                if ipaddress.ip_interface(text) not in there:
                    yield Departure(f"address {text} of {device.name}", "there", "not there")
            for more in _needless(device, there):
                yield Departure(f"address {more} of {device.name}", "not there", "there")
        for way, device in self._wanted().items():
            if way not in routes:
                kind = "unreachable" if not way.index else f"into {device.name}"
                yield Departure(f"route to {way.network}, {kind}", "there", "not there")

    def look_again(self) -> None:
        """Somebody may have taken routes away: the next change looks for what stands."""
        self._listed = False

    def _set_addresses(self, device: Device, index: int) -> None:
        """With the last address of IPv4 the kernel takes all routes of it, and with the first of a network may go its
        others (promote_secondaries): so what is new comes before the old goes, and then all is looked at again."""
        wanted = [ipaddress.ip_interface(text) for text in device.addresses]
        self._add_missing(device, index, wanted)
        needless = _needless(device, self._addresses(index))
        for old in needless:
            self._unless_gone(f"taking {old} from {device.name}", _address(_RTM_DELADDR, index, old))
        if needless:
            self._add_missing(device, index, wanted)
            self.look_again()

    def _add_missing(self, device: Device, index: int, wanted: Iterable[_Address]) -> None:
        there = self._addresses(index)
        for missing in wanted:
            if missing not in there:
                self._routing.change(f"giving {missing} to {device.name}", _address(_RTM_NEWADDR, index, missing),
                                     NLM_F_CREATE | NLM_F_EXCL)

    def _addresses(self, index: int) -> dict[_Address, bool]:
        """Those of a device, and of each whether it is there for good."""
        query = ifaddrmsg()
        query["header"] = {"type": _RTM_GETADDR}
        query.update({"family": 0, "prefixlen": 0, "flags": 0, "scope": 0, "index": 0})
        return {ipaddress.ip_interface((row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS"), row["prefixlen"])):
                bool(row["flags"] & _IFA_F_PERMANENT)
                for row in self._routing.dump("listing addresses", query) if row["index"] == index}

    def _set_routes(self) -> None:
        """Those of all devices, and no others but leftovers. What is new comes first, in one step where it takes the
        place of another of ours, so that there is no moment without any."""
        self._list()
        wanted = self._wanted()
        self._ways |= wanted.keys() & self._leftovers
        self._leftovers -= wanted.keys()
        for way in sorted(wanted.keys() - self._ways, key=str):
            in_its_place = {each for each in self._ways | self._leftovers if each.place == way.place}
            try:
                self._add(way, wanted[way], replaces=bool(in_its_place))
            except NetlinkError as error:
                if error.errno not in _NO_DEVICE:
                    raise
                continue  # somebody deleted it or set it down, of which the audit tells
            self._ways.add(way)
            self._ways -= in_its_place
            self._leftovers -= in_its_place
        self._delete_all(self._ways - wanted.keys())

    def _list(self) -> None:
        if not self._listed:
            standing = self._standing({self._protocol})
            self._ways &= standing
            self._leftovers = standing - self._ways
            self._listed = True

    def _delete_all(self, ways: Iterable[_Way]) -> None:
        for way in sorted(ways, key=str):
            self._unless_gone(f"deleting the route to {way.network}", self._route(_RTM_DELROUTE, way))
            self._ways.discard(way)
            self._leftovers.discard(way)

    def _wanted(self) -> dict[_Way, Device]:
        """Where two devices want one place, as when one takes over from the other, it is the later one's."""
        into: dict[_Place, tuple[int, Device]] = {}
        last: dict[Network, tuple[int, Device]] = {}
        for device, index in (*self._dressed.values(), *((device, None) for device in self._expected.values())):
            for network in device.remotes:
                metric = device.metric or _USUAL_METRIC[network.version]
                if index is not None:
                    into[network, metric] = index, device
                last[network] = max(last.get(network, (metric, device)), (metric, device), key=itemgetter(0))
        behind = {_Way(network, metric + 1, 0): device for network, (metric, device) in last.items()
                  if metric < _LAST_METRIC}
        return {_Way(*place, index): device for place, (index, device) in into.items()} | behind

    def _add(self, way: _Way, device: Device, replaces: bool) -> None:
        what = f"tunnel {device.tunnel}: routing {way.network} into {device.name} with metric {way.metric}"
        message = self._route(_RTM_NEWROUTE, way)
        try:
            self._routing.change(what, message, NLM_F_CREATE | (NLM_F_REPLACE if replaces else NLM_F_EXCL))
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            if self._is_left_by_the_other(way):
                self._routing.change(what, self._route(_RTM_NEWROUTE, way), NLM_F_CREATE | NLM_F_REPLACE)
                return
            raise DataPlaneError(f"{what}: this host has a route to it with that metric, which is not ours; delete it, "
                                 f"or set tunnels[{device.tunnel}].interface.metric to another number") from None

    def _is_left_by_the_other(self, way: _Way) -> bool:
        """Whether a tunnel of the other data plane had that route; there is no moment without either."""
        return any(each.place == way.place
                   for each in self._standing({USERSPACE_ROUTES, KERNEL_ROUTES} - {self._protocol}))

    def _standing(self, owners: Container[int]) -> set[_Way]:
        found = set()
        for family in (socket.AF_INET, socket.AF_INET6):
            query = rtmsg()
            query["header"] = {"type": _RTM_GETROUTE}
            query.update(dict.fromkeys((name for name, _format in query.fields), 0) | {"family": family})
            for row in self._routing.dump("listing routes", query):
                if row["proto"] in owners and (row.get_attr("RTA_TABLE") or row["table"]) == _RT_TABLE_MAIN:
                    any_ = "0.0.0.0" if family == socket.AF_INET else "::"
                    network = ipaddress.ip_network((row.get_attr("RTA_DST", any_), row["dst_len"]))
                    index = row.get_attr("RTA_OIF") if row["type"] == _RTN_UNICAST else 0
                    found.add(_Way(network, row.get_attr("RTA_PRIORITY") or 0, index))
        return found

    def _route(self, request: int, way: _Way) -> rtmsg:
        version = way.network.version
        message = rtmsg()
        message["header"] = {"type": request}
        message.update({"family": socket.AF_INET if version == 4 else socket.AF_INET6,
                        "dst_len": way.network.prefixlen, "src_len": 0, "tos": 0, "table": _RT_TABLE_MAIN,
                        "proto": self._protocol, "type": _RTN_UNICAST if way.index else _RTN_UNREACHABLE, "flags": 0,
                        "scope": _RT_SCOPE_LINK if way.index and version == 4 else _RT_SCOPE_UNIVERSE})
        message["attrs"] = [("RTA_DST", str(way.network.network_address)), ("RTA_PRIORITY", way.metric)]
        if way.index:
            message["attrs"].append(("RTA_OIF", way.index))
        if request == _RTM_NEWROUTE and way.index in self._narrow:
            message["attrs"].append(metrics(version, self._narrow[way.index]))
        return message

    def _unless_gone(self, what: str, message: nlmsg) -> None:
        try:
            self._routing.change(what, message)
        except NetlinkError as error:
            if error.errno not in _GONE:
                raise


def metrics(version: int, mtu: int) -> tuple[str, dict[str, Any]]:
    """A route's MTU. IPv6 goes no lower than 1280 (RFC 8200 §5): what then comes out too large for the path travels in
    fragments. What it forwards IPv6 holds to a route's MTU only where that is locked."""
    if version == 4:
        return "RTA_METRICS", {"attrs": [("RTAX_MTU", mtu)]}
    return "RTA_METRICS", {"attrs": [("RTAX_LOCK", 1 << _RTAX_MTU), ("RTAX_MTU", max(mtu, _IPV6_LEAST_MTU))]}


def _parse(kind: int, octets: bytes) -> nlmsg | None:
    declared = {_RTM_NEWLINK: link, _RTM_NEWADDR: ifaddrmsg, _RTM_NEWROUTE: rtmsg}.get(kind)
    if declared is None:
        return None
    message = declared(octets)
    message.decode()
    return message


def _link_message(request: int, *, name: str = "", index: int = 0, kind: str = "", mtu: int = 0,
                  data: Mapping[int, bytes] | None = None) -> link:
    message = link()
    message["header"] = {"type": request}
    message.update({"family": 0, "pad": 0, "type": 0, "index": index, "flags": 0, "change": 0})
    attributes: list[tuple[str, Any]] = [("IFLA_IFNAME", name)] if name else []
    if mtu:
        attributes.append(("IFLA_MTU", mtu))
    if kind:
        packed = b"".join(struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
                          for number, value in (data or {}).items())
        attributes.append(("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", packed)]}))
    message["attrs"] = attributes
    return message


def _link(message: nlmsg) -> Link:
    information = message.get_attr("IFLA_LINKINFO")
    kind, packed = "", b""
    if information is not None:
        kind, packed = information.get_attr("IFLA_INFO_KIND") or "", information.get_attr("IFLA_INFO_DATA") or b""
    data, offset = {}, 0
    while offset + 4 <= len(packed):
        length, number = struct.unpack_from("=HH", packed, offset)
        if length < 4:
            break
        data[number] = packed[offset + 4:offset + length]
        offset += (length + 3) & ~3
    return Link(message.get_attr("IFLA_IFNAME"), message["index"], kind, data, bool(message["flags"] & _IFF_UP),
                message.get_attr("IFLA_MTU") or 0)


def _needless(device: Device, there: Mapping[_Address, bool]) -> list[_Address]:
    """What it is not to have. A link-local address is the kernel's, and one with a lifetime the network's, by a router
    advertisement or DHCP: both would come again."""
    wanted = {ipaddress.ip_interface(text) for text in device.addresses}
    return [each for each, is_permanent in there.items()
            if each not in wanted and is_permanent and not (each.version == 6 and each.is_link_local)]


def _address(request: int, index: int, address: _Address) -> ifaddrmsg:
    message = ifaddrmsg()
    message["header"] = {"type": request}
    message.update({"family": socket.AF_INET if address.version == 4 else socket.AF_INET6,
                    "prefixlen": address.network.prefixlen, "scope": 0, "index": index,
                    "flags": _IFA_F_NODAD if address.version == 6 else 0})
    message["attrs"] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
    return message
