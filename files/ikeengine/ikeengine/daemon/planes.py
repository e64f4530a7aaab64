# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data plane carries which tunnel, the protections that stand there, and the SAs that were put there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import groupby
from operator import itemgetter

from ..dataplane.choice import Choice
from ..dataplane.device import Device
from ..dataplane.interface import Counters, DataPlane, DataPlaneError, DataPlaneEvent, Departure, Protection
from ..dataplane.local_only import local_only, routed_into_devices
from ..dataplane.mtu import mtu_for
from ..ike.events import ChildInbound, ChildMoved, ChildOutbound, ChildRemoved
from ..security_association import ChildSa, NoSpi, Path, SocketAddress
from ..vpn.model import DataPlaneChoice, EndpointPair, Gateway, Protocol, Route, Side, Tunnel, VirtualInterface
from ..vpn.selectors import Address

KERNEL = DataPlaneChoice.KERNEL.value
_ACROSS_PLANES = (
    "tunnel {tunnel}: data plane: its gateway has endpoints of both address families, of which one is the kernel's "
    "and the other userspace's: a tunnel has one data plane, whichever endpoints are in use. Set dataplane to kernel, "
    "or to userspace, in all tunnels")
_STAYS = "the kernel can serve it, too, and does once the daemon starts anew"
_REQIDS = 2**20 - 1  # as many as a kernel data plane sets apart for us


class Unservable(Exception):
    """No data plane can carry what was declared; ``reasons`` has a sentence for each tunnel."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Plan:
    """A declaration laid out: the name of each tunnel's data plane, and what protects each of its declared routes."""

    side: Side
    planes: Mapping[str, str] = field(default_factory=dict)
    protections: Mapping[tuple[str, Route], Protection] = field(default_factory=dict)
    #: Why each tunnel has its data plane, in words.
    reasons: Mapping[str, str] = field(default_factory=dict)
    #: The devices of route-based tunnels, by name.
    devices: Mapping[str, Device] = field(default_factory=dict)
    #: The planes of each gateway's tunnels.
    of_gateway: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def placed(self) -> dict[tuple[str, int], Protection]:
        """Every protection by the name of the plane that it stands on and its reqid, which is its route's."""
        return {(self.planes[item.tunnel], item.reqid): item for item in self.protections.values()}

    def placed_devices(self) -> set[tuple[str, Device]]:
        """Every device with the name of the plane that it is of."""
        return {(self.planes[device.tunnel], device) for device in self.devices.values()}

    def kernel_has_port(self, version: int) -> bool:
        """Whether the kernel is to take ESP in UDP from the NAT traversal port of that address family; one without
        tunnels is like the other, since peers may move there."""
        planes = {self.planes[tunnel.name] for tunnel in self.side.tunnels
                  if version in _versions(self.side.gateway(tunnel.gateway))}
        return KERNEL in (planes or self.planes.values())


class DataPlanes:
    """``choose`` says which data plane a tunnel shall have, or raises DataPlaneError; ``makers`` make each; ``foreign``
    says what is wrong with a device's name that another program has, None where none has.

    The second argument of ``choose`` is whether the kernel has the NAT traversal port that the tunnel would use; None
    where it is free. A plane lives from the first tunnel that it carries to the last.
    """

    def __init__(self, choose: Callable[[Tunnel, bool | None], Choice], makers: Mapping[str, Callable[[], DataPlane]],
                 foreign: Callable[[str], str | None] = lambda _name: None) -> None:
        self._choose = choose
        self._foreign = foreign
        self._makers = makers
        self._on_event: Callable[[DataPlaneEvent], None] = lambda event: None
        self._live: dict[str, DataPlane] = {}
        self._lost: list[Path] = []  # between which ends an earlier run had SAs
        self._plan = Plan(Side(""))
        self._numbers: dict[tuple[str, Route], int] = {}
        self._children: dict[int, tuple[DataPlane, ChildSa]] = {}  # by inbound SPI

    def start(self, plan: Plan, on_event: Callable[[DataPlaneEvent], None]) -> list[Path]:
        """Put ``plan`` in force where an earlier run left its policies, with no gap; returns the paths of that run's
        SAs. Raises DataPlaneError.

        A policy that another plane left is replaced in place, and then no longer that one's to clear away.
        """
        self._on_event = on_event
        for name in self._makers:
            self._plane(name)
        self.protect(plan)
        self.adopt(plan)
        for plane in self._live.values():
            plane.clear_leftovers()
        self._retire()
        return self._lost

    def plan(self, side: Side) -> Plan:
        """Lay ``side`` out, changing nothing. A tunnel whose choice stands keeps its plane.

        The two data planes cannot share a NAT traversal port, so each address family has one of them. Where nothing
        is in place yet and the kernel can carry only some of the tunnels, userspace carries all.

        Raises Unservable with every tunnel that no plane can carry.
        """
        ports = self._ports_in_use(side)
        try:
            chosen = self._chosen(side, ports)
        except Unservable as first:
            try:
                chosen = self._chosen(side, {4: False, 6: False} | ports)
            except Unservable:
                raise first from None
        planes = {name: choice.name for name, choice in chosen.items()}
        taken = [f"tunnel {tunnel.name}: {reason}" for tunnel in side.tunnels if tunnel.interface is not None
                 and tunnel.interface.name not in self._plan.devices
                 and (reason := self._foreign(tunnel.interface.name)) is not None]
        if taken:
            raise Unservable(tuple(taken))
        numbers = _reqids(side, self._numbers)
        routed = routed_into_devices(side)
        protections = {(tunnel.name, route): _protection(side, tunnel, route, numbers[tunnel.name, route], routed)
                       for tunnel in side.tunnels for route in tunnel.secured}
        of_gateway = {gateway: frozenset(planes[tunnel.name] for tunnel in tunnels)
                      for gateway, tunnels in side.tunnels_by_gateway().items()}
        devices = {tunnel.interface.name: _device(side.gateway(tunnel.gateway), tunnel, tunnel.interface,
                                                  numbers[tunnel.name, tunnel.secured[0]])
                   for tunnel in side.tunnels if tunnel.interface is not None}
        return Plan(side, planes, protections, {name: choice.reason for name, choice in chosen.items()}, devices,
                    of_gateway)

    def _ports_in_use(self, side: Side) -> dict[int, bool]:
        """By address family: whether the kernel has the NAT traversal port, for tunnels that stay as they are."""
        staying = self._staying(side)
        return {version: self._plan.planes[tunnel.name] == KERNEL
                for tunnel in side.tunnels if tunnel.name in staying
                for version in _versions(side.gateway(tunnel.gateway))}

    def _staying(self, side: Side) -> set[str]:
        """The tunnels whose choice stands."""
        old = {tunnel.name: tunnel.dataplane for tunnel in self._plan.side.tunnels}
        return {tunnel.name for tunnel in side.tunnels if old.get(tunnel.name) is tunnel.dataplane}

    def _chosen(self, side: Side, ports: Mapping[int, bool]) -> dict[str, Choice]:
        taken, staying = dict(ports), self._staying(side)
        users = Counter(version for tunnel in side.tunnels for version in _versions(side.gateway(tunnel.gateway)))
        chosen: dict[str, Choice] = {}
        reasons: list[str] = []
        for tunnel in sorted(side.tunnels, key=lambda tunnel: tunnel.dataplane is DataPlaneChoice.AUTO):
            versions = _versions(side.gateway(tunnel.gateway))
            holders = {taken[version] for version in versions if version in taken}
            if len(holders) > 1:
                reasons.append(_ACROSS_PLANES.format(tunnel=tunnel.name))
                continue
            try:
                alone = tunnel.name in staying and all(users[version] == 1 for version in versions)
                choose = self._choose_again if alone else self._choose
                chosen[tunnel.name] = choose(tunnel, holders.pop() if holders else None)
            except DataPlaneError as error:
                reasons.append(str(error))
            else:
                taken |= dict.fromkeys(versions, chosen[tunnel.name].name == KERNEL)
        if reasons:
            raise Unservable(tuple(reasons))
        return chosen

    def _choose_again(self, tunnel: Tunnel, kernel_has_port: bool | None) -> Choice:
        """For one that alone has the port: that is never in its own way, but it stays where it can."""
        free = self._choose(tunnel, None)
        if free.name == self._plan.planes[tunnel.name]:
            return free
        try:
            return replace(self._choose(tunnel, kernel_has_port), reason=_STAYS)
        except DataPlaneError:
            return free

    def protect(self, plan: Plan) -> None:
        """Put up what ``plan`` has and the plan in force has not. Raises DataPlaneError, and then nothing changed."""
        undo: list[Callable[[], None]] = []
        try:
            undo.append(partial(self._take_devices_back, plan))
            for step in self._changes_of_devices(self._plan, plan):
                step()
            standing = self._plan.placed()
            for name, protections in _by_plane({key: item for key, item in plan.placed().items()
                                                if standing.get(key) != item}):
                plane = self._plane(name)
                replaced = [standing[key] for each in protections if (key := (name, each.reqid)) in standing]
                undo.append(partial(plane.unprotect, *(row for row in protections
                                                       if (name, row.reqid) not in standing)))
                if replaced:
                    undo.append(partial(plane.protect, *replaced))
                plane.protect(*protections)
        except DataPlaneError:
            for step in reversed(undo):
                with suppress(DataPlaneError):
                    step()
            raise

    def _changes_of_devices(self, before: Plan, after: Plan) -> Iterator[Callable[[], None]]:
        """What is routed into the devices to come is refused before anything goes; then goes what has the name of one
        of them on another plane. What else is not in ``after`` stays, and so does its traffic."""
        there = before.placed_devices()
        coming = sorted(after.placed_devices() - there, key=str)
        for name, devices in groupby(coming, key=itemgetter(0)):
            yield partial(self._plane(name).block, *(device for _name, device in devices))
        for name, device in coming:
            for owner, standing in there:
                if owner != name and standing.name == device.name and owner in self._live:
                    yield partial(self._live[owner].withdraw, standing)
            yield partial(self._plane(name).provide, device)

    def _take_devices_back(self, plan: Plan) -> None:
        """Those of the plan in force again, after as much of ``plan`` as was done."""
        for step in self._changes_of_devices(plan, self._plan):
            with suppress(DataPlaneError):
                step()
        for name, device in plan.placed_devices():
            if device.name not in self._plan.devices and name in self._live:
                with suppress(DataPlaneError):
                    self._live[name].withdraw(device)

    def adopt(self, plan: Plan) -> Plan:
        """``plan`` is in force from now on; gives the one before it, whose remains ``unprotect`` takes down."""
        before, self._plan = self._plan, plan
        self._numbers |= {key: item.reqid for key, item in plan.protections.items()}
        return before

    def unprotect(self, before: Plan) -> list[DataPlaneError]:
        """Take down what ``before`` has and the plan in force has not.

        A route that only changed its outer addresses has its policies replaced in place by ``protect``. A policy that
        an old and a new route share is left alone by the data plane.
        """
        standing = self._plan.placed()
        gone = {key: item for key, item in before.placed().items() if key not in standing}
        errors: list[DataPlaneError] = []
        for name, protections in _by_plane(gone):
            try:
                self._live[name].unprotect(*protections)
            except DataPlaneError as error:
                errors.append(error)
        for name, device in before.placed_devices():
            if device.name not in self._plan.devices:
                try:
                    self._live[name].withdraw(device)
                except DataPlaneError as error:
                    errors.append(error)
        return errors + self._retire()

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol, tunnel: str) -> int:
        """An inbound SPI that no other plane has either. Raises NoSpi."""
        try:
            while (spi := self._plane_for(tunnel).allocate_spi(local, remote, protocol)) in self._children:
                pass
        except DataPlaneError as error:
            raise NoSpi(str(error)) from None
        return spi

    def encapsulates(self, gateway: str) -> bool:
        """Whether a plane of one of that gateway's tunnels does ESP in UDP only; where it has none yet, whether those
        to come cannot but be userspace's."""
        names = self._plan.of_gateway.get(gateway)
        if not names:
            return bool(self._makers) and KERNEL not in self._makers
        return any(self._live[name].always_encapsulates for name in names)

    def extended_sequence_numbers(self, tunnel: str) -> bool:
        """Whether the plane of that tunnel does them."""
        name = self._plan.planes.get(tunnel)
        return name is not None and self._live[name].extended_sequence_numbers

    def reqid(self, tunnel: str, route: Route) -> int:
        """The number of a route that is declared, or was: an exchange may outlive a reload. Raises KeyError."""
        return self._numbers[tunnel, route]

    def name_of(self, tunnel: str) -> str | None:
        return self._plan.planes.get(tunnel)

    def reason(self, tunnel: str) -> str | None:
        """Why it has that data plane, in words."""
        return self._plan.reasons.get(tunnel)

    def device(self, tunnel: str) -> tuple[str, str | None] | None:
        """The name and the kind of a route-based tunnel's device."""
        name = next((device.name for device in self._plan.devices.values() if device.tunnel == tunnel), None)
        return (name, self._plane_for(tunnel).device_kind) if name is not None else None

    def kernel_has_port(self, version: int) -> bool:
        return self._plan.kernel_has_port(version)

    def is_acceptable(self, gateway: str, local: Address, remote: Address) -> bool:
        """Whether the planes of that gateway's tunnels can carry them between these addresses."""
        has_port = self._plan.kernel_has_port(remote.version)
        return local.version == remote.version and all(
            (name == KERNEL) == has_port for name in self._plan.of_gateway.get(gateway, ()))

    def act(self, event: ChildInbound | ChildOutbound | ChildRemoved | ChildMoved) -> None:
        """Do what a session's event asks for. Raises DataPlaneError."""
        child = event.child
        plane = self._plane_of(child)
        match event:
            case ChildInbound():
                plane.add_inbound(child)
                self._children[child.spi_in] = (plane, child)
            case ChildOutbound():
                plane.add_outbound(child)
            case ChildMoved():
                plane.move(child)
                self._children[child.spi_in] = (plane, child)
            case ChildRemoved():
                self._children.pop(child.spi_in, None)
                plane.remove(child)

    def child(self, spi_in: int) -> ChildSa | None:
        """The installed SA with that inbound SPI."""
        installed = self._children.get(spi_in)
        return installed[1] if installed is not None else None

    def receive(
        self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int
    ) -> Counter[bytes]:
        """Give ESP packets (RFC 4303 §2) to the planes that have their SPIs; returns how many came of each that none
        has."""
        unknown: Counter[bytes] = Counter()
        spis = {packet[:4] for packet in packets}
        for spi in spis:
            its = packets if len(spis) == 1 else [packet for packet in packets if packet[:4] == spi]
            installed = self._children.get(int.from_bytes(spi, "big"))
            if installed is None:
                unknown[spi] += len(its)
            else:
                installed[0].receive(its, local, remote, ecn)
        return unknown

    def audit(self) -> list[Departure]:
        """In what the kernel departs from what was installed. Raises DataPlaneError."""
        return [departure for plane in self._live.values() for departure in plane.audit()]

    def restore(self) -> None:
        """Put up again what protects the routes. Raises DataPlaneError."""
        for plane in self._live.values():
            plane.restore()

    def counters(self, child: ChildSa) -> Counters:
        """What it has carried; nothing where the plane has it no more."""
        try:
            return self._plane_of(child).counters(child)
        except DataPlaneError:
            return Counters()

    def packets_in(self, child: ChildSa) -> int:
        """How many packets came by it; none where the plane has it no more."""
        try:
            return self._plane_of(child).packets_in(child)
        except DataPlaneError:
            return 0

    def drops(self) -> dict[str, int]:
        """How many packets went no further, by reason, over all planes that live."""
        return dict(sum((Counter(plane.drops) for plane in self._live.values()), Counter()))

    def stop(self, keep_protection: bool) -> list[DataPlaneError]:
        """Stop all of them, whatever goes wrong with one."""
        errors: list[DataPlaneError] = []
        for plane in self._live.values():
            try:
                plane.stop(keep_protection)
            except DataPlaneError as error:
                errors.append(error)
        return errors

    def _plane_of(self, child: ChildSa) -> DataPlane:
        """Where ``child`` was installed, also after its tunnel has moved to another plane or is declared no more."""
        installed = self._children.get(child.spi_in)
        if installed is not None:
            return installed[0]
        return self._plane_for(child.tunnel)

    def _plane_for(self, tunnel: str) -> DataPlane:
        name = self._plan.planes.get(tunnel)
        if name is None:
            raise DataPlaneError(f"tunnel {tunnel} is not declared any more")
        return self._live[name]

    def _plane(self, name: str) -> DataPlane:
        """The plane of that name, made and started where it does not live yet. Raises DataPlaneError."""
        if name not in self._live:
            self._live[name] = self._makers[name]()
            self._lost += self._live[name].start(self._on_event)
        return self._live[name]

    def _retire(self) -> list[DataPlaneError]:
        """End the planes that carry nothing and hold no SA: an idle one keeps no device. Returns what went wrong."""
        errors: list[DataPlaneError] = []
        busy = {*self._plan.planes.values(), *(plane.name for plane, _child in self._children.values())}
        for name in self._live.keys() - busy:
            try:
                self._live.pop(name).stop(keep_protection=False)
            except DataPlaneError as error:
                errors.append(error)
        return errors


def _by_plane(placed: Mapping[tuple[str, int], Protection]) -> list[tuple[str, list[Protection]]]:
    """The protections of each plane, by its name, in the order of their reqids."""
    return [(name, [placed[key] for key in keys]) for name, keys in groupby(sorted(placed), key=itemgetter(0))]


def _version(pair: EndpointPair) -> int:
    """The address family of an endpoint pair's outer addresses: 4 or 6."""
    return next((end.address.version for end in (pair.local, pair.remote) if end.address is not None), 4)


def _versions(gateway: Gateway) -> frozenset[int]:
    """Those of all its endpoint pairs: any may come into use."""
    return frozenset(map(_version, gateway.endpoints))


def _protection(side: Side, tunnel: Tunnel, route: Route, reqid: int, into_devices: Sequence[Route]) -> Protection:
    """It keeps the route's packets, which know no outer addresses, out of the clear; of these the first endpoint pair's
    stand in it until there is an SA, which has its own."""
    pair = side.gateway(tunnel.gateway).endpoints[0]
    routed = (tuple(each for each in tunnel.routes if each.local.version == route.local.version)
              if tunnel.interface is not None else ())
    anywhere: Address = IPv4Address(0) if _version(pair) == 4 else IPv6Address(0)
    return Protection(tunnel.name, route, reqid, tunnel.proposals[0].protocol, pair.local.address or anywhere,
                      pair.remote.address or anywhere, local_only(side, tunnel, route, into_devices), routed,
                      tunnel.interface.name if tunnel.interface else None)


def _device(gateway: Gateway, tunnel: Tunnel, interface: VirtualInterface, number: int) -> Device:
    pair = gateway.endpoints[0]
    anywhere: Address = IPv4Address(0) if _version(pair) == 4 else IPv6Address(0)
    remotes = dict.fromkeys(prefix for route in tunnel.routes for prefix in route.remote.prefixes())
    return Device(tunnel.name, interface.name, number, interface.addresses, tuple(remotes), interface.metric,
                  mtu_for(tunnel.proposals, max(_versions(gateway))), pair.local.address or anywhere,
                  pair.remote.address or anywhere)


def _reqids(side: Side, known: Mapping[tuple[str, Route], int]) -> dict[tuple[str, Route], int]:
    """A number for each tunnel route, the same across reloads and, but for collisions, across restarts.

    ``known`` are those given before: a route keeps its number, and no other ever gets it.
    """
    numbers = {(tunnel.name, route): known.get((tunnel.name, route), 0)
               for tunnel in side.tunnels for route in tunnel.secured}
    taken = set(known.values())
    for (tunnel, route), number in numbers.items():
        if number == 0:
            candidates = _candidates(f"{tunnel} {route}")
            numbers[tunnel, route] = next(candidate for candidate in candidates if candidate not in taken)
            taken.add(numbers[tunnel, route])
    return numbers


def _candidates(name: str) -> Iterator[int]:
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for step in range(_REQIDS):
        yield (first + step) % _REQIDS + 1
