# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that is killed, and started again by whoever watches over it: real processes, userspace ESP."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.capture import Capture
from tests.testbed.network import Namespace

pytestmark = pytest.mark.hosts

Site = Any  # of conftest.py, which importlib mode keeps out of reach
Node = Any
LANS = ("10.1.0.0/16", "10.2.0.0/16")
RESTART_SECONDS = 0.1


def kill_and_restart(node: Node) -> float:
    """SIGKILL, and what systemd does after it; gives when it was."""
    node.process.kill()
    node.process.wait()
    killed_at = time.monotonic()
    time.sleep(RESTART_SECONDS)
    node.start()
    return killed_at


def seconds_until_packets_pass(site: Site, since: float) -> float:
    while True:
        words = site.hq.command("ping", "-q", "-c", "1", "-W", "0.1", "-I", site.hq.lan, site.branch.lan)
        if subprocess.run(words, capture_output=True, timeout=10).returncode == 0:
            return time.monotonic() - since
        assert time.monotonic() < since + 60, site.hq.logged() + site.branch.logged()


def installed(node: Node) -> list[str]:
    """All that it has put into its namespace's kernel: rules, routes, policies and devices."""
    shown = ""
    for words in (("rule",), ("route", "show", "table", "all"), ("xfrm", "policy", "list")):
        shown += subprocess.run(node.command("ip", *words), capture_output=True, text=True, check=True).stdout
    links = subprocess.run(node.command("ip", "-o", "link"), capture_output=True, text=True, check=True).stdout
    return sorted(re.findall(r"(?m)^.*(?:proto 206|10\.\d\.0\.0/24).*$", shown) + re.findall(r"(?m)^\d+: (\w+)", links))


@pytest.mark.parametrize(("version", "killed", "starts"), [
    (2, "hq", {"hq": "boot", "branch": "answer"}),
    (2, "branch", {"hq": "boot", "branch": "answer"}),
    (1, "branch", {"hq": "boot", "branch": "answer"}),
    (2, "branch", {"hq": "traffic", "branch": "traffic"}),
], ids=["who keeps up", "who answers", "who answers, IKEv1", "on traffic"])
def test_killed_it_is_back_in_five_seconds_and_nothing_was_readable(site: Site, tmp_path: Path, version: int,
                                                                    killed: str, starts: dict[str, str]) -> None:
    nodes = {"hq": site.hq, "branch": site.branch}
    for name, other in (("hq", "branch"), ("branch", "hq")):
        nodes[name].declare(nodes[other], ike_version=version, start=starts[name])
    site.branch.start()
    site.hq.start()
    seconds_until_packets_pass(site, time.monotonic())
    before = {name: installed(node) for name, node in nodes.items()}
    with Capture(Namespace(site.hq.namespace), "out0", tmp_path / "pcap") as capture:
        streams = [subprocess.Popen(near.command("ping", "-q", "-i", "0.02", "-W", "1", "-I", near.lan, far.lan),
                                    stdout=subprocess.DEVNULL) for near, far in ((site.hq, site.branch),
                                                                                 (site.branch, site.hq))]
        try:
            killed_at = kill_and_restart(nodes[killed])
            seconds = seconds_until_packets_pass(site, killed_at)
        finally:
            for stream in streams:
                stream.kill()
                stream.wait()
    print(f"IKEv{version}, {killed} killed, hq {starts['hq']}, branch {starts['branch']}: "
          f"packets pass {seconds:.2f} s after the kill")
    counts = capture.counts(LANS)
    assert counts.clear == 0 and counts.esp_in_udp > 0
    assert seconds < 5
    deadline = time.monotonic() + 20
    while any(len(node.sas()) != 1 or node.ask("status")["gateways"][0]["state"] != "established"
              for node in nodes.values()):
        assert time.monotonic() < deadline, site.hq.logged() + site.branch.logged()
        time.sleep(0.1)
    assert {name: installed(node) for name, node in nodes.items()} == before
