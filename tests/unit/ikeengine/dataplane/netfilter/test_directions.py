# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open a connection over which route."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ikeengine.dataplane.interface import Protection
from ikeengine.dataplane.netfilter.directions import verdicts
from ikeengine.vpn.model import Direction, Protocol, Route
from ikeengine.vpn.selectors import Selector

HQ, BRANCH = "10.1.0.0/24", "10.2.0.0/24"


def route(local: str, remote: str, direction: str = "both") -> Route:
    return Route(Selector.parse(local), Selector.parse(remote), Direction(direction))


def protection(local: str, remote: str, direction: str = "both", *local_only: str, routed: tuple[Route, ...] = (),
               device: str | None = None) -> Protection:
    return Protection("lan", route(local, remote, direction), 1, Protocol.ESP, ip_address("192.0.2.1"),
                      ip_address("198.51.100.1"), tuple(map(Selector.parse, local_only)), routed, device)


def may_open(protections: list[Protection], source: str, destination: str, *, comes_by: str = "eth0",
             leaves_by: str = "eth1") -> bool:
    """As the chain has it: the first that fits decides, and what none fits goes on."""
    ends = Selector.parse(source), Selector.parse(destination)
    return next((not row.drop for row in verdicts(protections)
                 if row.source.contains(ends[0]) and row.destination.contains(ends[1])
                 and row.comes_by in (None, comes_by) and row.leaves_by in (None, leaves_by)), True)


def test_where_no_route_has_a_direction_nothing_is_looked_at():
    assert verdicts([protection(HQ, BRANCH), protection("10.1.0.2", "10.2.0.2")]) == []


@pytest.mark.parametrize(("direction", "out", "back"), [
    ("local-to-remote", True, False), ("remote-to-local", False, True)])
def test_one_side_opens(direction: str, out: bool, back: bool):
    routes = [protection(HQ, BRANCH, direction)]
    assert (may_open(routes, "10.1.0.2", "10.2.0.2"), may_open(routes, "10.2.0.2", "10.1.0.2")) == (out, back)
    assert may_open(routes, "10.3.0.2", "10.1.0.2") and len(verdicts(routes)) == 1, "and nobody else is meant"


def test_the_narrower_route_decides_in_whatever_order_they_are_declared():
    routes = [protection("10.0.0.0/8", "0.0.0.0/0", "local-to-remote", "10.0.0.0/8"),
              protection("10.1.0.0/24", "10.200.0.0/16", "remote-to-local"),
              protection("10.1.0.2", "10.200.0.5-10.200.0.7"), protection("172.16.0.0/12", "192.168.0.0/16")]
    for order in (routes, routes[::-1]):
        assert may_open(order, "10.1.0.2", "10.200.0.6") and may_open(order, "10.200.0.6", "10.1.0.2")
        assert not may_open(order, "10.1.0.2", "10.200.0.9") and may_open(order, "10.200.0.9", "10.1.0.2")
        assert may_open(order, "10.5.0.1", "203.0.113.9") and not may_open(order, "203.0.113.9", "10.5.0.1")
        assert may_open(order, "10.5.0.1", "10.6.0.1"), "which stays at home"
    assert not any("172.16" in str(row.source) for row in verdicts(routes)), "which is in none that has a direction"


def test_while_a_route_changes_its_direction_the_stricter_of_the_two_holds():
    old, new = protection(HQ, BRANCH), protection(HQ, BRANCH, "local-to-remote")
    for order in ([old, new], [new, old]):
        assert not may_open(order, "10.2.0.2", "10.1.0.2")


def test_the_routes_of_a_virtual_interface_have_their_own_directions():
    routed = (route(HQ, BRANCH, "local-to-remote"), route(HQ, "10.3.0.0/24"))
    routes = [protection("0.0.0.0/0", "0.0.0.0/0", routed=routed, device="vpn0")]
    assert not may_open(routes, "10.2.0.2", "10.1.0.2", comes_by="vpn0")
    assert may_open(routes, "10.3.0.2", "10.1.0.2", comes_by="vpn0")


@pytest.mark.parametrize("direction", ["local-to-remote", "remote-to-local"])
def test_a_direction_of_an_interfaces_route_is_about_what_goes_through_the_interface(direction: str):
    """Another way may lead to the same networks, and the route may be one to everywhere."""
    routes = [protection("0.0.0.0/0", "0.0.0.0/0", routed=(route(HQ, "0.0.0.0/0", direction),), device="vpn0"),
              protection("0.0.0.0/0", "0.0.0.0/0", routed=(route(HQ, "10.2.0.0/24"),), device="vpn1")]
    for source, destination in (("10.2.0.2", "10.1.0.2"), ("10.1.0.2", "10.2.0.2"), ("10.1.0.2", "10.1.0.3")):
        for by in ({}, {"comes_by": "vpn1"}, {"leaves_by": "vpn1"}):
            assert may_open(routes, source, destination, **by)
    assert may_open(routes, "10.1.0.2", "10.2.0.2", leaves_by="vpn0") is (direction == "local-to-remote")
    assert may_open(routes, "10.2.0.2", "10.1.0.2", comes_by="vpn0") is (direction == "remote-to-local")


def test_what_comes_by_an_interface_has_its_own_direction_beside_a_wide_route():
    routes = [protection(HQ, "0.0.0.0/0", "local-to-remote", "10.2.0.0/24"),
              protection("0.0.0.0/0", "0.0.0.0/0", routed=(route(HQ, BRANCH, "remote-to-local"),), device="vpn0")]
    for order in (routes, routes[::-1]):
        assert may_open(order, "10.2.0.2", "10.1.0.2", comes_by="vpn0")
        assert not may_open(order, "10.1.0.2", "10.2.0.2", leaves_by="vpn0")
        assert not may_open(order, "10.3.0.2", "10.1.0.2")
