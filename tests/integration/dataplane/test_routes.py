# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tunnel route of the userspace data plane carries, and who may begin."""

from __future__ import annotations

import re

import pytest

from tests.integration.dataplane.conftest import Net
from tests.integration.dataplane.traffic import connects, joined, split

pytestmark = pytest.mark.hosts

LANS = ["10.1.0.0/24", "10.2.0.0/24"]
SIX = ["2001:db8:1::/64", "2001:db8:2::/64"]


def rules(net: Net, name: str) -> str:
    return net[name].run(["nft", "list", "ruleset"]).stdout


@pytest.mark.parametrize(("lans", "near", "far"), [
    (LANS, "10.1.0.2", "10.2.0.2"), (SIX, "2001:db8:1::2", "2001:db8:2::2")], ids=["IPv4", "IPv6"])
def test_one_side_opens_connections_and_answers_flow_back(net: Net, lans: list[str], near: str, far: str) -> None:
    a, b = joined(net, [[*lans, "local-to-remote"]])
    assert connects(net, "lan_a", "lan_b", far) and not connects(net, "lan_b", "lan_a", near)
    assert (net.ping("lan_a", far), net.ping("lan_b", near)) == (3, 0)
    assert b("drops")["wrong_direction"] >= 4, "three pings and a SYN at least, at the end that they come from"
    assert "wrong_direction" not in a("drops"), "so none of them reached the other"


def test_each_end_sees_to_it_alone(net: Net) -> None:
    """The peer's filter is its own affair."""
    a, b = joined(net, [[*LANS, "local-to-remote"]], mirrored=[[*reversed(LANS)]])
    assert not connects(net, "lan_b", "lan_a", "10.1.0.2") and connects(net, "lan_a", "lan_b", "10.2.0.2")
    assert a("drops")["wrong_direction"] >= 1 and "wrong_direction" not in b("drops")


def test_the_gateways_own_traffic_has_the_direction_too(net: Net) -> None:
    joined(net, [[*LANS, "local-to-remote"]])
    assert net.ping("a", "10.2.0.2", 2, "-I", "10.1.0.1") == 2
    assert net.ping("a", "10.2.0.1", 2, "-I", "10.1.0.1") == 2
    assert net.ping("lan_b", "10.1.0.1", 2) == net.ping("b", "10.1.0.1", 2, "-I", "10.2.0.1") == 0


def test_a_narrower_route_has_its_own_direction(net: Net) -> None:
    narrow = ["10.1.0.2", "10.2.0.2"]
    joined(net, [[*LANS, "local-to-remote"], narrow])
    assert net.ping("lan_b", "10.1.0.2", 2) == net.ping("lan_a", "10.2.0.2", 2) == 2
    assert net.ping("lan_b", "10.1.0.1", 2) == 0
    assert net.ping("a", "10.2.0.2", 2, "-I", "10.1.0.1") == 2


def test_a_direction_stands_without_the_daemon_and_goes_with_the_tunnel(net: Net) -> None:
    a, _ = joined(net, [[*LANS, "local-to-remote"]])
    a.kill()
    assert "10.2.0.0-10.2.0.255" in rules(net, "a")
    a = net.plane("a", routes=[[*LANS, "local-to-remote"], SIX])
    assert "10.2.0.0-10.2.0.255" in rules(net, "a")
    a("protect", 1)
    a("clear_leftovers")
    assert "10.2.0.0-10.2.0.255" not in rules(net, "a") and "ct direction" not in rules(net, "a")
    a("protect", 0)
    a("unprotect", 0)
    assert "ct direction" not in rules(net, "a"), "nothing is tracked where no route has a direction"
    a("stop", False)
    assert rules(net, "a") == ""
    a.kill()


def test_what_somebody_flushes_comes_back(net: Net) -> None:
    joined(net, [[*LANS, "local-to-remote"]])
    before = rules(net, "b")
    assert "ct direction reply" in before
    net["b"].run(["nft", "flush", "ruleset"])
    assert net.ping("lan_b", "10.1.0.2", 2) == 0
    assert net.ping("lan_a", "10.2.0.2", 2) == 2
    assert re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", rules(net, "b")) == before


def test_a_tunnel_to_everywhere_leaves_the_site_its_own_networks(net: Net) -> None:
    """10.1.0.0/24 and 10.1.1.0/24 lie behind a; all else, and 10.2.0.0/24 with it, goes to b."""
    net["a"].ip("addr add 10.1.1.1/24 dev lo")
    near = ["10.1.0.0/24", "10.1.1.0/24", "169.254.0.0/16", "224.0.0.0/24"]
    a, _ = joined(net, [["10.1.0.0/24", "0.0.0.0/0"], ["10.1.1.0/24", "0.0.0.0/0"]], near=near)
    assert net.ping("lan_a", "10.1.0.1", 2) == net.ping("a", "10.1.0.2", 2) == net.ping("lan_a", "10.1.1.1", 2) == 2
    assert net.ping("a", "10.1.0.2", 2, "-I", "10.1.1.1") == 2
    assert net.ping("lan_a", "10.2.0.2", 2) == net.ping("lan_b", "10.1.0.2", 2) == 2
    assert a("counters", 0, 0) == [4, 336, 4, 336]


def test_a_tunnel_to_everywhere_in_ipv6_leaves_neighbours_findable(net: Net) -> None:
    joined(net, [["2001:db8:1::/64", "::/0"]], near=["2001:db8:1::/64", "fe80::/10", "ff02::/16"])
    for name in ("a", "lan_a"):
        net[name].run(["ip", "-6", "neigh", "flush", "all"])
    assert net.ping("a", "2001:db8:1::2", 2) == net.ping("lan_a", "2001:db8:1::1", 2) == 2
    assert net.ping("lan_a", "2001:db8:2::2", 2) == 2


@pytest.mark.parametrize("target", ["2001:db8:1::1", "2001:db8:1::2", "10.1.0.1", "10.1.0.2"])
def test_clear_text_from_outside_reaches_nobody(net: Net, target: str) -> None:
    a = net.plane("a")
    net["router"].ip("address add 10.2.0.99/32 dev lo", "address add 2001:db8:2::99/128 dev lo")
    source = "2001:db8:2::99" if ":" in target else "10.2.0.99"
    victim = net["lan_a"] if target.endswith("2") else net["a"]
    net["router"].ip("route add 2001:db8:1::1/128 via 2001:db8:a::1", "route add 10.1.0.1/32 via 192.0.2.1")
    before = echoes(victim)
    a("protect", 0, 1)
    net.ping("router", target, 2, "-I", source)
    assert echoes(victim) == before
    if target == "2001:db8:1::1":
        assert a("drops") == {"inbound_clear": 2}


def echoes(namespace) -> tuple[int, ...]:
    """ICMP and ICMPv6 echo requests that reached this host's own stack."""
    printed = namespace.run(["nstat", "-asz", "IcmpInEchos", "Icmp6InEchos"]).stdout
    return tuple(int(printed.split(name)[1].split()[0]) for name in ("IcmpInEchos", "Icmp6InEchos"))


def test_a_range_and_a_narrower_route_share_a_prefix(net: Net) -> None:
    split(net)


@pytest.mark.parametrize("version", [4, 6])
def test_either_family_inside_of_either(net: Net, version: int) -> None:
    ends = {"local": "192.0.2.1", "remote": "198.51.100.1"} if version == 4 else {
        "local": "2001:db8:a::1", "remote": "2001:db8:b::1"}
    a, b = joined(net, [LANS, SIX], ends=ends)
    assert net.ping("lan_a", "10.2.0.2") == net.ping("lan_b", "2001:db8:1::2") == 3
    assert net.ping("lan_b", "10.1.0.1", 2) == net.ping("a", "2001:db8:2::1", 2, "-I", "2001:db8:1::1") == 2
    assert net.ping("lan_a", "10.2.0.2", 1, "-s", "3000") == 1
    assert a("counters", 0, 0)[::2] == b("counters", 0, 0)[::2] and a("counters", 1, 0)[::2] == [5, 5]


def test_a_range_of_ipv6_is_what_it_says(net: Net) -> None:
    """2001:db8:2::2 to ::5 is no prefix: ::1 and ::6 are outside."""
    net["lan_b"].ip("address add 2001:db8:2::5/64 dev eth0 nodad", "address add 2001:db8:2::6/64 dev eth0 nodad")
    a, _ = joined(net, [["2001:db8:1::/64", "2001:db8:2::2-2001:db8:2::5"]])
    assert net.ping("lan_a", "2001:db8:2::2", 2) == net.ping("lan_a", "2001:db8:2::5", 2) == 2
    assert a("counters", 0, 0)[2] == 4
    net.ping("lan_a", "2001:db8:2::6", 2)
    assert a("counters", 0, 0)[2] == 4
