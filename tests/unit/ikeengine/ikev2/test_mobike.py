# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOBIKE between two daemons: addresses that change, NATs that come and go, paths that die. On a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from ikeengine.ike.events import ChildMoved, ChildRemoved
from ikeengine.ikev2 import mobike
from ikeengine.ikev2.exchange import Task
from ikeengine.ikev2.session import Ikev2Session
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.wire.constants import ExchangeType, NotifyType
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.header import decode_header
from ikeengine.wire.message import Payload
from ikeengine.wire.notify import Notify

from tests.support import virtual_network
from tests.support.virtual_nat import Nat, Stream, flow, outage
from tests.support.virtual_network import HQ, End, Faults, VirtualNetwork, agree

HOME, CAFE, TRAIN = "198.51.100.11", "203.0.113.22", "203.0.113.33"
HOME_6, HQ_6, HQ_2 = "2001:db8:b::11", "2001:db8:a::1", "192.0.2.66"
PRIVATE = "172.16.5.7"


def roaming(*, address: str = HOME, tamper: Any = None, faults: Faults | None = None, seed: int = 1,
            encapsulate: bool = False, hq: dict[str, Any] | None = None, branch: dict[str, Any] | None = None,
            declared: str = "dynamic",
            **gateway: Any) -> tuple[VirtualNetwork, End, End]:
    """(network, hq, branch): the branch initiates from whatever address it has."""
    def end(name: str, address: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}

    head = virtual_network.hq(start="answer", gateway={"endpoints": [
        {"local": end("hq", HQ), "remote": end("branch", "dynamic")}], **gateway, **(hq or {})})
    office = virtual_network.branch(start="boot", gateway={"endpoints": [
        {"local": end("branch", declared), "remote": end("hq", HQ)}], **gateway, **(branch or {})})
    network = VirtualNetwork({HQ: head, address: office}, faults=faults, seed=seed,
                             encapsulate=lambda _name: encapsulate)
    if tamper is not None:
        network.tamper = tamper
    network.start()
    network.run(30 if faults else 2)
    one, other = network.ends[HQ], network.ends[address]
    agree(one, other, routes=1)
    return network, one, other


def session(end: End) -> Ikev2Session:
    (found,) = end.manager._sessions.established("peer")
    assert isinstance(found, Ikev2Session)
    return found


def streams(network: VirtualNetwork, one: End, other: End) -> tuple[Stream, Stream]:
    """(from the branch, to it)."""
    return Stream(network, other, one), Stream(network, one, other)


def at(end: End) -> tuple[str, bool]:
    """Where the end takes its peer to be, by the IKE SA and every child SA alike, and whether ESP is in UDP."""
    (where,) = {(str(row.remote.address), row.udp_encapsulated) for row in end.inbound.values()}
    assert str(session(end).remote.address) == where[0]
    return where


# ---------------------------------------------------------------------------------------------- announcing

def test_it_is_in_use_where_the_initiators_address_is_its_own_to_choose():
    network, one, other = roaming()
    assert session(one).mobility is not None and session(other).mobility is not None
    ports = [datagram.remote.port for _time, datagram in network.sent]
    assert ports[:2] == [500, 500] and set(ports[2:]) == {4500}, "a NAT may be met later (RFC 4555 §3.3)"
    assert at(one) == (HOME, False)


def test_it_is_not_announced_where_the_address_is_declared():
    network, one, other = roaming(declared=HOME)
    assert session(one).mobility is session(other).mobility is None
    assert {datagram.remote.port for _time, datagram in network.sent} == {500}


@pytest.mark.parametrize("notify", list(mobike.RULES))
@pytest.mark.parametrize("exchange", [ExchangeType.IKE_AUTH, ExchangeType.INFORMATIONAL])
@pytest.mark.parametrize("response", [False, True])
def test_every_notification_is_taken_in_its_places_only(notify, exchange, response):
    _network, one, other = roaming()
    rule = mobike.RULES[notify]
    for end in (one, other):
        place = (exchange, response) in rule.places and not (rule.by_originator and end is other)
        size = next(number for number in range(100) if number in rule.sizes)
        found = mobike.taken(session(end), exchange, response, [Notify(notify, bytes(size))])
        assert found == ({notify: [bytes(size)]} if place else {})
        wrong = [number for number in (0, 3, 65) if number not in rule.sizes]
        for number in wrong if place else ():
            with pytest.raises(MalformedMessage):
                mobike.taken(session(end), exchange, response, [Notify(notify, bytes(number))])


# ---------------------------------------------------------------------------------------------- the initiator moves

def test_an_initiator_that_gets_another_address_says_so_and_nothing_is_made_anew():
    network, one, other = roaming()
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    keys, ike = set(one.inbound), session(one).spi_i
    network.roam(other, CAFE)
    moved_at = network.now
    flow(network, 3, out, into)
    assert at(one) == (CAFE, False) and set(one.inbound) == keys and session(one).spi_i == ike
    assert outage(out, moved_at) < 0.05, "what it sends goes out from the new address at once"
    assert outage(into, moved_at) < 0.1, "two round trips: the update, and the check that it receives there"
    assert one.count(ChildRemoved) == other.count(ChildRemoved) == 0


def test_no_child_sa_follows_to_an_address_where_the_peer_does_not_receive():
    network, one, other = roaming()

    def one_way(datagram: Datagram) -> Datagram | None:
        return None if str(datagram.remote.address) == CAFE else datagram

    network.tamper = one_way
    network.roam(other, CAFE)
    network.run(3)
    assert {str(row.remote.address) for row in one.inbound.values()} == {HOME}


def test_several_changes_during_one_exchange_end_at_the_last():
    network, one, other = roaming()
    for address in (CAFE, TRAIN, HOME, TRAIN, CAFE):
        network.roam(other, address)
        network.run(0.005)
    network.run(2)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False)


def test_what_is_under_way_goes_on_from_the_new_address():
    network, one, other = roaming()
    other.manager.rekey_child("lan", network.now)
    one.manager.rekey_child("lan", network.now)
    network.run(0.001)
    network.roam(other, CAFE)
    network.run(20)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False) and one.closings == other.closings == []


@pytest.mark.parametrize("who", ["one", "other", "both"])
@pytest.mark.parametrize("after", [0.0, 0.005, 0.015, 0.025])
def test_a_rekey_of_the_ike_sa_inherits_what_was_still_to_be_said(who, after):
    network, one, other = roaming()
    for name, end in (("one", one), ("other", other)):
        if who in (name, "both"):
            end.manager.rekey_ike("peer", network.now)
    network.run(after)
    network.roam(other, CAFE)
    network.run(20)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False)
    assert session(one).mobility is not None
    network.roam(other, TRAIN)
    network.run(2)
    assert at(one) == (TRAIN, False), "whoever rekeyed it, the one that initiated first decides"


@pytest.mark.parametrize("after", [0.005, 0.015, 0.025])
def test_who_moves_right_after_answering_a_rekey_of_the_ike_sa_is_found_though_that_answer_is_lost(after):
    """The peer knows the old IKE SA only, and repeats its request to where nobody is any more."""
    network, one, other = roaming()
    one.manager.rekey_ike("peer", network.now)
    network.run(after)
    network.cut(HQ, HOME)  # what is on its way, too
    network.roam(other, CAFE)
    network.run(3)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False)
    network.run(30)
    assert one.closings == other.closings == ["rekeyed"] and not one.reasons and not other.reasons
    network.roam(other, TRAIN)
    network.run(2)
    assert at(one) == (TRAIN, False)
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(10))
def test_who_moves_while_the_ike_sa_is_rekeyed_is_found_whatever_is_lost(seed):
    print("seed", seed)
    network, one, other = roaming(seed=seed)
    network.faults = Faults(drop=0.4, until=network.now + 3)
    for end in ((one,), (other,), (one, other))[seed % 3]:
        end.manager.rekey_ike("peer", network.now)
    network.run(0.01 + 0.005 * seed)
    network.cut(HQ, HOME)
    network.roam(other, CAFE)
    network.run(15)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False)
    network.run(70)
    assert len(list(one.manager._sessions)) == len(list(other.manager._sessions)) == 1


def test_a_responder_that_moves_right_after_answering_a_rekey_is_followed_though_that_answer_is_lost():
    network, one, other = roaming(hq={"endpoints": [
        {"local": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "hq.example"}},
         "remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "branch.example"}}}]})
    other.manager.rekey_ike("peer", network.now)
    network.run(0.015)
    network.cut(HQ, HOME)
    network.roam(one, HQ_2)
    network.run(3)
    agree(one, other, routes=1)
    assert at(other) == (HQ_2, False)
    network.run(40)
    assert one.closings == other.closings == ["rekeyed"]


def test_both_ends_stay_together_over_a_bad_network():
    seed = 4555
    print("seed", seed)
    network, one, other = roaming(faults=Faults(drop=0.3, duplicate=0.1, reorder=0.2), seed=seed)
    out, into = streams(network, one, other)
    for number in range(12):
        network.roam(other, (CAFE, TRAIN, HOME)[number % 3])
        if number % 4 == 1:
            other.manager.rekey_ike("peer", network.now)
        flow(network, 20, out, into)
    network.faults = Faults()
    network.run(30)
    agree(one, other, routes=1)
    assert at(one) == (HOME, False) and one.closings.count("rekeyed") == len(one.closings)


def test_what_the_data_planes_cannot_carry_is_refused_and_begun_anew():
    network, one, other = roaming()
    one.manager._is_acceptable = lambda _gateway, _local, remote: str(remote) != CAFE
    network.roam(other, CAFE)
    network.run(0.2)
    assert "does not go on with us" in str(other.reasons) and "UNACCEPTABLE_ADDRESSES" in str(other.reasons)
    network.run(5)
    agree(one, other, routes=1)


def test_without_mobike_a_new_ike_sa_takes_its_place_at_once():
    network, one, other = roaming()
    for end in (one, other):
        session(end).mobility = None
    out, into = streams(network, one, other)
    flow(network, 0.5, out, into)
    network.roam(other, CAFE)
    moved_at = network.now
    flow(network, 1, out, into)
    assert outage(into, moved_at) < 0.1 and outage(out, moved_at) < 0.1
    network.run(20)
    agree(one, other, routes=1)
    assert at(one) == (CAFE, False)


def test_an_ike_sa_that_had_only_begun_begins_again_from_the_new_address():
    network, _one, other = roaming()
    other.manager.terminate("peer", network.now)
    network.run(1)
    network.tamper = lambda _datagram: None
    other.manager.initiate("peer", network.now)
    network.run(1)
    network.tamper = lambda datagram: datagram
    network.roam(other, CAFE)
    network.run(0.2)
    assert at(network.ends[HQ]) == (CAFE, False)


# ---------------------------------------------------------------------------------------------- NATs

def test_a_nat_that_comes_between_and_goes_again_switches_esp_in_udp():
    network, one, other = roaming()
    out, into = streams(network, one, other)
    network.tamper = Nat(PRIVATE, CAFE)
    network.roam(other, PRIVATE)
    flow(network, 1, out, into)
    assert at(one) == (CAFE, True) and at(other) == (HQ, True)
    assert session(other).behind_nat and not session(one).behind_nat and session(one).peer_behind_nat
    network.run(50)
    assert any(datagram.data == b"\xff" for _time, datagram in network.sent)
    network.tamper = lambda datagram: datagram
    network.roam(other, HOME)
    flow(network, 1, out, into)
    assert at(one) == (HOME, False) and at(other) == (HQ, False)
    before = len(network.sent)
    network.run(50)
    assert not any(datagram.data == b"\xff" for _time, datagram in network.sent[before:])


def test_a_data_plane_that_does_esp_in_udp_only_keeps_it():
    network, one, other = roaming(encapsulate=True)
    network.roam(other, CAFE)
    network.run(2)
    assert at(one) == (CAFE, True) and at(other) == (HQ, True)


def test_a_mapping_that_moves_is_found_by_the_liveness_check():
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat, dead_peer_detection={"idle": 5, "retries": 5})
    network.run(12)
    nat.move(TRAIN)
    network.run(7)
    assert at(one) == (TRAIN, True)
    ports = {row.remote.port for row in one.inbound.values()}
    assert ports == {session(one).remote.port} and one.closings == other.closings == []


def test_a_mapping_that_moves_under_traffic_is_followed_by_packets():
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    nat.move(TRAIN)
    moved_at = network.now
    flow(network, 1, out, into)
    assert at(one) == (TRAIN, True) and outage(into, moved_at) < 0.05


def test_so_it_is_over_a_bad_network():
    seed = 2296
    print("seed", seed)
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat, seed=seed)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    network.faults = Faults(drop=0.3)
    for number in range(6):
        nat.move((TRAIN, CAFE)[number % 2])
        flow(network, 20, out, into)
    network.faults = Faults()
    flow(network, 5, out, into)
    assert at(one) == (CAFE, True) and one.closings == other.closings == []
    agree(one, other, routes=1)


def test_so_it_is_while_something_else_waits_for_an_answer_from_where_the_peer_was():
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    nat.move(TRAIN)
    one.manager.rekey_child("lan", network.now)
    network.run(3)
    moved_at = network.now
    flow(network, 2, out, into)
    assert at(one) == (TRAIN, True) and outage(into, moved_at) < 0.1


def test_a_packet_from_elsewhere_moves_nothing_where_the_peer_does_not_receive():
    """Whoever captured it has sent it from there, or the peer wants somebody else to get what we send."""
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat)
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    (child,) = one.inbound.values()
    for _time in range(3):
        one.manager.moved(child.spi_in, child.local, SocketAddress(ip_address("203.0.113.99"), 4500), network.now)
        other.manager.rekey_child("lan", network.now)
        flow(network, 10, out, into)
        assert at(one) == (CAFE, True) and outage(into, network.now - 10) < 0.05
    assert one.count(ChildMoved) == 0 and one.closings == other.closings == []
    other.manager.rekey_ike("peer", network.now)
    flow(network, 5, out, into)
    nat.move(TRAIN)
    flow(network, 1, out, into)
    assert at(one) == (TRAIN, True)


def test_nor_does_a_peer_prove_that_it_receives_there_by_a_question_that_it_was_sent_where_it_is():
    nat = Nat(PRIVATE, CAFE)
    network, one, _other = roaming(address=PRIVATE, tamper=nat)
    victim = SocketAddress(ip_address("203.0.113.99"), 4500)

    def spoof(datagram: Datagram) -> Datagram | None:
        kept = nat(datagram)
        if kept is None or str(kept.local.address) != CAFE:
            return kept
        return Datagram(victim, kept.remote, kept.data)

    network.tamper = spoof
    (child,) = one.inbound.values()
    one.manager.moved(child.spi_in, child.local, victim, network.now)
    network._collect()
    network.run(60)
    assert one.count(ChildMoved) == 0 and str(session(one).remote.address) == CAFE


def test_the_originator_decides_and_follows_no_packet():
    """A NAT on the way may change the port of what comes, because another mapping has it; nobody hears there."""
    network, one, other = roaming(encapsulate=True)
    assert session(other).peer_behind_nat, "as an end says that can do ESP in UDP only"
    (child,) = other.inbound.values()
    other.manager.moved(child.spi_in, child.local, SocketAddress(child.remote.address, 32442), network.now)
    network.run(0)
    assert other.count(ChildMoved) == 0 and session(other).remote.port == 4500
    network.roam(other, CAFE)
    network.run(1)
    assert at(one) == (CAFE, True)


def test_no_message_but_the_update_moves_anything():
    """So that messages can test a path (RFC 4555 §3.8)."""
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat)
    nat.move(TRAIN)
    other.manager.rekey_child("lan", network.now)
    network.run(0.1)
    assert str(session(one).remote.address) == CAFE


def test_another_router_before_the_nat_is_noticed():
    nat = Nat(PRIVATE, CAFE)
    network, one, other = roaming(address=PRIVATE, tamper=nat)
    nat.move(TRAIN)
    network.roam(other, PRIVATE)
    network.run(0.1)
    assert at(one) == (TRAIN, True)


# ---------------------------------------------------------------------------------------------- the responder moves

def two_addresses() -> dict[str, Any]:
    def end(name: str, address: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}

    return {"endpoints": [{"local": end("hq", address), "remote": end("branch", "dynamic")} for address in (HQ, HQ_2)]}


def test_a_responder_names_its_other_addresses():
    _network, one, other = roaming(hq=two_addresses())
    assert session(other).mobility.peer_addresses == (ip_address(HQ), ip_address(HQ_2))
    assert session(one).mobility.peer_addresses == (ip_address(HOME),)


def test_an_initiator_tries_them_when_the_path_is_dead_before_it_gives_up():
    network, one, other = roaming(hq=two_addresses(), dead_peer_detection={"idle": 1, "retries": 2})
    network.ends[HQ_2] = one
    dead = {HQ}
    network.tamper = lambda datagram: (
        None if {str(datagram.local.address), str(datagram.remote.address)} & dead else datagram)
    out, into = streams(network, one, other)
    flow(network, 10, out, into)
    assert at(other) == (HQ_2, False) and one.closings == other.closings == []
    assert {str(row.local.address) for row in one.inbound.values()} == {HQ_2}
    assert outage(out, network.now - 1) < 0.05 and outage(into, network.now - 1) < 0.05


def test_of_two_endpoint_pairs_the_ike_sa_goes_over_to_the_second_and_a_new_one_back_to_the_first():
    def end(name: str, address: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}

    there = {"endpoints": [{"local": end("branch", "dynamic"), "remote": end("hq", address)} for address in (HQ, HQ_2)]}
    network, one, other = roaming(hq=two_addresses(), branch=there, dead_peer_detection={"idle": 1, "retries": 2})
    network.ends[HQ_2] = one
    dead = {HQ}
    network.tamper = lambda datagram: (
        None if {str(datagram.local.address), str(datagram.remote.address)} & dead else datagram)
    out, into = streams(network, one, other)
    ike, died_at = session(other).spi_i, network.now
    flow(network, 8, out, into)
    assert session(other).spi_i == ike and at(other) == (HQ_2, False)
    assert str(session(other).pair.remote.address) == HQ_2
    assert outage(out, died_at) < 4
    dead.clear()
    back_at = network.now
    flow(network, 60, out, into)
    assert session(other).spi_i != ike and at(other) == (HQ, False) and outage(out, back_at) < 0.05
    assert outage(into, back_at) < 0.05


def test_where_none_of_them_answers_it_gives_up():
    network, _one, other = roaming(hq=two_addresses(), dead_peer_detection={"idle": 1, "retries": 2})
    network.tamper = lambda _datagram: None
    network.run(15)
    assert len(other.closings) == 1 and "silent" in str(other.reasons)
    tried = {str(datagram.remote.address) for _time, datagram in network.sent[-40:]
             if str(datagram.local.address) == HOME}
    assert tried == {HQ, HQ_2}


def test_a_responder_whose_address_changes_tells_the_initiator_which_moves():
    network, one, other = roaming(hq={"endpoints": [
        {"local": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "hq.example"}},
         "remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "branch.example"}}}]})
    out, into = streams(network, one, other)
    flow(network, 1, out, into)
    network.roam(one, HQ_2)
    moved_at = network.now
    flow(network, 2, out, into)
    assert at(other) == (HQ_2, False) and outage(out, moved_at) < 0.1 and outage(into, moved_at) < 0.1
    agree(one, other, routes=1)


def test_where_both_ends_move_at_once_neither_finds_the_other_and_both_say_so():
    network, one, other = roaming(hq={"endpoints": [
        {"local": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "hq.example"}},
         "remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "branch.example"}}}]},
        dead_peer_detection={"idle": 1, "retries": 3})
    network.roam(one, HQ_2)
    network.roam(other, CAFE)
    network.run(60)
    assert "silent" in str(one.reasons) and "silent" in str(other.reasons)
    assert len(one.closings) == len(other.closings) == 1


@pytest.mark.parametrize("rekeyed", [False, True])
def test_a_peer_that_crashes_where_it_has_moved_to_proves_it(rekeyed: bool):
    network, one, other = roaming()
    network.roam(other, CAFE)
    network.run(1)
    if rekeyed:
        one.manager.rekey_ike("peer", network.now)
        network.run(1)
    fresh = network.ends[CAFE] = network.end(other.manager._declared.side, CAFE)
    one.events.clear()
    (peer,) = fresh.manager._declared.peers.values()
    peer.wanted = False
    fresh.manager.greet(network.now, ())
    network.run(0.2)
    assert one.closings == ["the peer has started anew and knows it no more"]


def test_so_does_an_end_whose_other_address_the_initiator_has_gone_to():
    network, one, other = roaming(hq=two_addresses(), branch={"dead_peer_detection": {"idle": 1, "retries": 2}})
    network.ends[HQ_2] = one
    network.cut(HQ, HOME)
    network.run(8)
    assert at(other) == (HQ_2, False)
    fresh = network.ends[HQ_2] = network.end(one.manager._declared.side)
    network.run(3)
    assert "the peer has started anew and knows it no more" in other.closings
    network.ends[HQ] = fresh
    network.mend(HQ, HOME)
    network.run(10)
    agree(fresh, other, routes=1)


def test_from_ipv4_to_ipv6_and_back():
    network, one, other = roaming(hq={**two_addresses(), "endpoints": [
        *two_addresses()["endpoints"][:1],
        {"local": {"address": HQ_6, "identifier": {"type": "domain-name", "value": "hq.example"}},
         "remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "branch.example"}}}]})
    network.ends[HQ_6] = one
    out, into = streams(network, one, other)
    network.roam(other, HOME_6)
    flow(network, 1, out, into)
    assert at(one) == (HOME_6, False) and at(other) == (HQ_6, False)
    assert outage(into, network.now - 0.5) < 0.05


# ---------------------------------------------------------------------------------------------- hostile peers

class Hostile(Task):
    """An authentic peer that says anything."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self, rows: list[Notify]) -> None:
        self._rows = rows

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return list(self._rows)

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        pass


@pytest.mark.parametrize("who", ["one", "other"])
def test_whatever_an_authentic_peer_says_of_addresses_nothing_is_raised(who):
    draw = random.Random(seed := 45550)
    print("seed", seed)
    kinds = [*mobike.RULES, NotifyType.UNACCEPTABLE_ADDRESSES, NotifyType.UNEXPECTED_NAT_DETECTED]
    for _trial in range(150):
        network, one, other = roaming(seed=draw.randrange(10**6), dead_peer_detection={"idle": 2, "retries": 2})
        attacker = one if who == "one" else other
        for _message in range(5):
            if attacker.manager._sessions.established("peer"):
                rows = [Notify(draw.choice(kinds), draw.randbytes(draw.choice((0, 4, 8, 12, 16, 20, 36, 64, 65))))
                        for _row in range(draw.randrange(1, 5))]
                session(attacker).requests.add(Hostile(rows), network.now)
                attacker.manager._touch(session(attacker))
            if draw.random() < 0.3:
                network.roam(other, draw.choice((CAFE, TRAIN, HOME)))
            network.run(0.2)
        network.run(30)
        agree(one, other, routes=1)


# ---------------------------------------------------------------------------------------------- peers that misbehave

def test_a_peer_that_refuses_each_of_its_addresses_is_not_asked_for_ever():
    network, one, other = roaming(hq=two_addresses())
    network.ends[HQ_2] = one
    one.manager._is_acceptable = lambda _gateway, _local, _remote: False
    before = len(network.sent)
    network.roam(other, CAFE)
    network.run(10)
    assert len(network.sent) - before < 30


@pytest.mark.parametrize("every", [0.05, 0.5])
def test_a_peer_that_moves_on_and_on_and_answers_nothing_is_asked_one_thing_at_a_time_and_not_for_ever(every: float):
    network, one, other = roaming()
    hostile, honest = session(other), session(one)
    began = network.now
    while not one.closings:
        number = round((network.now - began) / every)
        update = hostile.encode(mobike.UpdateAddresses().request(hostile, network.now), ExchangeType.INFORMATIONAL,
                                hostile.requests.next_id, response=False)
        hostile.requests._next_id += 1
        source = SocketAddress(ip_address(f"203.0.113.{number % 250 + 1}"), 4500)
        one.manager.receive(Datagram(SocketAddress(ip_address(HQ), 4500), source, update[0]), network.now)
        network.now += every
        one.manager.handle_timer(network.now)
        one.take_events()
        assert len(honest.requests.all()) <= 2 and network.now < began + 90
    assert network.now >= began + 60


def test_no_child_sa_goes_where_the_peer_has_not_shown_to_be():
    network, one, other = roaming()
    victim = ip_address("203.0.113.99")

    def spoof(datagram: Datagram) -> Datagram:
        if str(datagram.local.address) == HOME:
            return Datagram(SocketAddress(victim, datagram.local.port), datagram.remote, datagram.data)
        return datagram

    network.tamper = spoof
    hostile = session(other)
    hostile.requests.add(mobike.UpdateAddresses(), network.now)
    network._collect()
    network.run(0.1)
    hostile.requests.done(hostile.requests.outstanding)  # it goes on without an answer, which it cannot receive
    hostile.rekey_child(hostile.children[0], network.now)
    network._collect()
    network.run(6)
    assert {str(child.remote.address) for child in one.sending.values()} == {HOME}


def test_a_rekey_that_overtakes_the_question_whether_the_peer_is_there_leaves_no_child_sa_behind():
    network, one, other = roaming()
    lost = []

    def lose_the_question(datagram: Datagram) -> Datagram | None:
        header = decode_header(datagram.data)
        if (str(datagram.local.address), header.exchange, header.is_response, len(lost)) == (
                HQ, ExchangeType.INFORMATIONAL, False, 0):
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_the_question
    network.roam(other, CAFE)
    other.manager.rekey_ike("peer", network.now)
    network._collect()
    network.run(60)
    assert lost
    assert at(one) == (CAFE, False)
    agree(one, other, routes=1)


def reached_at_its_second_address(start: str) -> tuple[VirtualNetwork, End, End]:
    """(network, hq, branch): the branch knows hq by HQ_2 alone, hq sends from HQ where it has the choice."""
    def end(name: str, address: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}

    head = virtual_network.hq(start=start, gateway={"endpoints": [
        {"local": end("hq", "dynamic"), "remote": end("branch", HOME)}]})
    office = virtual_network.branch(start="answer", gateway={"endpoints": [
        {"local": end("branch", HOME), "remote": end("hq", HQ_2)}]})
    network = VirtualNetwork({HQ: head, HOME: office})
    one, other = network.ends[HQ], network.ends[HOME]
    network.ends[HQ_2] = one
    other.manager.initiate("peer", network.now)
    return network, one, other


@pytest.mark.parametrize("start", ["answer", "traffic", "boot"])
def test_a_peer_that_came_by_another_address_of_ours_is_left_alone_when_the_way_to_it_is_looked_at(start):
    network, one, other = reached_at_its_second_address(start)
    network._collect()
    network.run(1)
    one.manager.path_changed(ip_address(HOME), network.now)
    network._collect()
    network.run(60)
    assert not one.closings and not other.closings
    assert {str(child.local.address) for child in one.inbound.values()} == {HQ_2}
    agree(one, other, routes=1)


def test_who_is_half_open_is_left_alone_when_the_way_to_it_is_another():
    network, one, other = reached_at_its_second_address("answer")
    (first,) = other.manager.datagrams_to_send()
    (begun,) = other.manager._sessions
    zero = first.data.replace(begun.key_exchange.public, bytes(32))
    one.manager.receive(Datagram(SocketAddress(ip_address(HQ_2), 500), first.local, zero), network.now)
    assert one.manager.datagrams_to_send()
    one.manager.path_changed(ip_address(HOME), network.now)
    assert not one.manager.datagrams_to_send()
