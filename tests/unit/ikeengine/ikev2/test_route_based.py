# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels with an interface: what SAs are negotiated for, in both versions, and what a peer of another kind hears."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ikeengine.vpn.model import IkeVersion, Side, VirtualInterface

from tests.support.virtual_network import BRANCH, HQ, VirtualNetwork, branch, hq

BOTH_FAMILIES = ("169.254.0.1/30", "fd00::1/126")
V1 = {"ike_version": 1, "mode": "main"}


def routed(side: Side, addresses: tuple[str, ...] = BOTH_FAMILIES[:1], **changes: object) -> Side:
    """The side with an interface for its one tunnel."""
    (tunnel,) = side.tunnels
    interface = VirtualInterface("vpn0", addresses)
    return replace(side, tunnels=(replace(tunnel, **{"interface": interface, **changes}),))  # type: ignore[arg-type]


def carried(network: VirtualNetwork) -> list[list[list[str]]]:
    """Of either end and each of its SA pairs, what it carries."""
    return [sorted(sorted(str(row.negotiated) for row in child.routes) for child in end.inbound.values())
            for end in network.ends.values()]


def run(left: Side, right: Side, seconds: float = 30) -> VirtualNetwork:
    network = VirtualNetwork({HQ: left, BRANCH: right}, seed=11)
    network.start()
    network.run(seconds)
    return network


@pytest.mark.parametrize("routes", [(), None])
def test_its_sa_pair_is_for_everything_whatever_its_routes(routes):
    changes = {} if routes is None else {"routes": routes}
    network = run(routed(hq(), **changes), routed(branch(), **changes))
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0"]]] * 2
    assert [tunnel.state for end in network.ends.values() for tunnel in end.manager.overview.tunnels()] == ["up", "up"]


def test_with_ipv6_one_sa_pair_is_for_both_families():
    network = run(routed(hq(), BOTH_FAMILIES), routed(branch(), BOTH_FAMILIES))
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]]] * 2


@pytest.mark.parametrize("seed", range(8))
def test_both_ends_initiating_at_once_come_to_one_sa_pair(seed):
    network = VirtualNetwork({HQ: routed(hq(), BOTH_FAMILIES), BRANCH: routed(branch(), BOTH_FAMILIES)}, seed=seed)
    one, other = network.ends.values()
    one.manager.start(network.now)
    network.run(0.001 * (5 + 7 * seed))
    other.manager.start(network.now)
    network.run(30)
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]]] * 2


def test_a_tunnel_that_the_peer_has_not_yet_still_comes_to_one_sa_pair():
    """It refuses both families at first; that is no reason to ask for them one by one ever after."""
    there = routed(branch(), BOTH_FAMILIES)
    network = run(routed(hq(), BOTH_FAMILIES), replace(there, tunnels=()))
    assert carried(network) == [[], []] and network.ends[HQ].reasons
    network.ends[BRANCH].manager.reload(there, network.now)
    network.run(600)
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]]] * 2


def test_an_ipv6_route_asks_for_ipv6_as_well():
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("fd01::/64", "fd02::/64"))
    network = run(routed(hq(routes=routes)), routed(branch(routes=routes)))
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]]] * 2


def test_ikev1_has_an_sa_pair_for_each_family():
    network = run(routed(hq(gateway=V1), BOTH_FAMILIES), routed(branch(gateway=V1), BOTH_FAMILIES))
    assert network.ends[HQ].manager.overview.gateways()[0].ike[0].version == IkeVersion.V1.value
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0"], ["::/0 <-> ::/0"]]] * 2


@pytest.mark.parametrize("version", [{}, V1])
def test_a_policy_based_peer_is_refused_and_both_ends_say_why(version):
    network = run(routed(hq(gateway=version)), branch(gateway=version))
    assert carried(network) == [[], []]
    said = " ".join(reason for end in network.ends.values() for reason in end.reasons)
    assert "tunnel route: " in said and "0.0.0.0/0 <-> 0.0.0.0/0" in said


def test_a_peer_that_narrows_gets_no_sa_and_is_told_of_the_two_kinds():
    """The policy-based end is the responder, and grants what it has."""
    network = run(routed(hq()), branch(gateway={"start": "answer"}))
    assert carried(network) == [[], []]
    assert any("a route-based tunnel is for all traffic" in reason for reason in network.ends[HQ].reasons)


def test_other_addresses_routes_and_metric_leave_the_sa_alone():
    network = run(routed(hq()), routed(branch()))
    before = dict(network.ends[HQ].inbound)
    for changed in (routed(hq(), ("169.254.0.5/30",)), routed(hq(), routes=()),
                    routed(hq(), interface=VirtualInterface("vpn0", BOTH_FAMILIES[:1], 7))):
        network.ends[HQ].manager.reload(changed, network.now)
        network.run(30)
        assert network.ends[HQ].inbound == before


def test_another_name_of_the_interface_brings_another_sa():
    network = run(routed(hq()), routed(branch()))
    before = set(network.ends[HQ].inbound)
    network.ends[HQ].manager.reload(routed(hq(), interface=VirtualInterface("vpn1")), network.now)
    network.run(30)
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0"]]] * 2 and not before & set(network.ends[HQ].inbound)


def test_traffic_brings_it_up():
    network = VirtualNetwork({HQ: routed(hq(start="traffic"), BOTH_FAMILIES),
                              BRANCH: routed(branch(start="answer"), BOTH_FAMILIES)}, seed=5)
    network.start()
    network.run(5)
    assert carried(network) == [[], []]
    network.traffic()
    network.run(5)
    assert carried(network) == [[["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]]] * 2


def test_a_policy_based_tunnel_beside_it_keeps_its_own_traffic():
    def both(side: Side) -> Side:
        one, other = side.tunnels
        return replace(side, tunnels=(replace(one, interface=VirtualInterface("vpn0")), other))

    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.9.0/24", "10.2.9.0/24"))
    network = run(both(hq(routes=routes, tunnels=2)), both(branch(routes=routes, tunnels=2)))
    assert carried(network)[0] == [["0.0.0.0/0 <-> 0.0.0.0/0"], ["10.1.9.0/24 <-> 10.2.9.0/24"]]
