# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A head office, a branch, and the road between them: NATs whose mappings move, uplinks that change."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .network import Namespace, ip

HEAD, HEAD_LAN = "192.0.2.1", "10.1.0.1"
BRANCH_LAN = "10.2.0.1"
#: The branch's uplinks: device, address, router.
UPLINKS = (("wan", "198.51.100.11", "198.51.100.1"), ("lte", "203.0.113.22", "203.0.113.1"))
#: Where the NAT shows the branch.
PUBLIC = ("192.0.2.71", "192.0.2.72")
PINGS_PER_SECOND = 100


class Road:
    """Three namespaces: `head` - `router` - `branch`. The branch has one uplink at a time, or none."""

    def __init__(self, tag: str) -> None:
        self.head, self.router, self.branch = (Namespace(f"{tag}{end}") for end in ("h", "r", "b"))
        self._shown_as: tuple[str, str] | None = None

    def build(self) -> None:
        for namespace in (self.head, self.router, self.branch):
            namespace.create()
        ip(f"link add wan netns {self.head.name} type veth peer name head netns {self.router.name}")
        self.head.ip(f"address add {HEAD}/24 dev wan", f"address add {HEAD_LAN}/32 dev lo", "link set wan up",
                     "route add default via 192.0.2.254")
        # An address of a host's length is no NAT's choice.
        self.router.ip("address add 192.0.2.254/32 dev head", "link set head up", f"route add {HEAD}/32 dev head")
        for device, _address, router in UPLINKS:
            ip(f"link add {device} netns {self.branch.name} type veth peer name {device} netns {self.router.name}")
            self.router.ip(f"address add {router}/24 dev {device}", f"link set {device} up")
        self.branch.ip(f"address add {BRANCH_LAN}/32 dev lo")
        self.router.forward()

    def delete(self) -> None:
        for namespace in (self.head, self.router, self.branch):
            namespace.delete()

    def plug(self, uplink: int) -> None:
        """The branch is on that uplink, and on no other: its address there, its default route."""
        self.unplug()
        device, address, router = UPLINKS[uplink]
        self.branch.ip(f"address add {address}/24 dev {device}", f"link set {device} up",
                       f"route add default via {router}")

    def unplug(self) -> None:
        for device, _address, _router in UPLINKS:
            self.branch.ip(f"address flush dev {device}", f"link set {device} down")

    def translate(self, address: str, ports: str) -> None:
        """Show the branch under that address and ports (``20000-29999``), forgetting every mapping of before."""
        # A packet that came in between would have no mapping, or another, for as long as its flow lasts.
        self.router.forward(False)
        if self._shown_as is not None:
            # The kernel forgets the mappings of an address that goes.
            self._rule("-D", self._shown_as[1])
            self.router.ip(f"address delete {self._shown_as[0]}/24 dev head")
        self.router.ip(f"address add {address}/24 dev head")
        self._rule("-A", ports)
        self._shown_as = address, ports
        self.router.forward()

    def plain(self, uplink: int) -> None:
        """No NAT any more; the branch moves to that uplink, since what it had on the other would go on as it was."""
        assert self._shown_as is not None
        self._rule("-D", self._shown_as[1])
        self.router.ip(f"address delete {self._shown_as[0]}/24 dev head")
        self._shown_as = None
        self.plug(uplink)

    def _rule(self, action: str, ports: str) -> None:
        # Of the two programs the older one is the one that every kernel of ours has something for.
        self.router.run(["iptables-legacy", "-t", "nat", action, "POSTROUTING", "-o", "head", "-p", "udp", "-j",
                         "MASQUERADE", "--to-ports", ports])


@contextmanager
def road(tag: str) -> Iterator[Road]:
    """The road for as long as the context lasts."""
    made = Road(tag)
    try:
        made.build()
        yield made
    finally:
        made.delete()


def begin_pings(namespace: Namespace, source: str, target: str, seconds: float) -> "subprocess.Popen[str]":
    """For `longest_gap`."""
    interval = 1 / PINGS_PER_SECOND
    argv = [*namespace.entry, "ping", "-n", "-c", str(round(seconds * PINGS_PER_SECOND)), "-i", str(interval), "-W",
            "1", "-I", source, target]
    return subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def longest_gap(ping: "subprocess.Popen[str]") -> tuple[float, int, int]:
    """The longest time, in seconds, without a request that was answered, until the last one was sent; how many were
    sent, and how many of them lost."""
    printed = ping.communicate(timeout=120)[0]
    numbers = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", printed)]
    sent = int(re.search(r"(\d+) packets transmitted", printed)[1])  # type: ignore[index]
    gap = max(later - earlier for earlier, later in itertools.pairwise([0, *numbers, sent + 1]))
    return gap / PINGS_PER_SECOND, sent, sent - len(set(numbers))
