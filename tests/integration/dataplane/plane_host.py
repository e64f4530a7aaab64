# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One data plane in the network namespace that this process is started in, driven by JSON lines on standard input.

The first line says what it is (``Setup``); each further one is ``[method, arguments...]`` and gets one line of answer.
SAs are numbered by generation: both ends make the same keys and SPIs out of the number, so no IKE is needed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "files/ikeengine"))

from ikeengine.dataplane import limits
from ikeengine.dataplane.device import Device
from ikeengine.dataplane.interface import DataPlane, DataPlaneError, Protection
from ikeengine.dataplane.mtu import mtu_for
from ikeengine.dataplane.netfilter.probe import probe as probe_netfilter
from ikeengine.dataplane.xfrm.dataplane import XfrmDataPlane
from ikeengine.dataplane.xfrm.probe import probe
from ikeengine.dataplane.xfrm.sockets import bypass_socket, enable_espinudp
from ikeengine.security_association import ChildSa, CoveredRoute, DirectionKeys, SocketAddress
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import Direction, Expiration, Proposal, Protocol, Route
from ikeengine.vpn.selectors import Selector


@dataclass
class Setup:
    """``side`` is 0 or 1; ``plane`` is kernel or userspace; ``routes`` are [local, remote] as this side sees them,
    with the direction behind where there is one; ``near`` is what of their remote sides is local all the same.

    ``joined`` has the SAs of the first route carry all of them; ``anywhere`` says that the peer's address is not known
    before its SAs are; ``last_sequence`` stands in for the last number of 32 bits. ``device`` is the name of a
    route-based tunnel's, whose SA carries all there is and for which the routes are those into it.
    """

    side: int
    plane: str
    local: str
    remote: str
    routes: list[list[str]]
    encryption: str = "AES-256"
    authentication: str | None = "SHA2-256"
    protocol: str = "ESP"
    encapsulated: bool = True
    esn: bool = False
    kilobytes: int | None = None
    last_sequence: int | None = None
    joined: bool = False
    anywhere: bool = False
    offloads: bool = True
    near: list[str] = field(default_factory=list)
    device: str | None = None


class PlaneHost:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.local = SocketAddress(ip_address(setup.local), 4500)
        self.remote = SocketAddress(ip_address(setup.remote), 4500)
        self.events: list[str] = []
        self.routes = [Route(Selector.parse(local), Selector.parse(remote), *map(Direction, direction))
                       for local, remote, *direction in setup.routes]
        self.loop = asyncio.get_running_loop()
        self.udp = self.open_udp(self.local)
        limits.LAST_SEQUENCE = setup.last_sequence or limits.LAST_SEQUENCE
        self.plane = self.open_plane()
        self.plane.start(lambda event: self.events.append(repr(event)))
        if setup.device is not None:
            remotes = [prefix for route in self.routes for prefix in route.remote.prefixes()]
            proposal = Proposal("p", Protocol.ESP, setup.authentication and algorithms.authentication(
                setup.authentication), algorithms.encryption(setup.encryption), Expiration(28800, None))
            self.plane.provide(Device("lan", setup.device, 1, (f"169.254.7.{setup.side + 1}/30",), tuple(remotes), None,
                                      mtu_for([proposal], 4), self.local.address, self.remote.address))
            self.routes = [Route(*[Selector.parse(everything)] * 2) for everything in ("0.0.0.0/0", "::/0")]

    def open_udp(self, local: SocketAddress) -> socket.socket:
        udp = socket.socket(socket.AF_INET6 if local.address.version == 6 else socket.AF_INET,
                            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        bypass_socket(udp)
        if self.setup.plane == "kernel":
            enable_espinudp(udp)
        udp.bind((str(local.address), local.port))
        self.bound = local
        self.loop.add_reader(udp.fileno(), self.read_udp, udp)
        return udp

    def open_plane(self) -> DataPlane:
        netfilter = probe_netfilter()
        if self.setup.plane == "kernel":
            return XfrmDataPlane(self.loop.add_reader, self.loop.remove_reader, self.loop.call_later, netfilter,
                                 device_kind=next(iter(probe().devices), None) if self.setup.device else None)
        # Only here, as it loads the cryptographic library, which takes seconds on a slow kernel.
        from ikeengine.dataplane.userspace import tun
        from ikeengine.dataplane.userspace.dataplane import UserspaceDataPlane

        if not self.setup.offloads:
            tun._has_offloads = lambda fd: False
        return UserspaceDataPlane(self.send, self.loop.add_reader, self.loop.remove_reader, self.loop.call_later,
                                  netfilter)

    def send(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress,
             traffic_class: int) -> None:
        with suppress(OSError):  # as the daemon's sockets take it: the network's loss
            for packet in packets:
                self.udp.sendto(packet, (str(remote.address), remote.port))

    def read_udp(self, udp: socket.socket) -> None:
        for _ in range(64):
            try:
                data, sender = udp.recvfrom(65536)
            except BlockingIOError:
                return
            self.plane.receive([data], self.local, SocketAddress(ip_address(sender[0]), sender[1]), 0)

    def child(self, route: int, generation: int) -> ChildSa:
        setup = self.setup
        encryption = algorithms.encryption(setup.encryption) if setup.protocol == "ESP" else None
        authentication = algorithms.authentication(setup.authentication) if setup.authentication else None

        def keys(side: int) -> DirectionKeys:
            def octets(label: str, size: int) -> bytes:
                return hashlib.shake_256(f"{label} {side} {route} {generation}".encode()).digest(size)
            return DirectionKeys(octets("encryption", encryption.keying_size if encryption else 0),
                                 octets("authentication", authentication.key_size if authentication else 0))

        def spi(side: int) -> int:
            return 0xD0000000 + side * 0x10000 + route * 0x100 + generation

        me, peer = setup.side, 1 - setup.side
        routes = range(len(self.routes)) if setup.joined or setup.device else (route,)
        covered = tuple(CoveredRoute(self.routes[number], self.routes[number], number + 1) for number in routes)
        return ChildSa("lan", "peer", Protocol[setup.protocol], encryption, authentication, setup.esn,
                       spi(me), spi(peer), keys(me), keys(peer), self.local, self.remote, setup.encapsulated,
                       covered, Expiration(28800, setup.kilobytes), interface=setup.device)

    def protection(self, route: int) -> Protection:
        remote = ip_address("0.0.0.0") if self.setup.anywhere else self.remote.address
        near = [each for each in map(Selector.parse, self.setup.near) if self.routes[route].remote.contains(each)]
        return Protection("lan", self.routes[route], route + 1, Protocol[self.setup.protocol], self.local.address,
                          remote, tuple(near), device=self.setup.device)

    def do(self, method: str, *arguments: Any) -> Any:
        plane = self.plane
        match method:
            case "protect":
                plane.protect(*map(self.protection, arguments))
            case "unprotect":
                plane.unprotect(*map(self.protection, arguments))
            case "allocate_spi":
                return plane.allocate_spi(self.local.address, self.remote.address, Protocol[self.setup.protocol])
            case "add_inbound":
                plane.add_inbound(self.child(*arguments))
            case "add_outbound":
                plane.add_outbound(self.child(*arguments))
            case "remove":
                plane.remove(self.child(*arguments))
            case "move":
                route, generation, local, local_port, remote, remote_port = arguments
                new_local = SocketAddress(ip_address(local), local_port)
                if new_local != self.bound:
                    self.loop.remove_reader(self.udp.fileno())
                    self.udp.close()
                    self.udp = self.open_udp(new_local)
                plane.move(replace(self.child(route, generation), local=new_local,
                                   remote=SocketAddress(ip_address(remote), remote_port)))
            case "counters":
                counted = plane.counters(self.child(*arguments))
                return [counted.packets_in, counted.octets_in, counted.packets_out, counted.octets_out]
            case "events":
                return self.events
            case "drops":
                return dict(getattr(plane, "drops", {}))
            case "clear_leftovers":
                plane.clear_leftovers()
            case "audit":
                return sorted([row.what, row.expected, row.found, row.spi_in] for row in plane.audit())
            case "restore":
                plane.restore()
            case "probe":
                found = probe()
                return [found.available, list(found.missing), found.extended_sequence_numbers]
            case "stop":
                plane.stop(*arguments)
            case _:
                raise ValueError(method)
        return None


async def main() -> None:
    loop = asyncio.get_running_loop()
    host = PlaneHost(Setup(**json.loads(await loop.run_in_executor(None, sys.stdin.readline))))
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer = {"result": host.do(*json.loads(line))}
        except DataPlaneError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
