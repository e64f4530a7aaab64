# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A NAT whose mappings move under traffic, and what shows that a peer lives. Both versions, on a virtual clock."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ikeengine.ike.events import ChildMoved, ChildRemoved, PathMoved
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.wire.header import decode_header

from tests.support import ikev1, virtual_network
from tests.support.virtual_nat import Nat, Stream, flow, outage
from tests.support.virtual_network import BRANCH, HQ, End, Faults, VirtualNetwork, agree

PRIVATE, PUBLIC, OTHER = "172.16.5.7", "203.0.113.7", "203.0.113.8"
NAMES = ("hq.example", "branch.example")
ROUTES_OF_MANY = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(20))
VERSIONS = pytest.mark.parametrize("version", [1, 2])


def behind_nat(version: int, *, faults: Faults | None = None, seed: int = 1,
               **gateway: object) -> tuple[VirtualNetwork, End, End, Nat]:
    """The branch is behind a NAT and initiates; hq knows it by its name alone."""
    made = ikev1 if version == 1 else virtual_network
    common = {"mode": "aggressive", **gateway} if version == 1 else gateway

    def end(name: str, address: str) -> dict[str, object]:
        return {"address": address, "identifier": {"type": "domain-name", "value": name}}

    hq = made.hq(start="answer", gateway={**common, "endpoints": [
        {"local": end(NAMES[0], HQ), "remote": end(NAMES[1], "dynamic")}]})
    branch = made.branch(start="boot", gateway={**common, "endpoints": [
        {"local": end(NAMES[1], PRIVATE), "remote": end(NAMES[0], HQ)}]})
    network = VirtualNetwork({HQ: hq, PRIVATE: branch}, faults=faults, seed=seed)
    network.tamper = nat = Nat(PRIVATE, PUBLIC)
    network.start()
    network.run(60 if faults else 2)
    one, other = network.ends.values()
    agree(one, other, routes=1)
    return network, one, other, nat


def streams(network: VirtualNetwork, one: End, other: End) -> tuple[Stream, Stream]:
    """(out of the NAT, into it)."""
    return Stream(network, other, one), Stream(network, one, other)


@VERSIONS
@pytest.mark.parametrize("public", [None, OTHER], ids=["other ports", "another address"])
def test_a_mapping_that_moves_mid_flow_is_followed_by_the_next_packet(version, public):
    network, one, other, nat = behind_nat(version)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    nat.move(public)
    moved_at = network.now
    flow(network, 3, out, into)
    assert out.sent - len(out.arrived) <= 2 and outage(into, moved_at) < 0.05
    (child,) = one.inbound.values()
    (ike,) = one.manager.overview.gateways()[0].ike
    assert child.remote.address == nat.public and child.remote == ike.remote
    assert one.count(ChildRemoved) == other.count(ChildRemoved) == 0


@VERSIONS
def test_all_child_sas_and_the_ike_sa_move_with_the_one_whose_packet_came(version):
    network, one, other, nat = behind_nat(version)
    other.manager.rekey_child("lan", network.now)
    network.run(0.03)
    out, into = streams(network, one, other)
    nat.move()
    flow(network, 0.1, out)
    assert len({child.remote for child in one.inbound.values()}) == 1
    one.manager.rekey_ike("peer", network.now)
    network.run(20)
    agree(one, other, routes=1)
    flow(network, 1, out, into)
    assert outage(into, network.now - 1) < 0.05 and one.closings in ([], ["rekeyed"])


@VERSIONS
def test_mappings_that_move_again_and_again_over_a_bad_network(version):
    seed = 20261125
    print("seed", seed)
    network, one, other, nat = behind_nat(version, faults=Faults(drop=0.3, duplicate=0.1, reorder=0.2), seed=seed)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    for number in range(10):
        nat.move(OTHER if number % 2 else PUBLIC)
        moved_at = network.now
        flow(network, 2.5, out, into)
        assert outage(into, moved_at) < 0.5 and outage(out, moved_at) < 0.5
    assert one.closings == other.closings == []


@VERSIONS
def test_a_mapping_that_moves_while_only_the_other_end_sends_is_found_when_the_peer_would_be_dead(version):
    """Nothing shows it before: what is inside the NAT hears nothing any more, and asks."""
    network, one, other, nat = behind_nat(version, dead_peer_detection={"idle": 2, "retries": 5})
    _out, into = streams(network, one, other)
    flow(network, 5, into)
    nat.move()
    moved_at = network.now
    flow(network, 6, into)
    assert outage(into, moved_at) < 2 * 1.125 + 0.5
    assert one.closings == other.closings == []


@VERSIONS
def test_a_captured_packet_sent_from_elsewhere_diverts_nothing_for_longer_than_the_next_real_one(version):
    network, one, other, _nat = behind_nat(version)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    (child,) = one.inbound.values()
    captured = Datagram(SocketAddress(ip_address(BRANCH), 5000), child.local, b"ESP")
    one.events.clear()
    out.arrival(child.spi_in, network.now)(one, Datagram(captured.remote, captured.local, b"ESP"))
    flow(network, 1, out, into)
    assert [row.child.remote.port for row in one.events if isinstance(row, ChildMoved)] == [5000, child.remote.port]
    assert outage(into, network.now - 1) < 0.1


@VERSIONS
def test_a_peer_whose_packets_come_from_ever_new_ports_is_followed_once_a_second_and_to_the_last(version):
    network, one, _other, _nat = behind_nat(version)
    (child,) = one.inbound.values()
    one.events.clear()
    for number in range(1000):
        one.manager.moved(child.spi_in, child.local, SocketAddress(child.remote.address, 10000 + number), network.now)
        network.run(0.01)
    assert 10 <= one.count(ChildMoved) <= 15
    network.run(2)
    (ike,) = one.manager.overview.gateways()[0].ike
    assert ike.remote.port == 10999 and {row.remote.port for row in one.inbound.values()} == {10999}


@VERSIONS
def test_where_its_packets_come_from_the_old_port_again_no_move_is_left_to_do(version):
    network, one, _other, _nat = behind_nat(version)
    (child,) = one.inbound.values()
    for port in (10001, 10002, 10003, 10004, 10003):
        one.manager.moved(child.spi_in, child.local, SocketAddress(child.remote.address, port), network.now)
    network.run(3)
    assert {row.remote.port for row in one.inbound.values()} == {10003}


def test_many_child_sas_move_with_one_line_of_log_and_are_found_by_their_spis():
    network, one, _other = virtual_network.pair(*(make(routes=ROUTES_OF_MANY, start=start) for make, start in (
        (virtual_network.hq, "answer"), (virtual_network.branch, "boot"))), encapsulate=lambda _gateway: True)
    network.start()
    network.run(10)
    assert len(one.inbound) == len(ROUTES_OF_MANY)
    one.events.clear()
    child = list(one.inbound.values())[-1]
    one.manager.moved(child.spi_in, child.local, SocketAddress(child.remote.address, 10001), network.now)
    network.run(0)
    assert one.count(ChildMoved) == len(ROUTES_OF_MANY) and one.count(PathMoved) == 1
    assert all(one.manager._sessions.child(spi) is not None for spi in one.inbound)
    one.manager.terminate("peer", network.now)
    network.run(10)
    assert not one.manager._sessions._gateway_of_child


@VERSIONS
def test_who_initiated_from_behind_a_nat_follows_nobody(version):
    network, _one, other, _nat = behind_nat(version)
    for session in other.manager._sessions.of("peer"):
        session.peer_behind_nat = True  # a NAT before either end
    (child,) = other.inbound.values()
    other.manager.moved(child.spi_in, child.local, SocketAddress(ip_address(BRANCH), 5000), network.now)
    network.run(0)
    assert other.count(ChildMoved) == 0


@VERSIONS
def test_a_peer_without_a_nat_is_not_followed(version):
    made = ikev1 if version == 1 else virtual_network
    network, one, _other = virtual_network.pair(made.hq(), made.branch())
    network.start()
    network.run(2)
    (child,) = one.inbound.values()
    one.manager.moved(child.spi_in, child.local, SocketAddress(ip_address("203.0.113.99"), 4500), network.now)
    network.run(0)
    assert one.count(ChildMoved) == 0


@VERSIONS
def test_another_router_is_noticed_and_shown_to_the_peer_without_traffic(version):
    network, one, other, nat = behind_nat(version)
    nat.move(OTHER)
    network.roam(other, PRIVATE)
    network.run(0.1)
    (child,), (ike,) = one.inbound.values(), one.manager.overview.gateways()[0].ike
    assert child.remote == ike.remote and child.remote.address == nat.public


@VERSIONS
def test_keep_alives_go_out_as_often_as_declared_whatever_the_data_plane_sends(version):
    network, one, other, _nat = behind_nat(version, nat_traversal={"keep_alive": 7}, dead_peer_detection={"idle": "1h"})
    out, into = streams(network, one, other)
    before = len(network.sent)
    for _second in range(70):
        flow(network, 1, out, into)
    sent = [(time, datagram) for time, datagram in network.sent[before:]]
    assert [datagram.data for _time, datagram in sent] == [b"\xff"] * len(sent) and 9 <= len(sent) <= 10
    assert {str(datagram.local) for _time, datagram in sent} == {f"{PRIVATE}:4500"}
    assert {str(datagram.remote) for _time, datagram in sent} == {f"{HQ}:4500"}


# ---------------------------------------------------------------------------------------------- proof of life

def questions(network: VirtualNetwork, since: int, address: str) -> list[float]:
    """When that end said anything by IKE."""
    return [time for time, datagram in network.sent[since:] if str(datagram.local.address) == address
            and len(datagram.data) > 1 and decode_header(datagram.data)]


@VERSIONS
def test_nobody_is_asked_whether_it_lives_while_its_packets_come(version):
    network, one, other, _nat = behind_nat(version, dead_peer_detection={"idle": 4, "retries": 3})
    out, into = streams(network, one, other)
    out.every = into.every = 0.5
    flow(network, 10, out, into)
    before = len(network.sent)
    flow(network, 100, out, into)
    assert questions(network, before, HQ) == questions(network, before, PRIVATE) == []
    stopped_at, before = network.now, len(network.sent)
    network.run(6)
    first = questions(network, before, HQ)[0]
    assert first - stopped_at + 0.5 >= 4 and first - stopped_at <= 4.5
    assert one.closings == other.closings == []


@VERSIONS
def test_a_peer_that_answers_nothing_lives_while_its_packets_come_and_no_longer(version):
    network, one, other, nat = behind_nat(version, dead_peer_detection={"idle": 2, "retries": 2})
    out, into = streams(network, one, other)
    out.every = 0.2

    def deaf(datagram: Datagram) -> Datagram | None:
        return None if datagram.data != b"ESP" else nat(datagram)

    network.tamper = deaf
    network.run(2.3)  # hq has asked
    flow(network, 60, out, into)
    assert one.closings == []
    network.run(20)
    assert len(one.closings) == 1 and "silent" in str(one.reasons)
