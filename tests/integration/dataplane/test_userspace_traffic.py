# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Userspace ESP between two gateways: what passes, what is seen on the wire, and what never leaves in clear."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.dataplane.conftest import MARKER
from tests.testbed.capture import Capture

pytestmark = pytest.mark.hosts


def counts_of(capture):
    return capture.counts(["10.1.0.0/24", "10.2.0.0/24"], marker=MARKER)


def join(*planes, route=0, generation=0):
    for plane in planes:
        plane("add_inbound", route, generation)
    for plane in planes:
        plane("add_outbound", route, generation)


STREAM = """
import hashlib, random, socket, sys
role, address = sys.argv[1:]
stream = random.Random(5).randbytes(1 << 20)
if role == "take":
    with socket.create_server((address, 5201), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        print("listening", flush=True)
        digest, octets = hashlib.sha256(), 0
        with server.accept()[0] as connection:
            while data := connection.recv(1 << 16):
                digest.update(data)
                octets += len(data)
        print(octets, digest.hexdigest() == hashlib.sha256(stream * 16).hexdigest())
else:
    with socket.create_connection((address, 5201)) as connection:
        for _ in range(16):
            connection.sendall(stream)
"""


def stream(source, target, address):
    """16 MiB over TCP: how many octets arrived, and whether they are the right ones."""
    words = [sys.executable, "-c", STREAM]
    with subprocess.Popen([*target.entry, *words, "take", address], stdout=subprocess.PIPE, text=True) as taker:
        assert taker.stdout.readline() == "listening\n"
        source.run([*words, "give", address])
        return taker.communicate(timeout=60)[0].split()


def echoes_received(namespace):
    """ICMP echo requests that reached this host's own stack since its namespace was made."""
    return int(namespace.run(["nstat", "-asz", "IcmpInEchos"]).stdout.split("IcmpInEchos")[1].split()[0])


@pytest.mark.parametrize(("encryption", "authentication", "esn"), [
    ("AES-256", "SHA2-256", False), ("AES-GCM-256", None, False), ("AES-128", "SHA1", True),
    ("ChaCha20-Poly1305", None, True)])
def test_lans_reach_each_other_through_esp_in_udp(net, tmp_path: Path, encryption, authentication, esn):
    suite = {"encryption": encryption, "authentication": authentication, "esn": esn}
    a, b = net.plane("a", **suite), net.plane("b", **suite)
    for plane in (a, b):
        plane("protect", 0)
        plane("protect", 1)
        plane("clear_leftovers")
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        join(a, b)
        join(a, b, route=1)
        assert net.ping("lan_a", "10.2.0.2", 5) == 5
        assert net.ping("lan_a", "2001:db8:2::2", 5) == 5
        assert net.ping("lan_a", "10.2.0.2", 2, "-s", "3000") == 2
        assert net.ping("a", "10.2.0.2", 2, "-I", "10.1.0.1") == 2
    counts = counts_of(capture)
    assert counts.clear == 0 and counts.protected >= 2 * 14
    packets_in, octets_in, packets_out, octets_out = b("counters", 0, 0)
    assert (packets_out, octets_out) == tuple(a("counters", 0, 0)[:2])
    assert (packets_in, octets_in) == tuple(a("counters", 0, 0)[2:])
    assert packets_in >= 11 and a("counters", 1, 0)[0] == 5
    assert a("drops") == b("drops") == {}


@pytest.mark.parametrize("offloads", [True, False])
def test_streams_arrive_whole_whether_forwarded_or_not_and_both_ends_count_the_same(net, offloads):
    suite = {"encryption": "AES-GCM-128", "authentication": None, "offloads": offloads}
    a, b = net.plane("a", **suite), net.plane("b", **suite)
    for plane in (a, b):
        for route in (0, 1):
            plane("protect", route)
    for route in (0, 1):
        join(a, b, route=route)
    for source, target, address in (("lan_a", "lan_b", "10.2.0.2"), ("lan_a", "lan_b", "2001:db8:2::2"),
                                    ("lan_b", "a", "10.1.0.1")):
        assert stream(net[source], net[target], address) == [str(16 << 20), "True"]
    for route in (0, 1):
        packets_in, octets_in, packets_out, octets_out = b("counters", route, 0)
        assert (packets_out, octets_out, packets_in, octets_in) == tuple(a("counters", route, 0))
        assert octets_in > 16 << 20 and packets_in > (16 << 20) / 1500


ECHO = """
import random, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(10)
if sys.argv[1] == "answer":
    sock.bind(("10.2.0.2", 7))
    print(flush=True)
    for _ in range(7):
        sock.sendto(*sock.recvfrom(65535))
else:
    sock.connect(("10.2.0.2", 7))
    for size in (0, 1, 999, 1393, 1394, 5000, 60000):
        data = random.randbytes(size)
        sock.send(data)
        assert sock.recv(65535) == data, size
"""


@pytest.mark.parametrize("offloads", [True, False])
def test_udp_and_pings_of_any_size_go_through(net, offloads):
    suite = {"encryption": "AES-GCM-128", "authentication": None, "offloads": offloads}
    a, b = net.plane("a", **suite), net.plane("b", **suite)
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    for size in ("0", "1", "1393", "1400", "3000"):
        assert net.ping("lan_a", "10.2.0.2", 2, "-s", size) == 2
    for name in ("a", "b"):
        net[name].ip("link set ike0 mtu 9000")  # somebody's, who knows what he does
    assert net.ping("a", "10.2.0.1", 2, "-I", "10.1.0.1", "-s", "8900") == 2
    with subprocess.Popen([*net["lan_b"].entry, sys.executable, "-c", ECHO, "answer"], stdout=subprocess.PIPE) as echo:
        assert echo.stdout.readline() == b"\n"
        net["lan_a"].run([sys.executable, "-c", ECHO, "ask"])
    assert a("drops") == b("drops") == {}


def test_without_an_sa_nothing_leaves_and_the_first_packets_wait(net, tmp_path: Path):
    a, b = net.plane("a"), net.plane("b")
    for plane in (a, b):
        plane("protect", 0)
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
        assert "Acquire(reqid=1)" in a("events")
        join(a, b)
        assert net.ping("lan_a", "10.2.0.2") == 3
    assert counts_of(capture).clear == 0
    assert a("counters", 0, 0)[2] == 5, "the two packets that waited were sent with the three that follow"


@pytest.mark.parametrize("forwarded", [True, False])
def test_clear_text_that_claims_to_come_from_the_remote_lan_is_dropped(net, forwarded):
    target = "10.1.0.2" if forwarded else "10.1.0.1"
    net["router"].ip("address add 10.2.0.99/32 dev lo")
    net["a"].ip("route add 10.2.0.0/24 via 192.0.2.254")
    assert net.ping("router", target, 2, "-I", "10.2.0.99") == 2, "without protection the router gets through"
    a = net.plane("a")
    a("protect", 0)
    victim = net["lan_a"] if forwarded else net["a"]
    before = echoes_received(victim)
    assert net.ping("router", target, 2, "-I", "10.2.0.99") == 0
    assert echoes_received(victim) == before


@pytest.mark.parametrize("family", [4, 6])
def test_a_dead_daemon_leaks_nothing_and_the_next_one_takes_over(net, tmp_path: Path, family):
    target = "10.2.0.2" if family == 4 else "2001:db8:2::2"
    a, b = net.plane("a"), net.plane("b")
    for plane in (a, b):
        plane("protect", 0)
        plane("protect", 1)
    join(a, b, route=family == 6)
    assert net.ping("lan_a", target) == 3
    a.kill()
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        assert net.ping("lan_a", target, 2) == 0
        a = net.plane("a")
        assert net.ping("lan_a", target, 2) == 0
        a("protect", 0)
        a("protect", 1)
        a("clear_leftovers")
    assert counts_of(capture).clear == 0
    join(a, b, route=family == 6, generation=1)
    assert net.ping("lan_a", target) == 3


@pytest.mark.parametrize(("source", "target"), [("10.1.0.1", "10.2.0.2"), ("2001:db8:1::1", "2001:db8:2::2")])
def test_the_gateways_own_traffic_goes_through(net, source, target):
    a, b = net.plane("a"), net.plane("b")
    for plane in (a, b):
        for route in (0, 1):
            plane("protect", route)
    for route in (0, 1):
        join(a, b, route=route)
    assert net.ping("a", target, 3, "-I", source) == 3
    assert net.ping("lan_b", source) == 3


def test_other_sources_go_their_own_way(net):
    a = net.plane("a")
    a("protect", 0)
    net["router"].ip("address add 10.2.0.99/32 dev lo")
    assert net.ping("a", "10.2.0.99", 2, "-I", "192.0.2.1") == 2
    assert net.ping("a", "10.2.0.99", 2, "-I", "10.1.0.1") == 0


def test_stop_keeps_the_protection_or_removes_every_trace(net):
    def traces() -> str:
        return "".join(net["a"].run(argv).stdout for argv in (
            ["ip", "rule"], ["ip", "-6", "rule"], ["ip", "route", "show", "table", "all"],
            ["ip", "-6", "route", "show", "table", "all", "type", "unreachable"], ["ip", "xfrm", "policy"]))

    fresh = traces()
    a = net.plane("a")
    a("protect", 0)
    a("protect", 1)
    a("stop", True)
    a.kill()
    assert "unreachable 10.2.0.0/24" in traces() and "action block" in traces()
    a = net.plane("a")
    a("protect", 0)
    a("clear_leftovers")
    assert "2001:db8:2::/64" not in traces(), "nobody wanted the second route again"
    a("stop", False)
    a.kill()
    assert traces() == fresh


def test_rekeying_loses_no_packet(net):
    a, b = net.plane("a"), net.plane("b")
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    sent = 0
    for generation in range(1, 4):
        join(a, b, generation=generation)
        assert net.ping("lan_a", "10.2.0.2") == 3
        for plane in (a, b):
            plane("remove", 0, generation - 1)
        assert net.ping("lan_a", "10.2.0.2") == 3
        assert a("counters", 0, generation)[2] == 6
        sent += 6
    assert sent == 18 and a("drops") == {}


def test_octet_limits_ask_for_a_rekey_and_then_stop(net):
    a, b = net.plane("a", kilobytes=10), net.plane("b", kilobytes=10)
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2", 12, "-s", "972") == 10
    assert [event for event in a("events") if "Expired" in event] == [
        "Expired(spi_in=3489660928, hard=False)", "Expired(spi_in=3489660928, hard=True)"]
    assert a("drops")["outbound_expired"] == 2


@pytest.mark.parametrize("strict", ["1", "2"])
def test_reverse_path_filtering_does_not_disturb(net, strict):
    net["a"].run(["sysctl", "-q", "-w", f"net.ipv4.conf.all.rp_filter={strict}",
                  f"net.ipv4.conf.default.rp_filter={strict}"])
    a, b = net.plane("a"), net.plane("b")
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2") == 3
    assert net.ping("lan_b", "10.1.0.1") == 3


def test_a_tunnel_changes_its_data_plane_and_its_policies_change_hands(net):
    """Policies need no ESP in the kernel, so that both data planes meet here."""
    def policies():
        return net["a"].run(["ip", "xfrm", "policy"]).stdout

    kernel = net.plane("a", plane="kernel")
    kernel("protect", 0)
    assert policies().count("reqid 484442113") == 3
    kernel.kill()
    userspace = net.plane("a")
    userspace("protect", 0)
    assert "reqid" not in policies() and policies().count("action block") == 3
    userspace.kill()
    kernel = net.plane("a", plane="kernel")
    kernel("clear_leftovers")
    assert policies().count("action block") == 3, "they are userspace's now"
    kernel("protect", 0)
    kernel.kill()
    userspace = net.plane("a")
    userspace("clear_leftovers")
    assert policies().count("reqid 484442113") == 3 and "action block" not in policies()


@pytest.mark.parametrize("by_hand", [
    "rule del priority 210", "route del 10.2.0.0/24 dev ike0 table 118272",
    "route del unreachable 10.2.0.0/24 table 118272", "link set ike0 down", "link del ike0"])
def test_what_somebody_took_away_is_told_and_put_up_again(net, by_hand):
    a, b = (net.plane(name) for name in "ab")
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    assert a("audit") == [] and net.ping("lan_a", "10.2.0.2") == 3
    net["a"].ip(by_hand)
    told = a("audit")
    assert told and all(row[1:] in (["there", "not there", None], ["up", "down", None], ["up", "gone", None])
                        for row in told)
    a("restore")
    assert a("audit") == [] and net.ping("lan_a", "10.2.0.2") == 3
    assert net.ping("lan_b", "10.1.0.2") == 3
