# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two engines joined by a wire in memory, each with real sessions and a data plane that takes notes."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ikeengine.daemon.commands import Commands
from ikeengine.daemon.declared import parse
from ikeengine.daemon.engine import Engine
from ikeengine.daemon.log import Log
from ikeengine.daemon.planes import DataPlanes
from ikeengine.daemon.udp import UdpCounters
from ikeengine.dataplane.capabilities import Capabilities
from ikeengine.dataplane.choice import Choice
from ikeengine.dataplane.device import Device
from ikeengine.dataplane.interface import Counters, DataPlaneError, Departure, Protection
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import ChildSa, Datagram, Path
from ikeengine.vpn.algorithms import authentication, encryption
from ikeengine.vpn.model import DataPlaneChoice, Protocol, Tunnel

Json = dict[str, Any]
ADDRESS = {"hq": "192.0.2.1", "branch": "198.51.100.1"}
USERSPACE = Capabilities(True, (), frozenset({Protocol.ESP}), frozenset({encryption("AES-256")}),
                         frozenset({authentication("SHA2-256")}), False, True)
SECRETS = {"version": 1, "gateways": {"peer": {"method": "psk", "psk": "correct horse"}}}


def declaration(site: str, *, routes: int = 1, **gateway: Any) -> Json:
    """What ``hq`` or ``branch`` declares: one gateway ``peer``, and one tunnel ``lan`` with that many routes."""
    here, there = (10, 20) if site == "hq" else (20, 10)
    other = "branch" if site == "hq" else "hq"
    return {
        "version": 1, "site": {"name": site},
        "transforms": [{"name": "quick", "key_group": 31}],
        "gateways": [{"name": "peer", "credential": {"method": "psk"}, "transforms": ["quick"],
                      "endpoints": [{"local": {"address": ADDRESS[site]}, "remote": {"address": ADDRESS[other]}}],
                      **gateway}],
        "tunnels": [{"name": "lan", "gateway": "peer", "pfs": {"enabled": True, "key_group": 31},
                     "routes": [{"local": f"10.{here}.{number}.0/24", "remote": f"10.{there}.{number}.0/24"}
                                for number in range(routes)]}],
    }


@dataclass
class NotingPlane:
    """A data plane that notes what it is asked for, and refuses what ``refuses`` names."""

    name: str = "userspace"
    always_encapsulates: bool = True
    extended_sequence_numbers: bool = True
    calls: list[tuple[str, str]] = field(default_factory=list)
    protections: set[Protection] = field(default_factory=set)
    device_kind: str | None = "tun"
    devices: dict[str, Device] = field(default_factory=dict)
    inbound: dict[int, ChildSa] = field(default_factory=dict)
    outbound: dict[int, ChildSa] = field(default_factory=dict)
    ever_outbound: list[ChildSa] = field(default_factory=list)
    refuses: str | None = None
    next_spi: int = 0xC0000000
    on_event: Callable[[Any], None] | None = None
    received: list[bytes] = field(default_factory=list)
    stopped: bool | None = None
    drops: dict[str, int] = field(default_factory=dict)
    #: What somebody changes by hand: SAs by their inbound SPI, and all else.
    lost: set[int] = field(default_factory=set)
    departures: list[Departure] = field(default_factory=list)

    def _note(self, call: str, what: str) -> None:
        if self.refuses == call:
            raise DataPlaneError(f"{what}: no room")
        self.calls.append((call, what))

    def start(self, on_event: Callable[[Any], None]) -> list[Path]:
        self.on_event = on_event
        return []

    def clear_leftovers(self) -> None:
        self._note("clear_leftovers", "")

    def allocate_spi(self, local: object, remote: object, protocol: object) -> int:
        self.next_spi += 1
        return self.next_spi

    def block(self, *devices: Device) -> None: ...

    def provide(self, device: Device) -> None:
        self._note("provide", device.name)
        self.devices = {name: row for name, row in self.devices.items() if row.number != device.number}
        self.devices[device.name] = device

    def withdraw(self, device: Device) -> None:
        self._note("withdraw", device.name)
        self.devices.pop(device.name, None)

    def protect(self, *protections: Protection) -> None:
        for protection in protections:
            self._note("protect", str(protection.route))
            self.protections.add(protection)

    def unprotect(self, *protections: Protection) -> None:
        for protection in protections:
            if protection in self.protections:
                self._note("unprotect", str(protection.route))
                self.protections.discard(protection)

    def add_inbound(self, child: ChildSa) -> None:
        self._note("add_inbound", child.tunnel)
        self.inbound[child.spi_in] = child

    def add_outbound(self, child: ChildSa) -> None:
        self._note("add_outbound", child.tunnel)
        self.outbound[child.spi_out] = child
        self.ever_outbound.append(child)

    @property
    def sending(self) -> list[int]:
        """Outbound SPIs in use: a plane sends on the newest of each route, and forgets the keys of those before."""
        newest = {reqid: child for child in self.ever_outbound for reqid in child.reqids}
        return [child.spi_out for child in newest.values() if child.spi_out in self.outbound]

    def move(self, child: ChildSa) -> None:
        self._note("move", f"{child.tunnel} {child.remote}")

    def remove(self, child: ChildSa) -> None:
        self._note("remove", child.tunnel)
        self.inbound.pop(child.spi_in, None)
        self.outbound.pop(child.spi_out, None)

    def counters(self, child: ChildSa) -> Counters:
        return Counters(1, 100, 2, 200)

    def packets_in(self, child: ChildSa) -> int:
        return 0

    def receive(self, packets: Sequence[bytes], local: object, remote: object, ecn: int) -> None:
        self.received += packets

    def audit(self) -> list[Departure]:
        return [Departure(f"tunnel {child.tunnel}: inbound SA {spi:08x}", "in the kernel", "not there", spi)
                for spi, child in self.inbound.items() if spi in self.lost] + self.departures

    def restore(self) -> None:
        self._note("restore", "")
        self.departures = []

    def stop(self, keep_protection: bool) -> None:
        self.stopped = keep_protection


class Wire:
    """Stands for a host's UDP sockets: what one side sends, the other hears, once both are there."""

    nat_traversal_port = 4500

    def __init__(self) -> None:
        self.counters = UdpCounters()
        self.other: Engine | None = None
        self.sent: list[Datagram] = []

    def sockets(self) -> list[tuple[int, int, socket.socket]]:
        return []

    def attach(self, loop: asyncio.AbstractEventLoop, receiver: Engine) -> None:
        self.loop = loop

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        self.other = None

    def close(self) -> None: ...

    def send_ike(self, datagram: Datagram) -> None:
        self.sent.append(datagram)
        if self.other is not None:
            self.loop.call_soon(self._deliver, self.other, Datagram(datagram.remote, datagram.local, datagram.data))

    @staticmethod
    def _deliver(other: Engine, datagram: Datagram) -> None:
        other.receive_ike(datagram)
        other.batch_received()


class Side:
    """One engine with all around it."""

    def __init__(self, declared: Json, plane: NotingPlane) -> None:
        self.plane, self.wire, self.log = plane, Wire(), Log(stream=io.StringIO())
        self.declared = parse(declared, SECRETS)
        self.planes = DataPlanes(self._choose, {plane.name: lambda: plane})
        manager = IkeSaManager(self.declared.side, allocate_spi=self.planes.allocate_spi,
                               encapsulate=self.planes.encapsulates, reqid=self.planes.reqid,
                               extended_sequence_numbers=self.planes.extended_sequence_numbers)
        self.engine = Engine(manager, self.planes, self.wire, lambda sock, on: None, self.log)  # type: ignore[arg-type]
        self.commands = Commands(self.engine, self.declared, lambda: {"userspace": USERSPACE}, self.log)

    def _choose(self, tunnel: Tunnel, port: bool | None) -> Choice:
        if tunnel.dataplane is DataPlaneChoice.KERNEL:
            raise DataPlaneError(f"tunnel {tunnel.name}: dataplane: kernel cannot serve it here")
        return Choice(self.plane.name, "it can")

    def start(self) -> None:
        self.engine.start(self.declared.side)

    async def ask(self, command: str, **arguments: Any) -> Json:
        async for result in self.commands({"version": 1, "command": command, **arguments}):
            return result
        raise AssertionError("no answer")

    async def tunnel(self, name: str = "lan") -> Json:
        status = await self.ask("status")
        return next(tunnel for tunnel in status["tunnels"] if tunnel["name"] == name)

    def messages(self) -> list[str]:
        return [entry.message for entry in self.log.entries(1000)]


class Pair:
    """``hq`` and ``branch``, joined; hq initiates at boot unless told otherwise."""

    def __init__(self) -> None:
        self.hq_declares = declaration("hq")
        self.branch_declares = declaration("branch", start="answer")
        self.hq_plane, self.branch_plane = NotingPlane(), NotingPlane()
        self.hq: Side
        self.branch: Side

    def run(self, test: Callable[[], Coroutine[Any, Any, None]], *, joined: bool = True) -> None:
        async def run() -> None:
            self.hq, self.branch = (Side(self.hq_declares, self.hq_plane),
                                    Side(self.branch_declares, self.branch_plane))
            if joined:
                self.hq.wire.other, self.branch.wire.other = self.branch.engine, self.hq.engine
            self.branch.start()
            self.hq.start()
            async with asyncio.timeout(20):
                await test()

        asyncio.run(run())


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def declare() -> Callable[..., Json]:
    return declaration


@pytest.fixture
def secrets() -> Json:
    return SECRETS
