# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP does not stall on a narrow path, and senders hear what fits: the userspace data plane."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ikeengine.dataplane.mtu import inner_mtu
from ikeengine.vpn.algorithms import authentication, encryption

from tests.integration.dataplane.conftest import DATA_PLANE, Net, Plane
from tests.integration.dataplane.traffic import announced_mss, eventually, mtu_heard, narrow, transfers
from tests.testbed.capture import Capture

pytestmark = pytest.mark.hosts

MEGABYTE = 1 << 20
FAR = {4: "10.2.0.2", 6: "2001:db8:2::2"}
NEAR = {4: "10.1.0.2", 6: "2001:db8:1::2"}
GATEWAY = {4: "10.1.0.1", 6: "2001:db8:1::1"}
HEADERS = {4: 40, 6: 60}


def inner(path_mtu: int, outer: int = 4) -> int:
    return inner_mtu(path_mtu, outer, encryption("AES-256"), authentication("SHA2-256"))


def joined(net: Net, device: str | None = None, **setup: object) -> list[Plane]:
    """``device`` is that of a route-based tunnel, of which one SA carries both families."""
    planes = [net.plane(name, device=device, **setup) for name in "ab"]
    for plane in planes:
        plane("protect", 0, 1)
    for step in ("add_inbound", "add_outbound"):
        for plane in planes:
            for route in (0, 1) if device is None else (0,):
                plane(step, route, 0)
    return planes


def fill(net: Net, version: int) -> None:
    """Send what fills a path of 1500 octets, which TCP may not do where the far end knows better."""
    net.ping("lan_a", FAR[version], 2, "-M", "do", "-s", str(inner(1500) - HEADERS[version] + 12))
    time.sleep(0.2)  # for the gateway to hear of it


def device_mtu(net: Net, name: str, device: str = "ike0") -> int:
    (link,) = json.loads(net[name].run(["ip", "-json", "link", "show", device]).stdout)
    return int(link["mtu"])


@pytest.mark.parametrize("device", [None, "vpn0"])
@pytest.mark.parametrize("version", [4, 6])
def test_both_ends_of_a_connection_hear_an_mss_that_fits(net: Net, tmp_path: Path, version: int, device: str | None,
                                                         ) -> None:
    joined(net, device)
    with Capture(net["lan_a"], "eth0", tmp_path / "a") as a, Capture(net["lan_b"], "eth0", tmp_path / "b") as b:
        assert transfers(net, "lan_a", "lan_b", FAR[version], MEGABYTE)
    assert announced_mss(a.path, FAR[version]) == inner(1500) - HEADERS[version]
    assert announced_mss(b.path, NEAR[version]) == inner(1500) - HEADERS[version]


@pytest.mark.parametrize("device", [None, "vpn0"])
def test_a_peer_that_does_not_clamp_is_clamped_for(net: Net, tmp_path: Path, device: str | None) -> None:
    """Only a's table stands; the segments that it sees of b's are the ones that b must send smaller."""
    joined(net, device)
    net["b"].run(["nft", "add", "table", "inet", f"ikeengine-{DATA_PLANE}", "{ flags dormant; }"])
    with Capture(net["lan_a"], "eth0", tmp_path / "a") as a, Capture(net["lan_b"], "eth0", tmp_path / "b") as b:
        assert transfers(net, "lan_a", "lan_b", FAR[4], MEGABYTE)
    assert announced_mss(a.path, FAR[4]) == announced_mss(b.path, NEAR[4]) == inner(1500) - 40


@pytest.mark.parametrize("version", [4, 6])
def test_a_sender_hears_what_fits(net: Net, version: int) -> None:
    joined(net)
    assert mtu_heard(net, "lan_a", FAR[version]) == inner(1500)
    assert mtu_heard(net, "a", FAR[version], GATEWAY[version]) == inner(1500)
    assert net.ping("lan_a", FAR[version], 2, "-M", "do", "-s", str(inner(1500) - HEADERS[version] + 12)) == 2


@pytest.mark.parametrize("device", [None, "vpn0"])
@pytest.mark.parametrize(("version", "path"), [(4, 1400), (6, 1280)])
def test_the_inner_mtu_follows_the_path(net: Net, version: int, path: int, device: str | None) -> None:
    joined(net, device)
    assert transfers(net, "lan_a", "lan_b", FAR[version], MEGABYTE)
    narrow(net, path)
    assert transfers(net, "lan_a", "lan_b", FAR[version], MEGABYTE)
    assert transfers(net, "lan_b", "lan_a", NEAR[version], MEGABYTE)
    fits = max(inner(path), 1280 if version == 6 else 0)
    fill(net, version)
    assert eventually(lambda: mtu_heard(net, "lan_a", FAR[version]) == fits)
    assert transfers(net, "lan_a", "lan_b", FAR[version], MEGABYTE)
    assert eventually(lambda: net.ping("lan_a", FAR[version], 2, "-s", "1400") == 2), "in pieces, as the sender learnt"


def test_one_narrow_path_costs_the_others_nothing(net: Net) -> None:
    """The device keeps its MTU; the routes of that peer alone have another."""
    joined(net)
    narrow(net, 1400)
    fill(net, 4)
    table = net["a"].run(["ip", "route", "show", "table", "all", "dev", "ike0"]).stdout
    assert f"10.2.0.0/24 table {0x1ce00} proto 206 scope link metric 1 mtu {inner(1400)}" in " ".join(table.split())
    assert device_mtu(net, "a") == inner(1500)


def test_a_new_sa_asks_for_the_path_anew(net: Net) -> None:
    a, b = joined(net)
    narrow(net, 1400)
    fill(net, 4)
    assert eventually(lambda: mtu_heard(net, "lan_a", FAR[4]) == inner(1400))
    narrow(net, 1500)
    net["a"].run(["ip", "route", "flush", "cache"])  # as it does by itself after ten minutes
    for step in ("add_inbound", "add_outbound"):
        for plane in (a, b):
            plane(step, 0, 1)
    net["lan_a"].run(["ip", "route", "flush", "cache"])
    assert mtu_heard(net, "lan_a", FAR[4]) == inner(1500)


def test_a_link_of_the_gateways_own_that_changes_is_noticed(net: Net) -> None:
    joined(net)
    for mtu in (1400, 1500):
        narrow(net, mtu)
        assert eventually(lambda mtu=mtu: heard_anew(net) == inner(mtu))


def heard_anew(net: Net) -> int | None:
    net["lan_b"].run(["ip", "route", "flush", "cache"])
    return mtu_heard(net, "lan_b", NEAR[4])


def test_the_device_of_a_route_based_tunnel_keeps_its_mtu_and_tcp_fits_whoever_routed_it(net: Net, tmp_path: Path,
                                                                                         ) -> None:
    """OSPF wants both ends' devices alike. What it has learnt has no MTU of its own, so TCP alone hears."""
    joined(net, "vpn0")
    narrow(net, 1400)
    fill(net, 4)
    assert eventually(lambda: mtu_heard(net, "lan_a", FAR[4]) == inner(1400))
    assert device_mtu(net, "a", "vpn0") == inner(1500)
    net["a"].ip("route add 10.2.0.2/32 dev vpn0 proto bird")
    with Capture(net["lan_b"], "eth0", tmp_path / "b") as b, Capture(net["lan_a"], "eth0", tmp_path / "a") as a:
        assert transfers(net, "lan_a", "lan_b", FAR[4], MEGABYTE)
    assert announced_mss(a.path, FAR[4]) == announced_mss(b.path, NEAR[4]) == inner(1400) - 40
