# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of a route-based tunnel, whatever its devices are. Each case begins with the tunnel up."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError

from .bed import DEVICE, METRIC, PSK, Bed, End, script
from .routing_daemons import routing_daemons_learn_their_routes_over_it

Case = Callable[[Bed], None]


def what_is_declared_is_there(bed: Bed) -> None:
    for end in bed.ends:
        tunnel = end.tunnel
        assert (tunnel["dataplane"], tunnel["interface"]) == (bed.plane, {"name": DEVICE, "kind": bed.kind})
        assert tunnel["dataplane_reason"].startswith("the kernel lacks " if bed.kind == "tun" else "the kernel can ")
        assert [route["state"] for route in tunnel["routes"]] == ["up", "up"]
        link = end.link()
        assert link is not None and link["linkinfo"]["info_kind"] == bed.kind
        assert {"UP", "MULTICAST"} <= set(link["flags"]) and 1280 <= link["mtu"] < 1500
        assert end.addresses() == {f"169.254.7.{end.number}/30", f"fd00:7::{end.number}/126"}
        assert end.routes() == {(network, device, METRIC + (device is None)) for device in (DEVICE, None)
                                for network in (f"10.{end.other}.0.0/24", f"fd00:{end.other}::/64")}
    one, other = (end.link() or {} for end in bed.ends)
    assert one["mtu"] == other["mtu"]


def both_families_pass_through_one_sa_pair(bed: Bed) -> None:
    one, other = bed.ends
    before = one.sas[0]
    with bed.captured() as clear:
        for end in bed.ends:
            for target in (f"169.254.7.{end.other}", f"fd00:7::{end.other}", f"10.{end.other}.0.1",
                           f"fd00:{end.other}::1"):
                assert (answered := end.ping(target)) == 3, (target, answered)
    assert clear() == 0
    (after,) = one.sas
    assert after["packets_out"] - before["packets_out"] >= 24, (before, after, one.log)
    assert other.sas[0]["packets_in"] >= 24


def ipv6_outside_carries_both_families(bed: Bed) -> None:
    before = {end.number: (end.link() or {})["mtu"] for end in bed.ends}
    for end in reversed(bed.ends):
        declared = end.declaration()
        (peer,) = declared["gateways"]
        peer["endpoints"] = [{"local": {"address": f"fd00:9::{end.number}"},
                              "remote": {"address": f"fd00:9::{end.other}"}}]
        end.declare(declared)
    bed.settle()
    with bed.captured() as clear:
        for end in bed.ends:
            link = end.link() or {}
            assert link["linkinfo"]["info_kind"] == {"vti": "vti6"}.get(bed.kind, bed.kind)
            assert before[end.number] - 40 <= link["mtu"] <= before[end.number], "its header has twenty octets more"
            assert end.addresses() == {f"169.254.7.{end.number}/30", f"fd00:7::{end.number}/126"}
            for target in (f"169.254.7.{end.other}", f"10.{end.other}.0.1", f"fd00:{end.other}::1"):
                assert (answered := end.ping(target)) == 3, (target, answered, end.log)
            assert (found := end.ask("audit")["departures"]) == [], found
        a_packet_as_large_as_the_device_takes_passes(bed)
    assert clear() == 0


def a_packet_as_large_as_the_device_takes_passes(bed: Bed) -> None:
    one = bed.ends[0]
    mtu = (one.link() or {})["mtu"]
    sent = one.namespace.run(["ping", "-n", "-q", "-M", "do", "-c", "2", "-i", "0.2", "-W", "2", "-s", str(mtu - 28),
                              "169.254.7.2"], check=False).stdout
    assert " 2 received" in sent, sent


def what_a_narrow_path_carries_is_told_and_the_device_keeps_its_mtu(bed: Bed) -> None:
    """Both ends' are the same, as OSPF wants them; the routes into it say what fits, which the header of UDP, where
    there is none, leaves eight octets more."""
    one, other = bed.ends
    mtu = (one.link() or {})["mtu"]
    fits = mtu - 100 if bed.kind == "tun" else mtu - 92
    try:
        for end in bed.ends:
            end.namespace.ip("link set wan mtu 1400")
        for target, shown in (("10.2.0.1", "-4"), ("fd00:2::1", "-6")):
            def narrow(target: str = target, shown: str = shown) -> bool:
                one.namespace.run(["ping", "-n", "-q", "-M", "do", "-c", "1", "-W", "1", "-s", str(mtu - 48), target],
                                  check=False)
                printed = one.namespace.run(["ip", shown, "route", "get", target]).stdout
                return f" mtu {fits}" in printed.replace(" lock", "")
            one.wait(narrow)
        assert (one.link() or {})["mtu"] == (other.link() or {})["mtu"] == mtu
        assert one.ask("audit")["departures"] == []
    finally:
        for end in bed.ends:
            end.namespace.ip("link set wan mtu 1500")
    one.wait(lambda: " mtu " not in one.namespace.run(["ip", "-4", "route", "show", "10.2.0.0/24"]).stdout)


def the_hosts_other_traffic_does_not_go_there(bed: Bed) -> None:
    one = bed.ends[0]
    before = one.sas[0]["packets_out"]
    with bed.captured() as clear:
        assert one.ping("192.0.2.2") == one.ping("fd00:9::2") == 3
    assert clear() == 12 and one.sas[0]["packets_out"] - before < 6


def multicast_of_routing_protocols_passes(bed: Bed) -> None:
    """OSPF's hello: protocol 89 to all routers of the link, of which routing knows nothing."""
    one, other = bed.ends
    for family, protocol, group, option, join in (
            ("AF_INET", "IPPROTO_IP", "224.0.0.5", "IP_MULTICAST_IF", "IP_ADD_MEMBERSHIP"),
            ("AF_INET6", "IPPROTO_IPV6", "ff02::5", "IPV6_MULTICAST_IF", "IPV6_JOIN_GROUP")):
        four = family == "AF_INET"
        opened = (f"s = socket.socket(socket.{family}, socket.SOCK_RAW, 89)", f"i = socket.if_nametoindex('{DEVICE}')")
        request = (f"inet_pton(socket.{family}, '{group}') + struct.pack("
                   + ("'=4si', bytes(4), i)" if four else "'=i', i)"))
        hears = script(other, "import socket, struct", *opened, f"s.setsockopt(socket.{protocol}, socket.{join}, "
                       f"socket.{request})", "s.settimeout(30)", "print('ready', flush=True)",
                       "print(s.recvfrom(100)[1][0])")
        interface = "struct.pack('=4s4si', bytes(4), bytes(4), i)" if four else "i"
        with subprocess.Popen(hears, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None and listener.stdout.readline() == "ready\n"
            one.namespace.run(script(one, "import socket, struct, time", *opened,
                                     f"s.setsockopt(socket.{protocol}, socket.{option}, {interface})",
                                     f"[(s.sendto(b'hello', ('{group}', 0)), time.sleep(0.2)) for _ in range(5)]")[
                                         len(one.namespace.entry):])
            heard = listener.stdout.readline().strip().partition("%")[0]
        assert heard == "169.254.7.1" if four else heard.startswith(("fe80:", "fd00:7:")), heard


def without_an_sa_nothing_leaves(bed: Bed) -> None:
    one = bed.ends[0]
    one.ask("down", gateway="peer")
    with bed.captured() as clear:
        for target in ("169.254.7.2", "10.2.0.1", "fd00:2::1"):
            assert one.ping(target, 2, 1) == 0
    assert clear() == 0
    bed.settle()
    assert one.ping("10.2.0.1") == 3


def a_rekey_loses_no_packet(bed: Bed) -> None:
    one = bed.ends[0]
    before = {sa["spi_in"] for sa in one.sas}
    argv = [*one.namespace.entry, "ping", "-n", "-q", "-c", "40", "-i", "0.05", "-W", "2", "10.2.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        one.ask("rekey", tunnel="transit")
        said, _ = ping.communicate()
    assert " 40 received" in said, said
    assert not before & {sa["spi_in"] for sa in one.sas}
    bed.settle()


def other_addresses_and_metric_leave_device_and_sa_alone(bed: Bed) -> None:
    one = bed.ends[0]
    index, sas = (one.link() or {})["ifindex"], {sa["spi_in"] for sa in one.sas}
    changed = one.declare(one.declaration(interface={"addresses": ["169.254.7.1/30", "10.7.7.7/32", "fd00:7::1/126"],
                                                     "metric": 77}))
    assert changed["changed"] == ["tunnel transit"]
    assert one.addresses() == {"169.254.7.1/30", "10.7.7.7/32", "fd00:7::1/126"}
    assert {metric for _network, _device, metric in one.routes()} == {77, 78}
    assert ((one.link() or {})["ifindex"], {sa["spi_in"] for sa in one.sas}) == (index, sas)
    assert one.ping("10.2.0.1") == 3
    one.declare(one.declaration(interface={"addresses": ["169.254.8.1/30", "fd00:7::1/126"]}))
    assert one.addresses() == {"169.254.8.1/30", "fd00:7::1/126"} and len(one.routes()) == 4
    one.declare(one.declaration(interface={"addresses": ["169.254.7.1/30", "fd00:7::1/126"]}, routes=[]))
    assert (one.routes(), len(one.addresses())) == (set(), 2)
    one.declare(one.declaration())
    assert len(one.routes()) == 4 and one.ping("10.2.0.1") == 3


def another_name_is_another_device(bed: Bed) -> None:
    one = bed.ends[0]
    one.declare(one.declaration(interface={"name": "vpn9"}))
    bed.settle()
    assert one.link() is None and one.addresses("vpn9") == {"169.254.7.1/30", "fd00:7::1/126"}
    assert {device for _network, device, _metric in one.routes()} == {"vpn9", None}
    assert one.ping("fd00:2::1") == one.ping("169.254.7.2") == 3
    one.declare(one.declaration())
    bed.settle()
    assert one.link("vpn9") is None and one.ping("10.2.0.1") == 3


def a_device_of_another_program_is_left_alone(bed: Bed) -> None:
    one = bed.ends[0]
    one.namespace.ip("link add vpn5 type veth peer name vpn6")
    try:
        one.declare(one.declaration(interface={"name": "vpn5"}))
    except ControlError as error:
        assert "the device vpn5 that is declared is there already, and is not ikeengine's (veth)" in str(error)
    else:
        raise AssertionError("it was taken")
    finally:
        one.namespace.ip("link delete vpn5")
    assert one.tunnel["interface"]["name"] == DEVICE and one.ping("10.2.0.1") == 3


def a_crash_leaks_nothing_and_the_next_run_takes_over(bed: Bed) -> None:
    one = bed.ends[0]
    index = (one.link() or {})["ifindex"]
    one.end(signal.SIGKILL)
    with bed.captured() as clear:
        answered = one.ping("10.2.0.1", 2, 1), one.ping("fd00:2::1", 2, 1)
    assert clear() == 0 and (bed.in_kernel or answered == (0, 0))  # the kernel's SAs outlive the daemon
    kept = {device for _network, device, _metric in one.routes()}
    assert kept == ({DEVICE, None} if bed.in_kernel else {None})
    one.start()
    bed.settle()
    assert not bed.in_kernel or (one.link() or {})["ifindex"] == index
    assert len(one.routes()) == 4 and one.ping("10.2.0.1") == 3


def what_a_crash_left_and_nobody_declares_goes(bed: Bed) -> None:
    one = bed.ends[0]
    one.end(signal.SIGKILL)
    one.start(one.declaration(interface={"name": "vpn3", "addresses": ["169.254.7.1/30", "fd00:7::1/126"]}, routes=[]))
    assert one.link() is None and one.routes() == set() and one.link("vpn3") is not None
    bed.come_up()
    assert one.ping("10.2.0.1") == 3


def a_stop_keeps_what_blocks_and_a_start_loses_nothing(bed: Bed) -> None:
    one, other = bed.ends
    one.end(signal.SIGTERM)
    assert one.routes() and {device for _network, device, _metric in one.routes()} >= {None}
    other.wait(lambda: not other.sas)
    with bed.captured() as clear:
        assert one.ping("10.2.0.1", 2, 1) == 0
    assert clear() == 0
    one.start()
    bed.settle()
    assert one.ping("10.2.0.1") == 3


def what_somebody_changes_by_hand_is_told_and_mended(bed: Bed) -> None:
    one = bed.ends[0]
    assert (found := one.ask("audit")["departures"]) == [], found
    one.namespace.ip(f"route delete 10.2.0.0/24 dev {DEVICE}", f"address delete 169.254.7.1/30 dev {DEVICE}",
                     f"route delete unreachable fd00:2::/64 metric {METRIC + 1}")
    said = {row["what"] for row in one.ask("audit")["departures"]}
    assert said == {f"address 169.254.7.1/30 of {DEVICE}", f"route to 10.2.0.0/24, into {DEVICE}",
                    "route to fd00:2::/64, unreachable"}
    one.ask("mend")
    what_is_declared_is_there(bed)
    one.namespace.ip(f"address add 169.254.9.1/30 dev {DEVICE}")
    assert one.ask("audit")["departures"] == [{"what": f"address 169.254.9.1/30 of {DEVICE}", "expected": "not there",
                                               "found": "there"}]
    one.ask("mend")
    what_is_declared_is_there(bed)
    mtu = (one.link() or {})["mtu"]
    one.namespace.ip(f"link set {DEVICE} mtu {mtu - 100}")
    assert one.ask("audit")["departures"] == [{"what": f"device {DEVICE}", "expected": f"MTU {mtu}",
                                               "found": f"MTU {mtu - 100}"}]
    one.ask("mend")
    assert (one.link() or {})["mtu"] == mtu
    one.namespace.ip(f"link delete {DEVICE}")
    assert f"device {DEVICE}" in {row["what"] for row in one.ask("audit")["departures"]}
    one.ask("mend")
    assert (found := one.ask("audit")["departures"]) == [], found
    bed.settle()
    what_is_declared_is_there(bed)
    assert one.ping("10.2.0.1") == 3


def an_address_with_a_lifetime_is_the_networks_and_stays(bed: Bed) -> None:
    """As of a router advertisement, or of a client of DHCP."""
    one = bed.ends[0]
    leased = {"10.77.0.9/24", "fd00:77::9/64"}
    one.namespace.ip(*(f"address add {each} dev {DEVICE} valid_lft 300 preferred_lft 300" for each in sorted(leased)))
    assert (found := one.ask("audit")["departures"]) == [], found
    one.namespace.ip(f"address add 169.254.9.1/30 dev {DEVICE}")
    assert {row["what"] for row in one.ask("mend")["mended"]} == {f"address 169.254.9.1/30 of {DEVICE}"}
    assert one.addresses() == {"169.254.7.1/30", "fd00:7::1/126"} | leased
    one.namespace.ip(*(f"address delete {each} dev {DEVICE}" for each in sorted(leased)))


def a_policy_based_tunnel_beside_it_keeps_its_own_traffic(bed: Bed) -> None:
    one, _other = bed.ends
    networks = {1: "10.101.0.0/24", 2: "10.102.0.0/24"}

    def both(end: End) -> dict[str, Any]:
        declared = end.declaration()
        (transit,) = declared["tunnels"]
        lan = {key: value for key, value in transit.items() if key != "interface"}
        declared["tunnels"].append(lan | {"name": "lan", "routes": [
            {"local": networks[end.number], "remote": networks[end.other]}]})
        return declared

    for end in bed.ends:
        end.namespace.ip(f"address add 10.10{end.number}.0.1/32 dev lo")
        end.declare(both(end))
    one.ask("up", gateway="peer", tunnel="lan")

    def out(name: str) -> int:
        return sum(sa["packets_out"] for row in one.ask("status")["tunnels"] if row["name"] == name
                   for sa in row["routes"][0]["sas"])

    before = out("transit"), out("lan")
    argv = ["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "2", "-I", "10.101.0.1", "10.102.0.1"]
    assert " 3 received" in one.namespace.run(argv, check=False).stdout
    assert one.ping("10.2.0.1") == 3
    after = out("transit"), out("lan")
    assert after[1] - before[1] == 3 and 3 <= after[0] - before[0] < 8
    for end in bed.ends:
        end.declare(end.declaration())
        end.namespace.ip(f"address delete 10.10{end.number}.0.1/32 dev lo")


def a_direction_is_about_the_interface_and_no_other_way_to_the_same_networks(bed: Bed) -> None:
    if bed.kind == "vti":
        return  # the kernel that has these has no nf_tables
    one, other = bed.ends
    for end, direction in ((one, "local-to-remote"), (other, "remote-to-local")):
        declared = end.declaration()
        for route in declared["tunnels"][0]["routes"]:
            route["direction"] = direction
        end.declare(declared)
    bed.settle()
    targets = ("10.2.0.1", "10.1.0.1"), ("fd00:2::1", "fd00:1::1")
    for far, near in targets:
        assert (one.ping(far, 2, source=near), other.ping(near, 2, 1, source=far)) == (2, 0)
    ways = [f"route {{}} {network}{end.other}{length} via {gateway}{end.other} metric 5"
            for end in bed.ends for network, length, gateway in (("10.", ".0.0/24", "192.0.2."),
                                                                 ("fd00:", "::/64", "fd00:9::"))]
    for end, its in ((one, ways[:2]), (other, ways[2:])):
        end.namespace.ip(*(way.format("add") for way in its))
    try:
        for far, near in targets:
            assert (one.ping(far, 2, source=near), other.ping(near, 2, source=far)) == (2, 2)
    finally:
        for end, its in ((one, ways[:2]), (other, ways[2:])):
            end.namespace.ip(*(way.format("delete") for way in its))
            end.declare(end.declaration())


def a_tunnel_to_everywhere_beside_it_leaves_it_its_networks(bed: Bed) -> None:
    one, other = bed.ends
    declared = one.declaration()
    (peer,), (transit,) = declared["gateways"], declared["tunnels"]
    declared["gateways"].append(peer | {"name": "hub", "start": "answer", "endpoints": [
        {"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.99"}}]})
    declared["tunnels"].append({key: value for key, value in transit.items() if key != "interface"} | {
        "name": "everywhere", "gateway": "hub", "routes": [{"local": "10.1.0.0/24", "remote": "0.0.0.0/0"},
                                                           {"local": "fd00:1::/64", "remote": "::/0"}]})
    one.declare(declared, hub={"method": "psk", "psk": PSK})
    assert (found := one.ask("audit")["departures"]) == [], found
    with bed.captured() as clear:
        for far, near in (("10.2.0.1", "10.1.0.1"), ("fd00:2::1", "fd00:1::1")):
            assert (one.ping(far, source=near), other.ping(near, source=far)) == (3, 3)
        for elsewhere, near in (("192.0.2.2", "10.1.0.1"), ("fd00:9::2", "fd00:1::1")):
            assert one.ping(elsewhere, 2, 1, source=near) == 0, "which is the other tunnel's, and that is down"
    assert clear() == 0
    one.declare(one.declaration())
    assert (found := one.ask("audit")["departures"]) == [], found
    assert one.ping("10.2.0.1", source="10.1.0.1") == 3


def what_is_declared_no_more_is_gone(bed: Bed) -> None:
    for end in bed.ends:
        declared = end.declaration()
        end.declare(declared | {"tunnels": []})
        assert (end.link(), end.routes()) == (None, set())
        assert "tmpl" not in end.namespace.run(["ip", "xfrm", "policy"]).stdout
    bed.come_up()
    assert bed.ends[0].ping("10.2.0.1") == 3


def a_flush_leaves_nothing(bed: Bed) -> None:
    one = bed.ends[0]
    one.ask("flush")
    assert (one.link(), one.routes()) == (None, set())
    deadline = time.monotonic() + 30
    while one.namespace.run(["ip", "xfrm", "state"]).stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    assert one.namespace.run(["ip", "xfrm", "state"]).stdout == ""
    bed.come_up()


CASES: tuple[Case, ...] = (
    what_is_declared_is_there, both_families_pass_through_one_sa_pair, ipv6_outside_carries_both_families,
    a_packet_as_large_as_the_device_takes_passes,
    what_a_narrow_path_carries_is_told_and_the_device_keeps_its_mtu,
    the_hosts_other_traffic_does_not_go_there, multicast_of_routing_protocols_passes,
    routing_daemons_learn_their_routes_over_it, without_an_sa_nothing_leaves,
    a_rekey_loses_no_packet, other_addresses_and_metric_leave_device_and_sa_alone, another_name_is_another_device,
    a_device_of_another_program_is_left_alone, what_somebody_changes_by_hand_is_told_and_mended,
    an_address_with_a_lifetime_is_the_networks_and_stays, a_policy_based_tunnel_beside_it_keeps_its_own_traffic,
    a_direction_is_about_the_interface_and_no_other_way_to_the_same_networks,
    a_tunnel_to_everywhere_beside_it_leaves_it_its_networks,
    a_crash_leaks_nothing_and_the_next_run_takes_over, what_a_crash_left_and_nobody_declares_goes,
    a_stop_keeps_what_blocks_and_a_start_loses_nothing, what_is_declared_no_more_is_gone, a_flush_leaves_nothing)
