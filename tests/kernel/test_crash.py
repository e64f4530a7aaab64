# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that systemd has to start again, on hosts whose kernel has ESP: what stands meanwhile and afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.test_site_to_site import CheckoutBed
from tests.testbed import demo
from tests.testbed.capture import Capture, count, frames
from tests.testbed.topology import FIRST, Bed

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.hosts]

Json = dict[str, Any]
PEERS = {"hq": "branch", "branch": "hq"}
LAN_HOSTS = {"hq": "10.1.0.2", "branch": "10.2.0.2"}
LIMIT_SECONDS = 5
SPOOFED = b"what nobody may send in from outside"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """hq and branch with their LANs and the router, after the example's playbook has run once."""
    demo.FOLDER.mkdir(parents=True, exist_ok=True)
    with CheckoutBed(FIRST, state=tmp_path_factory.mktemp("bed")) as bed:
        demo.play(bed)
        yield bed


def declare(bed: Bed, host: str, *, running: bool = True, dataplane: str = "auto", routes: int = 1,
            **gateway: Any) -> None:
    """Change what the files of a host say, and let its daemon have it if it runs."""
    path = "/etc/ikeengine/declaration.json"
    declared = json.loads(bed.hosts[host].get(path))
    declared["gateways"][0] |= gateway
    tunnel = declared["tunnels"][0]
    tunnel["dataplane"] = dataplane
    tunnel["routes"] = tunnel["routes"][:1] + [
        {end: re.sub(r"\d+\.0/24", f"{number}.0/24", tunnel["routes"][0][end]) for end in ("local", "remote")}
        for number in range(1, routes)]
    bed.hosts[host].put(json.dumps(declared).encode(), path, mode=0o600)
    if running:
        bed.hosts[host].run(["ikectl", "reload"])


def passes(bed: Bed, host: str) -> bool:
    """Whether a ping from that LAN to the other one is answered."""
    argv = ["ping", "-n", "-q", "-c", "1", "-W", "0.2", LAN_HOSTS[PEERS[host]]]
    return bed.namespaces[f"lan-{host}"].run(argv, check=False).returncode == 0


def seconds_until_it_passes(bed: Bed, host: str, since: float, limit: float = 60) -> float:
    while not passes(bed, host):
        assert time.monotonic() < since + limit, logs(bed)
    return time.monotonic() - since


def logs(bed: Bed) -> str:
    return "\n".join(bed.hosts[host].run(["journalctl", "-u", "ikeengine", "-n", "40", "-o", "cat"]).stdout
                     for host in PEERS)


def settled(bed: Bed, seconds: float = 30) -> None:
    """Wait until both ends have one IKE SA and one SA pair for each route, and the kernel has these alone."""
    deadline = time.monotonic() + seconds
    while True:
        statuses = {host: demo.ikectl(bed, host, "status") for host in PEERS}
        sas = {host: [sa for tunnel in status["tunnels"] for route in tunnel["routes"] for sa in route["sas"]]
               for host, status in statuses.items()}
        spis = {host: {sa[way] for sa in rows for way in ("spi_in", "spi_out")} for host, rows in sas.items()}
        routes = {host: sum(len(tunnel["routes"]) for tunnel in status["tunnels"]) for host, status in statuses.items()}
        in_kernel = {host: states(bed, host) if statuses[host]["tunnels"][0]["dataplane"] == "kernel" else spis[host]
                     for host in PEERS}
        if (in_kernel == spis and spis["hq"] == spis["branch"]
                and all(len(sas[host]) == routes[host] for host in PEERS)
                and all(len(status["gateways"][0]["ike"]) == 1 for status in statuses.values())):
            return
        assert time.monotonic() < deadline, (statuses, in_kernel)
        time.sleep(0.2)


def states(bed: Bed, host: str) -> set[str]:
    """SPIs of the SAs with keys in a host's kernel."""
    listed = bed.hosts[host].namespace.run(["ip", "xfrm", "state"]).stdout
    return {match[1] for state in re.split(r"^(?=src )", listed, flags=re.MULTILINE) if "\tenc " in state
            and (match := re.search(r"spi 0x([0-9a-f]{8})", state))}


def left(bed: Bed, host: str) -> list[str]:
    """What daemons have put into a host's kernel and does not change from run to run."""
    run = bed.hosts[host].namespace.run
    shown = [*run(["ip", "xfrm", "policy"]).stdout.splitlines(), *run(["ip", "rule"]).stdout.splitlines(),
             *run(["ip", "route", "show", "table", "all"]).stdout.splitlines()]
    links = re.findall(r"(?m)^\d+: ([\w-]+)", run(["ip", "-o", "link"]).stdout)
    return sorted(line.strip() for line in shown if re.search(r"^src 10|proto 206|dir (?:in|out|fwd)", line)) + links


@contextmanager
def watched(bed: Bed, tmp_path: Path) -> Iterator[None]:
    """Traffic both ways, and forged packets from outside for either LAN, none of which may be seen or arrive."""
    forger = ("import socket, struct, sys, time\n"
              "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
              "a = socket.inet_aton\n"
              "while True:\n"
              "    for source, target in (('10.2.0.2', '10.1.0.2'), ('10.1.0.2', '10.2.0.2')):\n"
              f"        body = struct.pack('>HHHH', 9, 9, {8 + len(SPOOFED)}, 0) + {SPOOFED!r}\n"
              "        ends = a(source) + a(target)\n"
              "        head = struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0) + ends\n"
              "        raw.sendto(head + body, (target, 0))\n"
              "    time.sleep(0.05)\n")
    streams = []
    captures = {name: Capture(namespace, interface, tmp_path / name) for name, namespace, interface in (
        ("outside", bed.router, "wan-hq"), ("lan-hq", bed.namespaces["lan-hq"], "lan"),
        ("lan-branch", bed.namespaces["lan-branch"], "lan"))}
    with captures["outside"], captures["lan-hq"], captures["lan-branch"]:
        for host in PEERS:
            argv = ["ping", "-n", "-q", "-i", "0.05", "-W", "1", LAN_HOSTS[PEERS[host]]]
            streams.append(subprocess.Popen([*bed.namespaces[f"lan-{host}"].entry, *argv], stdout=subprocess.DEVNULL))
        streams.append(subprocess.Popen([*bed.router.entry, "python3", "-c", forger]))
        try:
            yield
        finally:
            for stream in streams:
                stream.kill()
                stream.wait()
    outside = (tmp_path / "outside").read_bytes()
    assert outside.count(SPOOFED) > 5  # they were there
    assert count((frame for frame in frames(outside) if SPOOFED not in frame), bed.LANS).clear == 0
    for name in ("lan-hq", "lan-branch"):
        assert SPOOFED not in (tmp_path / name).read_bytes()


def seconds_since_the_start(bed: Bed, host: str) -> float:
    """Since its daemon last said that it serves: what starting costs depends on how busy this machine is."""
    argv = ["journalctl", "-u", "ikeengine", "-g", "ikeengine started", "-n", "1", "-o", "short-unix", "-q"]
    return time.time() - float(bed.hosts[host].run(argv).stdout.split()[0])


@pytest.mark.parametrize(("host", "killed", "other", "version"), [
    ("hq", "answer", "boot", 2), ("hq", "answer", "boot", 1), ("branch", "traffic", "traffic", 2)])
def test_killed_it_is_back_in_five_seconds_and_nothing_was_readable(bed: Bed, tmp_path: Path, host: str, killed: str,
                                                                    other: str, version: int) -> None:
    dataplane, peer = "kernel", PEERS[host]
    for end, start in ((host, killed), (peer, other)):
        declare(bed, end, ike_version=version, start=start, dataplane=dataplane)
    seconds_until_it_passes(bed, host, time.monotonic())
    settled(bed)
    before, spis = {end: left(bed, end) for end in PEERS}, states(bed, host)
    with watched(bed, tmp_path):
        killed_at = time.monotonic()
        bed.hosts[host].run(["systemctl", "kill", "-s", "KILL", "ikeengine"])
        # What the kernel holds goes on until a new daemon clears it away.
        while passes(bed, host) and not (states(bed, host) and states(bed, host).isdisjoint(spis)):
            assert time.monotonic() < killed_at + 30
        seconds = seconds_until_it_passes(bed, host, killed_at)
        after_start = seconds_since_the_start(bed, host)
    print(f"{dataplane}, IKEv{version}, {killed} killed, {other} at the other end: packets pass {seconds:.2f} s after "
          f"the kill, {after_start:.2f} s after the start")
    settled(bed)
    assert {end: left(bed, end) for end in PEERS} == before
    assert after_start < LIMIT_SECONDS


def test_a_restart_tells_the_peer_and_is_back_as_soon(bed: Bed, tmp_path: Path) -> None:
    for end, start in (("hq", "answer"), ("branch", "boot")):
        declare(bed, end, ike_version=2, start=start, dataplane="kernel")
    seconds_until_it_passes(bed, "hq", time.monotonic())
    settled(bed)
    before = {end: left(bed, end) for end in PEERS}
    with watched(bed, tmp_path):
        began = time.monotonic()
        bed.hosts["hq"].run(["systemctl", "restart", "ikeengine"])
        seconds = seconds_until_it_passes(bed, "hq", began)
        after_start = seconds_since_the_start(bed, "hq")
        bed.hosts["hq"].run(["systemctl", "stop", "ikeengine"])
        time.sleep(3)
        assert not passes(bed, "hq") and demo.ikectl(bed, "branch", "status")["gateways"][0]["state"] != "established"
        bed.hosts["hq"].run(["systemctl", "start", "ikeengine"])
        seconds_until_it_passes(bed, "hq", time.monotonic())
        after_a_stop = seconds_since_the_start(bed, "hq")
    print(f"packets pass {seconds:.2f} s after the order to restart, {after_start:.2f} s after the start; "
          f"after a stop {after_a_stop:.2f} s after the start")
    settled(bed)
    assert {end: left(bed, end) for end in PEERS} == before
    assert max(after_start, after_a_stop) < LIMIT_SECONDS


def test_a_declaration_that_changed_while_it_was_dead_leaves_nothing_of_the_one_before(bed: Bed,
                                                                                       tmp_path: Path) -> None:
    """More and fewer routes, another data plane and back: what stands is what a daemon that always ran would have."""
    for end in PEERS:
        declare(bed, end, ike_version=2, start="boot", dataplane="kernel")
    settled(bed)
    first = left(bed, "hq")
    with watched(bed, tmp_path):
        for dataplane, routes in (("kernel", 3), ("userspace", 3), ("userspace", 1), ("kernel", 1)):
            declare(bed, "branch", dataplane=dataplane, routes=routes)
            bed.hosts["hq"].run(["systemctl", "kill", "-s", "KILL", "ikeengine"])
            declare(bed, "hq", running=False, dataplane=dataplane, routes=routes)
            time.sleep(0.5)
            seconds_until_it_passes(bed, "hq", time.monotonic())
            bed.hosts["hq"].run(["ikectl", "reload"])  # systemd may have started it before the file was there
            settled(bed)
    assert left(bed, "hq") == first


@pytest.mark.parametrize("dataplane", ["kernel", "userspace"])
def test_the_first_packet_of_a_tunnel_that_starts_with_traffic_arrives(bed: Bed, dataplane: str) -> None:
    for end in PEERS:
        declare(bed, end, ike_version=2, start="traffic", dataplane=dataplane)
        bed.hosts[end].run(["ikectl", "down", PEERS[end]])
        bed.hosts[end].run(["systemctl", "restart", "ikeengine"])
    assert not demo.ikectl(bed, "hq", "status")["gateways"][0]["ike"]
    argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", LAN_HOSTS["branch"]]
    told = bed.namespaces["lan-hq"].run(argv, check=False).stdout
    print(told)
    assert "icmp_seq=1 ttl" in told and " 0% packet loss" in told
    settled(bed)
