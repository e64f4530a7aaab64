# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data plane carries which tunnel, the protections that stand there, and the SAs that were put there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ..dataplane.interface import Counters, DataPlane, DataPlaneError, DataPlaneEvent, Protection
from ..ikev2.events import ChildInbound, ChildMoved, ChildOutbound, ChildRemoved
from ..security_association import ChildSa, SocketAddress
from ..vpn.model import Gateway, Protocol, Route, Side, Tunnel
from ..vpn.selectors import Address

_REQIDS = 2**20 - 1  # as many as a kernel data plane sets apart for us


class Unservable(Exception):
    """No data plane can carry what was declared; ``reasons`` has a sentence for each tunnel."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Plan:
    """A declaration laid out on data planes; keys are a tunnel's name, and with its declared route."""

    planes: Mapping[str, DataPlane] = field(default_factory=dict)
    protections: Mapping[tuple[str, Route], Protection] = field(default_factory=dict)
    encapsulating_gateways: frozenset[str] = frozenset()

    def owned(self) -> dict[tuple[str, Protection], DataPlane]:
        """Every protection with the plane that it stands on."""
        return {(self.planes[item.tunnel].name, item): self.planes[item.tunnel] for item in self.protections.values()}


class DataPlanes:
    """``choose`` gives the data plane that a tunnel shall have, or raises DataPlaneError."""

    def __init__(self, choose: Callable[[Tunnel], DataPlane], planes: tuple[DataPlane, ...]) -> None:
        self._choose = choose
        self._planes = planes
        self._plan = Plan()
        self._numbers: dict[tuple[str, Route], int] = {}
        self._children: dict[int, tuple[DataPlane, ChildSa]] = {}  # by inbound SPI

    def start(self, on_event: Callable[[DataPlaneEvent], None]) -> None:
        """Raises DataPlaneError."""
        for plane in self._planes:
            plane.start(on_event)

    def plan(self, side: Side) -> Plan:
        """Lay ``side`` out, changing nothing. A tunnel keeps its plane as long as its choice stands.

        Raises Unservable with every tunnel that no plane can carry.
        """
        planes: dict[str, DataPlane] = {}
        reasons: list[str] = []
        for tunnel in side.tunnels:
            try:
                planes[tunnel.name] = self._choose(tunnel)
            except DataPlaneError as error:
                reasons.append(f"tunnel {tunnel.name}: {error}")
        if reasons:
            raise Unservable(tuple(reasons))
        numbers = _reqids(side, self._numbers)
        protections = {(tunnel.name, route): _protection(side.gateway(tunnel.gateway), tunnel, route,
                                                         numbers[tunnel.name, route])
                       for tunnel in side.tunnels for route in tunnel.routes}
        return Plan(planes, protections, frozenset(tunnel.gateway for tunnel in side.tunnels
                                                   if planes[tunnel.name].always_encapsulates))

    def protect(self, plan: Plan) -> None:
        """Put up what ``plan`` has and the plan in force has not. Raises DataPlaneError, and then nothing changed."""
        standing = self._plan.owned()
        made: list[tuple[DataPlane, Protection]] = []
        for (name, protection), plane in plan.owned().items():
            if (name, protection) in standing:
                continue
            try:
                plane.protect(protection)
            except DataPlaneError:
                for undone, item in reversed(made):
                    undone.unprotect(item)
                raise
            made.append((plane, protection))

    def adopt(self, plan: Plan) -> Plan:
        """``plan`` is in force from now on; gives the one before it, whose remains ``unprotect`` takes down."""
        before, self._plan = self._plan, plan
        self._numbers |= {key: item.reqid for key, item in plan.protections.items()}
        return before

    def unprotect(self, before: Plan) -> list[DataPlaneError]:
        """Take down what ``before`` has and the plan in force has not.

        A route that only changed its outer addresses has its policies replaced in place by ``protect``.
        """
        standing = {(self._plan.planes[tunnel].name, tunnel, route) for tunnel, route in self._plan.protections}
        errors: list[DataPlaneError] = []
        for (name, protection), plane in before.owned().items():
            if (name, protection.tunnel, protection.route) not in standing:
                try:
                    plane.unprotect(protection)
                except DataPlaneError as error:
                    errors.append(error)
        return errors

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol, tunnel: str) -> int:
        """An inbound SPI that no other plane has either. Raises DataPlaneError."""
        while (spi := self._plane_for(tunnel).allocate_spi(local, remote, protocol)) in self._children:
            pass
        return spi

    def encapsulates(self, gateway: str) -> bool:
        """Whether a plane of one of that gateway's tunnels does ESP in UDP only."""
        return gateway in self._plan.encapsulating_gateways

    def reqid(self, tunnel: str, route: Route) -> int:
        """The number of a route that is declared, or was: an exchange may outlive a reload. Raises KeyError."""
        return self._numbers[tunnel, route]

    def name_of(self, tunnel: str) -> str | None:
        plane = self._plan.planes.get(tunnel)
        return plane.name if plane is not None else None

    def uses(self, name: str) -> bool:
        """Whether any tunnel is carried by the plane of that name."""
        return any(plane.name == name for plane in self._plan.planes.values())

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
                plane.move(child, event.local, event.remote)
                self._children[child.spi_in] = (plane, child)
            case ChildRemoved():
                self._children.pop(child.spi_in, None)
                plane.remove(child)

    def child(self, spi_in: int) -> ChildSa | None:
        """The installed SA with that inbound SPI."""
        installed = self._children.get(spi_in)
        return installed[1] if installed is not None else None

    def receive(self, data: bytes, local: SocketAddress, remote: SocketAddress) -> bool:
        """Give an ESP packet (RFC 4303 §2) to the plane that has its SPI; False where none has."""
        installed = self._children.get(int.from_bytes(data[:4], "big"))
        if installed is None:
            return False
        installed[0].receive(data, local, remote)
        return True

    def counters(self, child: ChildSa) -> Counters:
        """What it has carried; nothing where the plane has it no more."""
        try:
            return self._plane_of(child).counters(child)
        except DataPlaneError:
            return Counters()

    def stop(self, keep_protection: bool) -> list[DataPlaneError]:
        """Stop all of them, whatever goes wrong with one."""
        errors: list[DataPlaneError] = []
        for plane in self._planes:
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
        plane = self._plan.planes.get(tunnel)
        if plane is None:
            raise DataPlaneError(f"tunnel {tunnel} is not declared any more")
        return plane


def _protection(gateway: Gateway, tunnel: Tunnel, route: Route, reqid: int) -> Protection:
    pair = gateway.endpoints[0]
    version = next((end.address.version for end in (pair.local, pair.remote) if end.address is not None), 4)
    anywhere: Address = IPv4Address(0) if version == 4 else IPv6Address(0)
    return Protection(tunnel.name, route, reqid, tunnel.proposals[0].protocol, pair.local.address or anywhere,
                      pair.remote.address or anywhere)


def _reqids(side: Side, known: Mapping[tuple[str, Route], int]) -> dict[tuple[str, Route], int]:
    """A number for each tunnel route, the same across reloads and, but for collisions, across restarts.

    ``known`` are those given before: a route keeps its number, and no other ever gets it.
    """
    numbers = {(tunnel.name, route): known.get((tunnel.name, route), 0)
               for tunnel in side.tunnels for route in tunnel.routes}
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
