# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP between two namespaces of the network."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.dataplane.conftest import Net, Plane
from tests.testbed.command import run

_T = TypeVar("_T")
_TCP = str(Path(__file__).with_name("tcp.py"))
PORT = 7777


def joined(net: Net, routes: list[list[str]], mirrored: list[list[str]] | None = None,
           ends: dict[str, str] | None = None, **setup: Any) -> list[Plane]:
    """Both ends with an SA pair for each route; these and ``ends``, the outer addresses, are as ``a`` sees them."""
    turned = {"local-to-remote": "remote-to-local", "remote-to-local": "local-to-remote"}
    theirs = mirrored or [[remote, local, *(turned[each] for each in way)] for local, remote, *way in routes]
    here = ends or {}
    there = {"local": here["remote"], "remote": here["local"]} if here else {}
    planes = [net.plane("a", routes=routes, **here, **setup), net.plane("b", routes=theirs, **there, **setup)]
    for plane in planes:
        plane("protect", *range(len(routes)))
        plane("clear_leftovers")
    for step in ("add_inbound", "add_outbound"):
        for plane in planes:
            for route in range(len(routes)):
                plane(step, route, 0)
    return planes


def split(net: Net, **setup: Any) -> None:
    """A range comes apart into 10.2.0.0/25 and 10.2.0.128/26; the former is a tunnel route of its own, too."""
    net["lan_b"].ip("address add 10.2.0.130/24 dev eth0")
    a, b = joined(net, [["10.1.0.0/24", "10.2.0.0-10.2.0.191"], ["10.1.0.0/24", "10.2.0.0/25"]], **setup)
    for plane in (a, b):
        plane("protect", 0)  # again, so that the wider one was the last
    assert (net.ping("lan_a", "10.2.0.130", 2), net.ping("lan_a", "10.2.0.2", 3)) == (2, 3)
    assert [a("counters", route, 0)[2] for route in (0, 1)] == [2, 3]
    for plane in (a, b):
        plane("unprotect", 1)
        plane("remove", 1, 0)
    assert net.ping("lan_a", "10.2.0.2", 3) == 3
    assert a("counters", 0, 0)[2] == 5, "the wider one has it now"


def transfers(net: Net, client: str, server: str, address: str, octets: int, source: str | None = None) -> bool:
    """Whether ``server``, which has ``address``, gets that many octets over one connection."""
    listening = subprocess.Popen([*net[server].entry, sys.executable, _TCP, "listen", address, str(PORT)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert listening.stdout is not None and listening.stdout.readline() == "listens\n"
        sent = net[client].run([sys.executable, _TCP, "send", address, str(PORT), str(octets),
                                *([source] if source else [])], check=False)
        return sent.returncode == 0 and listening.stdout.readline() == f"{octets}\n"
    finally:
        listening.kill()
        listening.wait()


def connects(net: Net, client: str, server: str, address: str) -> bool:
    """Whether a connection comes about."""
    asked = [sys.executable, "-c", "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)",
             address, str(PORT)]
    listening = subprocess.Popen([*net[server].entry, sys.executable, _TCP, "listen", address, str(PORT)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert listening.stdout is not None and listening.stdout.readline() == "listens\n"
        return net[client].run(asked, check=False).returncode == 0
    finally:
        listening.kill()
        listening.wait()


def narrow(net: Net, mtu: int) -> None:
    """What the link between the router and b carries, so that a has to be told."""
    net["router"].ip(f"link set to_b mtu {mtu}")
    net["b"].ip(f"link set wan mtu {mtu}")


def announced_mss(pcap: Path, source: str) -> int | None:
    """The MSS in the segments by which ``source`` opened a connection or agreed to."""
    printed = run(["tcpdump", "-n", "-r", str(pcap), "tcp or ip6"]).stdout
    found = {int(each[1]) for each in re.finditer(rf" {re.escape(source)}\.\d+ > .* Flags \[S.*mss (\d+)", printed)}
    assert len(found) <= 1, printed
    return next(iter(found), None)


def mtu_heard(net: Net, name: str, target: str, source: str | None = None) -> int | None:
    """What a sender of packets that are too large, and may not be cut, is told that fits."""
    chosen = ["-I", source] if source else []
    said = net[name].run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1452", *chosen, target],
                         check=False)
    heard = re.search(r"mtu[ =:]+(\d+)", said.stdout + said.stderr)
    return int(heard[1]) if heard else None


def eventually(seen: Callable[[], _T]) -> _T:
    """What it gives when that is true, or after thirty seconds."""
    deadline = time.monotonic() + 30
    while not (found := seen()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
