# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways as network namespaces, a LAN host behind each, a router between them; data planes as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.network import Namespace

PLANE_HOST = Path(__file__).with_name("plane_host.py")

#: Of the ends that say nothing else. A machine whose kernel has ESP and nf_tables sets it to kernel.
DATA_PLANE = os.environ.get("TANDEM_DATA_PLANE", "userspace")

#: What every ping carries: seen on the wire, it is clear text.
MARKER = b"in clear text"


class Plane:
    """A data plane in a namespace. Calls are its methods; an error of it is a RuntimeError here."""

    def __init__(self, namespace: Namespace, setup: dict[str, Any]) -> None:
        self.process = subprocess.Popen([*namespace.entry, sys.executable, str(PLANE_HOST)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self._ask(setup) == "ready"

    def __call__(self, method: str, *arguments: Any) -> Any:
        answer = self._ask([method, *arguments])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def kill(self) -> None:
        """As a crash does: nothing is cleaned up by anybody but the kernel."""
        self.process.kill()
        self.process.wait()

    def _ask(self, line: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the data plane's process died"
        return json.loads(answer)


@dataclass
class Net:
    """lan_a - a - router - b - lan_b. The LANs are 10.1.0.0/24 and 10.2.0.0/24, 2001:db8:1::/64 and 2001:db8:2::/64."""

    namespaces: dict[str, Namespace]
    planes: list[Plane] = field(default_factory=list)

    def __getitem__(self, name: str) -> Namespace:
        return self.namespaces[name]

    def plane(self, name: str, **setup: Any) -> Plane:
        side = "ab".index(name)
        routes = [["10.1.0.0/24", "10.2.0.0/24"], ["2001:db8:1::/64", "2001:db8:2::/64"]]
        ends = ["192.0.2.1", "198.51.100.1"]
        if side:
            routes = [[remote, local] for local, remote in routes]
        made = Plane(self[name], {"side": side, "plane": DATA_PLANE, "local": ends[side], "remote": ends[1 - side],
                                  "routes": routes} | setup)
        self.planes.append(made)
        return made

    def kill_planes(self) -> None:
        for plane in self.planes:
            plane.kill()
        self.planes.clear()

    def ping(self, name: str, target: str, count: int = 3, *options: str) -> int:
        """How many of ``count`` pings are answered."""
        argv = ["ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "1", "-p", MARKER.hex(), *options, target]
        printed = self[name].run(argv, check=False).stdout
        return int(printed.split(" received")[0].rsplit(" ", 1)[1]) if " received" in printed else 0


@pytest.fixture
def net() -> Iterator[Net]:
    with built() as made:
        yield made


@contextmanager
def built() -> Iterator[Net]:
    """The network for as long as the context lasts."""
    if os.geteuid() != 0:
        pytest.fail("network namespaces need root")
    tag = f"dp{os.getpid() % 10000}"
    namespaces = {name: Namespace(f"{tag}-{name}") for name in ("lan_a", "a", "router", "b", "lan_b")}
    made = Net(namespaces)
    try:
        for namespace in namespaces.values():
            namespace.create()
            # Addresses serve at once, without a search for duplicates.
            namespace.run(["sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0",
                           "net.ipv6.conf.default.accept_dad=0"])
        for left, left_device, right, right_device in (("lan_a", "eth0", "a", "lan"), ("a", "wan", "router", "to_a"),
                                                       ("router", "to_b", "b", "wan"), ("b", "lan", "lan_b", "eth0")):
            made[left].ip(f"link add name {left_device} type veth peer name {right_device} netns {made[right].name}")
        for name, device, *addresses in (
                ("lan_a", "eth0", "10.1.0.2/24", "2001:db8:1::2/64"), ("a", "lan", "10.1.0.1/24", "2001:db8:1::1/64"),
                ("a", "wan", "192.0.2.1/24", "2001:db8:a::1/64"),
                ("router", "to_a", "192.0.2.254/24", "2001:db8:a::fe/64"),
                ("router", "to_b", "198.51.100.254/24", "2001:db8:b::fe/64"),
                ("b", "wan", "198.51.100.1/24", "2001:db8:b::1/64"), ("b", "lan", "10.2.0.1/24", "2001:db8:2::1/64"),
                ("lan_b", "eth0", "10.2.0.2/24", "2001:db8:2::2/64")):
            made[name].ip(f"link set {device} up", *(f"addr add {each} dev {device} {'nodad' if ':' in each else ''}"
                                                      for each in addresses))
        for name, four, six in (("lan_a", "10.1.0.1", "2001:db8:1::1"), ("a", "192.0.2.254", "2001:db8:a::fe"),
                                ("b", "198.51.100.254", "2001:db8:b::fe"), ("lan_b", "10.2.0.1", "2001:db8:2::1")):
            made[name].ip(f"route add default via {four}", f"route add default via {six}")
        # A router that knows the LANs carries any packet that leaks to where it would be believed.
        made["router"].ip("route add 10.1.0.0/24 via 192.0.2.1", "route add 10.2.0.0/24 via 198.51.100.1",
                          "route add 2001:db8:1::/64 via 2001:db8:a::1",
                          "route add 2001:db8:2::/64 via 2001:db8:b::1")
        for name in ("a", "router", "b"):
            made[name].run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        yield made
    finally:
        made.kill_planes()
        for namespace in namespaces.values():
            namespace.delete()


@contextmanager
def left_as_it_was(net: Net) -> Iterator[None]:
    """One network serves all tests of a kernel that is slow to make one."""
    try:
        yield
    finally:
        net.kill_planes()
        for name in ("a", "b"):
            net[name].ip("xfrm state flush", "xfrm policy flush")
        net["router"].ip("address flush dev lo scope global")
        net["b"].ip("address flush dev wan to 198.51.100.7")
