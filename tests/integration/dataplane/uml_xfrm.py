# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The xfrm data plane on a kernel that has ESP and AH. ``test_xfrm_in_uml`` runs this inside User-Mode Linux."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.dataplane.conftest import MARKER, built, left_as_it_was
from tests.testbed.capture import Capture

SUITES = [
    {"encryption": "AES-GCM-256", "authentication": None},
    {"encryption": "AES-256", "authentication": "SHA2-256", "encapsulated": False},
    {"encryption": "AES-128", "authentication": "SHA2-512", "esn": True},
    {"protocol": "AH", "authentication": "SHA2-256", "encapsulated": False},
    {"protocol": "AH", "authentication": "SHA2-384", "encapsulated": False, "esn": True},
    {"encryption": "ChaCha20-Poly1305", "authentication": None, "encapsulated": False, "esn": True},
    {"encryption": "3DES", "authentication": "MD5", "encapsulated": False},
    {"encryption": "DES", "authentication": "SHA1"},
]


@pytest.fixture(scope="module")
def bed():
    with built() as made:
        yield made


@pytest.fixture
def net(bed):
    with left_as_it_was(bed):
        yield bed


def join(*planes, generation=0):
    for plane in planes:
        plane("add_inbound", 0, generation)
    for plane in planes:
        plane("add_outbound", 0, generation)


def pair(net, **setup):
    planes = [net.plane(name, plane="kernel", **setup) for name in "ab"]
    for plane in planes:
        plane("protect", 0)
        plane("clear_leftovers")
    return planes


def counts_of(capture, marker=MARKER):
    return capture.counts(["10.1.0.0/24", "10.2.0.0/24"], marker=marker)


def states(net, name):
    return net[name].run(["ip", "xfrm", "state"]).stdout


def test_the_kernel_can_do_every_algorithm_and_both_protocols(net):
    available, missing, extended = net.plane("a", plane="kernel")("probe")
    assert available and extended
    assert not set(missing) & {"AH", "AES-128", "AES-256", "AES-GCM-128", "AES-GCM-256", "SHA1", "SHA2-256", "SHA2-512"}
    assert states(net, "a") == "", "the throwaway states are gone"


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: "-".join(map(str, suite.values())))
def test_lans_reach_each_other(net, tmp_path, suite):
    a, b = pair(net, **suite)
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        join(a, b)
        assert net.ping("lan_a", "10.2.0.2", 5) == 5
        assert net.ping("a", "10.2.0.2", 2, "-I", "10.1.0.1") == 2
    counts = counts_of(capture)
    if suite.get("protocol") == "AH":
        assert counts_of(capture, marker=None).ah == 14, "AH protects what it leaves readable"
    else:
        assert (counts.protected, counts.clear) == (14, 0)
    packets_in, octets_in, packets_out, octets_out = a("counters", 0, 0)
    assert (packets_in, packets_out) == (7, 7)
    assert octets_in == octets_out == 7 * 84
    assert b("counters", 0, 0) == [7, 7 * 84, 7, 7 * 84]


def test_without_an_sa_nothing_leaves_and_an_acquire_comes(net, tmp_path):
    a, b = pair(net)
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
        assert a("events") == ["Acquire(reqid=1)"]
        join(a, b)
        assert net.ping("lan_a", "10.2.0.2") == 3
        for plane in (a, b):
            plane("remove", 0, 0)
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
        a.kill()
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
    assert counts_of(capture).clear == 0


@pytest.mark.parametrize("suite", [
    {}, {"encryption": "AES-GCM-128", "authentication": None, "esn": True},
    {"protocol": "AH", "authentication": "SHA2-512", "encapsulated": False, "esn": True},
], ids=["CBC", "GCM and ESN", "AH and ESN"])
def test_one_pair_carries_the_routes_of_both_families(net, tmp_path, suite):
    a, b = pair(net, joined=True, **suite)
    for plane in (a, b):
        plane("protect", 1)
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        join(a, b)
        assert (net.ping("lan_a", "10.2.0.2"), net.ping("lan_a", "2001:db8:2::2")) == (3, 3)
        assert a("counters", 0, 0)[::2] == b("counters", 0, 0)[::2] == [6, 6]
        assert "reqid 484442114" not in net["a"].run(["ip", "xfrm", "policy"]).stdout, "all lead to the one SA"
        join(a, b, generation=1)
        for plane in (a, b):
            plane("remove", 0, 0)
        assert (net.ping("lan_b", "10.1.0.2"), net.ping("lan_b", "2001:db8:1::2")) == (3, 3)
        a("remove", 0, 1)
        assert (net.ping("lan_a", "10.2.0.2", 2), net.ping("lan_a", "2001:db8:2::2", 2)) == (0, 0)
    assert a("events") == ["Acquire(reqid=1)", "Acquire(reqid=2)"], "each route asks for itself again"
    if suite.get("protocol") != "AH":
        assert counts_of(capture).clear == 0


def test_a_peer_that_may_be_anywhere_gets_nothing_until_its_sas_are_there(net, tmp_path):
    a, b = pair(net, anywhere=True)
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
        net["router"].ip("address add 10.2.0.99/32 dev lo")
        assert net.ping("router", "10.1.0.2", 2, "-I", "10.2.0.99") == 0
        net["router"].ip("address flush dev lo scope global")
        join(a, b)
        assert (net.ping("lan_a", "10.2.0.2"), net.ping("lan_b", "10.1.0.2")) == (3, 3)
        assert "tmpl src 192.0.2.1 dst 198.51.100.1" in net["a"].run(["ip", "xfrm", "policy"]).stdout
        for plane in (a, b):
            plane("remove", 0, 0)
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
        assert "tmpl src 192.0.2.1 dst 0.0.0.0" in net["a"].run(["ip", "xfrm", "policy"]).stdout
    assert counts_of(capture).protected == 16, "the first two requests as well, which waited for the SAs"
    assert counts_of(capture).clear == 2, "the forged request alone, which got no answer"


def test_clear_text_from_outside_is_dropped(net):
    pair(net)
    net["router"].ip("address add 10.2.0.99/32 dev lo")
    for target in ("10.1.0.1", "10.1.0.2"):
        assert net.ping("router", target, 2, "-I", "10.2.0.99") == 0
    dropped = int(net["a"].run(["cat", "/proc/net/xfrm_stat"]).stdout.split("XfrmInTmplMismatch")[1].split()[0])
    assert dropped >= 4, "both pings' requests, at least"


def test_allocated_spis_become_inbound_states(net):
    a, _ = pair(net)
    spis = {a("allocate_spi") for _ in range(8)}
    assert len(spis) == 8 and all(0xC0000000 <= spi <= 0xCFFFFFFF for spi in spis)
    assert states(net, "a").count("proto esp") == 8


def test_an_update_takes_a_larval_state_s_place(net):
    a, _ = pair(net)
    subprocess.run(["ip", "-n", net["a"].name, "xfrm", "state", "allocspi", "src", "198.51.100.1", "dst", "192.0.2.1",
                    "proto", "esp", "mode", "tunnel", "min", "0xd0000000", "max", "0xd0000000"], check=True,
                   stdout=subprocess.DEVNULL)
    a("add_inbound", 0, 0)
    assert states(net, "a").count("spi 0xd0000000") == 1 and "reqid 484442113" in states(net, "a")


def test_rekeying_loses_no_packet_and_leaves_no_state(net):
    a, b = pair(net)
    join(a, b)
    for generation in range(1, 4):
        join(a, b, generation=generation)
        assert net.ping("lan_a", "10.2.0.2") == 3
        for plane in (a, b):
            plane("remove", 0, generation - 1)
        assert net.ping("lan_a", "10.2.0.2") == 3
        assert a("counters", 0, generation)[2] == 6
    assert states(net, "a").count("proto esp") == 2
    a("remove", 0, 3)
    a("remove", 0, 3)
    assert states(net, "a") == ""


def test_octet_limits_ask_for_a_rekey_and_then_end_the_sa(net):
    a, b = pair(net, kilobytes=10)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2", 14, "-s", "972") < 14
    expired = [event for event in a("events") if event.startswith("Expired")]
    assert "Expired(spi_in=3489660928, hard=False)" in expired
    assert "Expired(spi_in=3489660928, hard=True)" in expired


def test_the_kernel_asks_for_a_rekey_before_sequence_numbers_run_out_and_then_sends_no_more(net):
    a, b = pair(net, last_sequence=20)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2", 19) == 19
    assert set(a("events")) == {"Expired(spi_in=3489660928, hard=False)"}
    assert net.ping("lan_a", "10.2.0.2", 4) == 1
    assert a("events").count("Expired(spi_in=3489660928, hard=True)") == 1
    a.kill()
    extended = net.plane("a", plane="kernel", last_sequence=20, esn=True)
    extended("add_outbound", 0, 1)
    assert "soft (INF)(packets), hard (INF)(packets)" in net["a"].run(["ip", "-s", "xfrm", "state"]).stdout


@pytest.mark.parametrize("extended", [False, True])
def test_a_mapping_that_moves_takes_the_sa_along(net, extended):
    """b gets another address and port; both ends follow, in the middle of a connection."""
    a, b = pair(net, esn=extended)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2") == 3
    net["b"].ip("address add 198.51.100.7/24 dev wan")
    b("move", 0, 0, "198.51.100.7", 4777, "192.0.2.1", 4500)
    assert net.ping("lan_b", "10.1.0.2", 1) == 0, "the answer goes where b was"
    (told,) = a("events")
    assert told.startswith("Moved(") and "IPv4Address('198.51.100.7'), port=4777" in told
    a("move", 0, 0, "192.0.2.1", 4500, "198.51.100.7", 4777)
    assert net.ping("lan_a", "10.2.0.2") == 3
    assert a("counters", 0, 0)[2] == 7 and b("counters", 0, 0)[0] == 6
    b("move", 0, 0, "198.51.100.7", 4778, "192.0.2.1", 4500)
    a("move", 0, 0, "192.0.2.1", 4500, "198.51.100.7", 4778)
    assert net.ping("lan_a", "10.2.0.2") == 3
    assert a("counters", 0, 0)[2] == 10 and states(net, "a").count("proto esp") == 2
    assert f"oseq 0x{(1 << 20) + 10:x}" in states(net, "a").replace("oseq 0x00", "oseq 0x")


@pytest.mark.parametrize("encapsulated", [False, True])
def test_an_sa_moves_from_ipv4_to_ipv6_and_back(net, encapsulated):
    a, b = pair(net, encapsulated=encapsulated)
    join(a, b)
    for one, other in (("2001:db8:a::1", "2001:db8:b::1"), ("192.0.2.1", "198.51.100.1")):
        a("move", 0, 0, one, 4500, other, 4500)
        b("move", 0, 0, other, 4500, one, 4500)
        assert net.ping("lan_a", "10.2.0.2") == 3
        assert f"src {one} dst {other}" in states(net, "a") and states(net, "a").count("proto esp") == 2
    assert a("counters", 0, 0)[::2] == b("counters", 0, 0)[::2] == [6, 6]


def test_a_restart_deletes_orphans_keeps_policies_and_forgets_what_nobody_wants(net, tmp_path):
    a, b = pair(net)
    a("protect", 1)
    join(a, b)
    net["a"].ip("xfrm policy add src 10.9.0.0/24 dst 10.8.0.0/24 dir out priority 1 action block")
    a.kill()
    assert states(net, "a").count("reqid 484442113") == 2
    with Capture(net["router"], "to_a", tmp_path / "wire.pcap") as capture:
        a = net.plane("a", plane="kernel")
        assert states(net, "a") == ""
        assert net.ping("lan_a", "10.2.0.2", 2) == 0
    assert counts_of(capture).clear == 0
    a("protect", 0)
    a("clear_leftovers")
    policies = net["a"].run(["ip", "xfrm", "policy"]).stdout
    assert "2001:db8:2::/64" not in policies and "10.8.0.0/24" in policies
    join(a, b, generation=1)
    assert net.ping("lan_a", "10.2.0.2") == 3
    a("stop", False)
    a.kill()
    left = net["a"].run(["ip", "xfrm", "policy"]).stdout
    assert "10.2.0.0/24" not in left and "10.8.0.0/24" in left and states(net, "a") == ""


def test_kernel_and_userspace_speak_the_same_esp(net):
    a = net.plane("a", plane="kernel")
    b = net.plane("b", plane="userspace")
    for plane in (a, b):
        plane("protect", 0)
    join(a, b)
    assert net.ping("lan_a", "10.2.0.2", 5) == 5
    assert net.ping("lan_b", "10.1.0.2", 5) == 5
    assert a("counters", 0, 0) == b("counters", 0, 0) == [10, 840, 10, 840]
    b("stop", False)


def test_a_refused_request_says_what_and_why(net):
    a, _ = pair(net)
    a("add_outbound", 0, 0)
    with pytest.raises(RuntimeError, match=r"tunnel lan: installing the outbound SA d0010000 .*EEXIST"):
        a("add_outbound", 0, 0)


def test_what_somebody_took_away_is_told_and_policies_are_put_up_again(net):
    a, b = pair(net, encryption="AES-GCM-128", authentication=None)
    join(a, b)
    assert a("audit") == b("audit") == [] and net.ping("lan_a", "10.2.0.2") == 3
    net["a"].ip("xfrm policy delete src 10.1.0.0/24 dst 10.2.0.0/24 dir out",
                "xfrm policy update src 10.2.0.0/24 dst 10.1.0.0/24 dir fwd action block priority 118176")
    assert a("audit") == [["policy fwd 10.2.0.0/24 -> 10.1.0.0/24", "as the daemon installed it", "changed", None],
                          ["policy out 10.1.0.0/24 -> 10.2.0.0/24", "there", "not there", None]]
    a("restore")
    assert a("audit") == [] and net.ping("lan_a", "10.2.0.2") == 3


@pytest.mark.parametrize(("source", "destination", "way", "spi"), [
    ("192.0.2.1", "198.51.100.1", "outbound", 0xD0010000), ("198.51.100.1", "192.0.2.1", "inbound", 0xD0000000)])
def test_an_sa_that_somebody_deleted_is_told_in_either_direction_and_not_installed_again(net, source, destination, way,
                                                                                         spi):
    a, b = pair(net, encryption="AES-GCM-128", authentication=None)
    join(a, b)
    net["a"].ip(f"xfrm state delete src {source} dst {destination} proto esp spi {spi:#x}")
    told = [[f"tunnel lan: {way} SA {spi:08x}", "in the kernel", "not there", 0xD0000000]]
    assert (a("audit"), b("audit")) == (told, [])
    a("restore")
    assert a("audit") == told and f"{spi:#010x}" not in states(net, "a")
    join(a, b, generation=1)  # as the session does when it rekeys
    for plane in (a, b):
        plane("remove", 0, 0)
    assert a("audit") == b("audit") == [] and net.ping("lan_a", "10.2.0.2") == 3
