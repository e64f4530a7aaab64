# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tunnel route of the kernel's data plane carries. ``test_xfrm_in_uml`` runs this inside User-Mode Linux, whose
kernel has no nf_tables."""

from __future__ import annotations

from itertools import product

import pytest
from ikeengine.dataplane.mtu import inner_mtu
from ikeengine.vpn.algorithms import authentication, encryption

from tests.integration.dataplane.conftest import built, left_as_it_was
from tests.integration.dataplane.traffic import joined, mtu_heard, narrow, split, transfers

ROUTES = [["10.1.0.0/24", "10.2.0.0/24"], ["2001:db8:1::/64", "2001:db8:2::/64"]]


@pytest.fixture(scope="module")
def bed():
    with built() as made:
        yield made


@pytest.fixture
def net(bed):
    with left_as_it_was(bed):
        yield bed


@pytest.mark.parametrize("encapsulated", [False, True], ids=["raw", "in UDP"])
def test_senders_hear_what_fits_the_path_and_tcp_does_not_stall(net, encapsulated):
    """The kernel does it by itself, and learns of a narrower path as well from errors to ESP as to UDP."""
    joined(net, ROUTES, plane="kernel", encapsulated=encapsulated)
    cbc = encryption("AES-256"), authentication("SHA2-256"), encapsulated
    assert mtu_heard(net, "lan_a", "10.2.0.2") == inner_mtu(1500, 4, *cbc)
    assert mtu_heard(net, "lan_a", "2001:db8:2::2") == inner_mtu(1500, 4, *cbc)
    try:
        narrow(net, 1400)
        assert transfers(net, "lan_a", "lan_b", "10.2.0.2", 1 << 20)
        assert mtu_heard(net, "a", "10.2.0.2", "10.1.0.1") == inner_mtu(1400, 4, *cbc)
        assert mtu_heard(net, "lan_a", "10.2.0.2") == inner_mtu(1400, 4, *cbc)
        assert transfers(net, "lan_a", "lan_b", "2001:db8:2::2", 1 << 20)
        narrow(net, 1280)
        assert transfers(net, "lan_a", "lan_b", "10.2.0.2", 1 << 20)
        assert mtu_heard(net, "lan_a", "10.2.0.2") == inner_mtu(1280, 4, *cbc)
    finally:
        narrow(net, 1500)
        for name, version in product(("a", "lan_a"), ("-4", "-6")):
            net[name].run(["ip", version, "route", "flush", "cache"])


def test_a_range_and_a_narrower_route_share_a_prefix(net):
    try:
        split(net, plane="kernel")
    finally:
        net["lan_b"].ip("address delete 10.2.0.130/24 dev eth0")


def directions(net):
    """How many policies the gateway has, but for those of its sockets."""
    return net["a"].run(["ip", "xfrm", "policy"]).stdout.count("\tdir ")


def test_a_tunnel_to_everywhere_leaves_the_site_its_own_networks(net):
    near = ["10.1.0.0/24", "224.0.0.0/24", "2001:db8:1::/64", "fe80::/10", "ff02::/16"]
    a, _ = joined(net, [["10.1.0.0/24", "0.0.0.0/0"], ["2001:db8:1::/64", "::/0"]], near=near, plane="kernel")
    for name, version in product(("a", "lan_a"), ("-4", "-6")):
        net[name].run(["ip", version, "neigh", "flush", "all"])
    for gateway, near_host, far_host in (("10.1.0.1", "10.1.0.2", "10.2.0.2"),
                                         ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::2")):
        assert net.ping("lan_a", gateway, 2) == net.ping("a", near_host, 2) == 2
        assert net.ping("lan_a", far_host, 2) == net.ping("lan_b", near_host, 2) == net.ping("lan_b", gateway, 2) == 2
        assert net.ping("a", far_host, 2, "-I", gateway) == 2
    assert a("counters", 0, 0)[::2] == a("counters", 1, 0)[::2] == [8, 8]
    before = directions(net)
    assert before == 3 * (2 + 5)
    a.kill()
    userspace = net.plane("a", plane="userspace")
    userspace("clear_leftovers")
    assert directions(net) == before, "what lets pass without a template is the kernel's"
    userspace.kill()
    net.plane("a", plane="kernel")("stop", False)
    assert directions(net) == 0


@pytest.mark.parametrize("encapsulated", [False, True], ids=["raw", "in UDP"])
def test_either_family_inside_of_ipv6(net, encapsulated):
    ends = {"local": "2001:db8:a::1", "remote": "2001:db8:b::1"}
    a, b = joined(net, ROUTES, ends=ends, plane="kernel", encapsulated=encapsulated)
    assert net.ping("lan_a", "10.2.0.2") == net.ping("lan_b", "2001:db8:1::2") == 3
    assert net.ping("lan_b", "10.1.0.1", 2) == net.ping("a", "2001:db8:2::1", 2, "-I", "2001:db8:1::1") == 2
    assert a("counters", 0, 0)[::2] == b("counters", 0, 0)[::2] == [5, 5] == a("counters", 1, 0)[::2]
