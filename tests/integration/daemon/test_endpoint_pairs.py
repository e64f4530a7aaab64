# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons, two cables between them, and packets all the time: one cable dies without a word, and comes back."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

pytestmark = pytest.mark.hosts

Node = Site = Any  # of conftest.py, which importlib mode keeps out of reach

EVERY = 0.02
"""Seconds between two packets."""
LONGEST_OUTAGE = 4.0
LONGEST_FAILBACK = 50.0
NOBODY = "02:00:00:00:00:99"
"""A hardware address that no card has."""


def ip(node: Node, *words: str) -> None:
    subprocess.run(["ip", "-n", node.namespace, *words], check=True, capture_output=True, text=True)


def second(node: Node) -> str:
    return f"198.51.100.{node.number}"


def second_cable(site: Site) -> None:
    subprocess.run(["ip", "link", "add", "out1", "netns", site.hq.namespace, "type", "veth", "peer", "name", "out1",
                    "netns", site.branch.namespace], check=True, capture_output=True, text=True)
    for node in (site.hq, site.branch):
        ip(node, "address", "add", f"{second(node)}/24", "dev", "out1")
        ip(node, "link", "set", "out1", "up")


def cut(site: Site) -> None:
    """The first cable's ends see nothing amiss, as where a router on the way has died."""
    for node, other in ((site.hq, site.branch), (site.branch, site.hq)):
        ip(node, "neigh", "replace", other.address, "lladdr", NOBODY, "dev", "out0", "nud", "permanent")


def mend(site: Site) -> None:
    for node, other in ((site.hq, site.branch), (site.branch, site.hq)):
        ip(node, "neigh", "delete", other.address, "dev", "out0")


def declare(node: Node, other: Node, **gateway: Any) -> None:
    node.declare(other, dead_peer_detection={"idle": "1s", "retries": 2}, endpoints=[
        {"local": {"address": near}, "remote": {"address": far}}
        for near, far in ((node.address, other.address), (second(node), second(other)))], **gateway)


class Stream:
    """Pings from LAN to LAN; ``answered`` has when each answer came, by its number."""

    def __init__(self) -> None:
        self.answered: dict[int, float] = {}

    @property
    def sent(self) -> int:
        """Up to the last that was answered: those behind it are on their way."""
        return max(self.answered)

    @property
    def lost(self) -> int:
        return self.sent - len(self.answered)

    @property
    def longest_outage(self) -> float:
        return max(later - earlier for earlier, later in pairwise(sorted(self.answered.values())))


@contextmanager
def stream(site: Site) -> Iterator[Stream]:
    seen = Stream()
    words = site.hq.command("ping", "-D", "-i", str(EVERY), "-I", site.hq.lan, site.branch.lan)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ping:
        yield seen
        time.sleep(0.2)
        ping.send_signal(2)
        told, _ = ping.communicate(timeout=30)
    seen.answered = {int(number): float(at) for at, number in re.findall(r"\[([\d.]+)\].* icmp_seq=(\d+) ttl", told)}


def in_use(node: Node) -> list[str]:
    return [row["local"].rpartition(":")[0] for row in node.ask("status")["gateways"][0]["ike"]]


def until(site: Site, address: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while in_use(site.hq) != [address]:
        assert time.monotonic() < deadline, site.hq.logged() + site.branch.logged()
        time.sleep(0.5)


def fail_over(site: Site, version: int) -> None:
    second_cable(site)
    options = {"ike_version": version, **({"mode": "main"} if version == 1 else {})}
    declare(site.hq, site.branch, **options)
    declare(site.branch, site.hq, start="answer", **options)
    site.branch.start()
    site.hq.start()
    site.hq.ask("up", "branch")
    assert in_use(site.hq) == [site.hq.address]
    with stream(site) as failover:
        time.sleep(2)
        cut(site)
        until(site, second(site.hq), 10)
        time.sleep(1)
    print(f"IKEv{version}: {failover.lost} packets lost, {failover.longest_outage:.2f} s without any")
    assert 1.0 < failover.longest_outage <= LONGEST_OUTAGE
    assert "gateway failed over" in site.hq.logged() and "is silent" in site.hq.logged()
    page = site.hq.ikectl("explain", "branch").stdout
    assert f"{second(site.branch)} as {second(site.branch)} (ip-address), in use" in page


def test_traffic_flows_again_soon_in_ikev1(site: Site) -> None:
    fail_over(site, 1)


def test_traffic_flows_again_soon_and_nothing_is_lost_on_the_way_back(site: Site) -> None:
    fail_over(site, 2)
    mend(site)
    with stream(site) as failback:
        until(site, site.hq.address, LONGEST_FAILBACK)
        time.sleep(7)
    print(f"{failback.lost} of {failback.sent} packets lost on the way back")
    assert failback.lost == 0 and failback.sent > 300
    for node in (site.hq, site.branch):
        assert in_use(node) == [node.address] and len(node.sas()) == 1
        assert "gateway failed back" in node.logged()
