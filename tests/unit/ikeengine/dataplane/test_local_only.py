# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a wide route leaves alone."""

from __future__ import annotations

from collections.abc import Container

from ikeengine.dataplane.local_only import local_only, routed_into_devices
from ikeengine.vpn import declaration
from ikeengine.vpn.model import Side


def side(*tunnels: list[tuple[str, str]], interfaces: Container[int] = ()) -> Side:
    data = {
        "site": {"name": "hq"},
        "gateways": [{"name": f"g{number}", "credential": {"method": "psk", "psk": "correct horse battery staple"},
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": f"198.51.100.{number}"}}]}
                     for number in range(len(tunnels))],
        "tunnels": [{"name": f"t{number}", "gateway": f"g{number}",
                     "routes": [{"local": local, "remote": remote} for local, remote in routes],
                     **({"interface": {"name": f"vpn{number}"}} if number in interfaces else {})}
                    for number, routes in enumerate(tunnels)]}
    return declaration.read(data)


def of(declared: Side, tunnel: int = 0, route: int = 0) -> list[str]:
    its = declared.tunnels[tunnel]
    return list(map(str, local_only(declared, its, its.routes[route], routed_into_devices(declared))))


LINKS = ["169.254.0.0/16", "224.0.0.0/24", "255.255.255.255"]


def test_a_route_between_two_networks_leaves_nothing_out():
    assert of(side([("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.0.0/24")])) == []


def test_a_route_to_everywhere_leaves_out_the_networks_here_and_what_no_router_passes_on():
    declared = side([("10.1.0.0/24", "0.0.0.0/0"), ("10.1.1.0/24", "0.0.0.0/0"), ("2001:db8:1::/64", "::/0")])
    assert of(declared) == of(declared, route=1) == ["10.1.0.0/24", "10.1.1.0/24", *LINKS]
    assert of(declared, route=2) == ["2001:db8:1::/64", "fe80::/10", "ff02::/16"]


def test_a_route_from_everywhere_leaves_out_nothing():
    assert of(side([("0.0.0.0/0", "10.2.0.0/24")])) == []


def test_a_wide_route_need_not_be_to_everywhere():
    assert of(side([("10.1.0.0/24", "10.0.0.0/8")])) == ["10.1.0.0/24"]


def test_what_a_narrower_route_leads_to_is_not_here():
    """A hub: the branch's traffic to everywhere comes by the second tunnel and goes on by the first."""
    declared = side([("10.1.0.0/24", "0.0.0.0/0"), ("10.2.0.0/24", "0.0.0.0/0")],
                    [("10.1.0.0/24", "10.2.0.0/24"), ("0.0.0.0/0", "10.2.0.0/24")])
    assert of(declared) == of(declared, route=1) == ["10.1.0.0/24", *LINKS]


def test_a_virtual_interface_carries_what_is_routed_into_it():
    assert of(side([("10.1.0.0/24", "0.0.0.0/0")], interfaces=[0])) == []


def test_a_wide_route_leaves_out_what_is_routed_into_a_device_from_the_same_networks():
    declared = side([("10.1.0.0/24", "0.0.0.0/0"), ("2001:db8:1::/64", "::/0"), ("10.3.0.0/24", "0.0.0.0/0")],
                    [("10.1.0.0/24", "10.7.0.0/24"), ("2001:db8:1::/64", "2001:db8:7::/64")], interfaces=[1])
    assert of(declared) == ["10.1.0.0/24", "10.3.0.0/24", *LINKS, "10.7.0.0/24"]
    assert of(declared, route=1)[-1] == "2001:db8:7::/64"
    assert "10.7.0.0/24" not in of(declared, route=2), "which has them for its own networks"
    assert of(declared, tunnel=1) == []
