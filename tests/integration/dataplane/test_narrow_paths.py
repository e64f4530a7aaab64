# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a path that becomes narrower, and what that costs, each time in a network namespace of its own."""

from __future__ import annotations

import pytest
from ikeengine.dataplane.mtu import inner_mtu
from ikeengine.vpn.algorithms import authentication, encryption

from tests.integration.dataplane.test_half_done import told

pytestmark = pytest.mark.hosts

WATCH = """
import struct
from ipaddress import IPv4Address
from ikeengine.dataplane.path_mtu import PathMtuWatch

shell("ip link set lo up")
readers, later, heard = [], [], []
watch = PathMtuWatch(lambda _fd, call: readers.append(call), nothing, lambda _seconds, call: later.append(call),
                     heard.append)
forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def forge(quoted):
    forger.sendto(struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + b"E" + bytes(15) + IPv4Address(quoted).packed + bytes(8),
                  ("127.0.0.1", 0))
def run():
    for _round in range(20):
        for call in readers:
            call()
    timers, later[:] = later[:], []
    for call in timers:
        call()
    return len(timers)
"""
PLANE = """
from ipaddress import IPv4Address
from ikeengine.dataplane.interface import Protection
from ikeengine.dataplane.userspace import dataplane as module
from ikeengine.security_association import ChildSa, CoveredRoute, DirectionKeys, SocketAddress
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import Expiration, Protocol, Route
from ikeengine.vpn.selectors import Selector

shell("ip link add wan mtu 1400 type veth peer name far; ip link set far up; ip link set wan up; "
      "ip address add 192.0.2.1/24 dev wan")
asked = []
plane, ask = userspace(), module.path_mtu
def count(local, remote):
    asked.append(str(remote))
    return ask(local, remote)
module.path_mtu = count
plane.start(nothing)
def route(number):
    return Route(Selector.parse("10.1.0.0/24"), Selector.parse(f"10.2.{number}.0/24" if number else "0.0.0.0/0"))
def protection(number, *near):
    return Protection("lan", route(number), number + 1, Protocol.ESP, IPv4Address("192.0.2.1"),
                      IPv4Address("192.0.2.2"), tuple(map(Selector.parse, near)))
def up(number, peer="192.0.2.2"):
    plane.protect(protection(number))
    child = ChildSa("lan", "b", Protocol.ESP, algorithms.encryption("AES-256"), algorithms.authentication("SHA2-256"),
                    False, 1000 + number, 2000 + number, *[DirectionKeys(bytes(32), bytes(32))] * 2,
                    SocketAddress(IPv4Address("192.0.2.1"), 4500), SocketAddress(IPv4Address(peer), 4500), True,
                    (CoveredRoute(route(number), route(number), number + 1),), Expiration(28800, None))
    plane.add_inbound(child)
    plane.add_outbound(child)
def ways():
    return [line.split() for line in shell("ip route show table all dev ike0 proto 206").splitlines()]
"""


def test_errors_that_come_together_are_told_once() -> None:
    timers, addresses = told(WATCH + """
for number in range(300):
    forge(f"198.51.{number // 100}.{number % 100}")
timers = run()
print(json.dumps([timers, [len(each) for each in heard]]))""")
    assert timers == len(addresses) == 1 and 100 < addresses[0] <= 300, "as many as the socket holds"


def test_only_a_link_of_another_mtu_is_worth_asking() -> None:
    assert told(WATCH + """
shell("ip link set lo down; ip link set lo up")
before = run()
shell("ip link set lo mtu 1400")
print(json.dumps([before, run(), heard]))""") == [0, 1, [None]]


def test_each_path_is_asked_for_once_and_none_that_no_sa_takes() -> None:
    assert told(PLANE + """
for number in range(1, 6):
    up(number)
up(6, "192.0.2.3")
asked.clear()
plane._fit_all({IPv4Address("192.0.2.2"), IPv4Address("203.0.113.7")})
one = list(asked)
asked.clear()
plane._fit_all(None)
print(json.dumps([one, sorted(asked)]))""") == [["192.0.2.2"], ["192.0.2.2", "192.0.2.3"]]


def test_a_reload_that_changes_what_is_near_leaves_the_route_as_narrow_as_its_path() -> None:
    before, after = told(PLANE + """
up(0)
before = ways()
plane.protect(protection(0, "10.1.0.0/24", "10.3.0.0/24"))
print(json.dumps([before, ways()]))""")
    assert before == after and before[0][-2] == "mtu" and int(before[0][-1]) < 1400


def test_a_device_that_somebody_deleted_does_not_stop_the_others() -> None:
    asked, mended = told(PLANE + """
up(1), up(2, "192.0.2.3")
shell("ip link delete ike0; ip link set wan mtu 1350")
asked.clear()
plane._fit_all(None)
first = len(asked)
plane.restore()
plane._fit_all(None)
print(json.dumps([first, ways()]))""")
    fits = inner_mtu(1350, 4, encryption("AES-256"), authentication("SHA2-256"))
    assert asked == 2 and [row[-2:] for row in mended] == [["mtu", str(fits)]] * 2
