# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators, reloads and strangers that come while an exchange is under way."""

from __future__ import annotations

import os
import random
import secrets
from contextlib import suppress
from dataclasses import replace

import pytest
from ikeengine.ike.context import Settings
from ikeengine.ike.events import ChildInbound, ChildRemoved, IkeRekeyed
from ikeengine.ikev2.create_child_sa import CreateChild
from ikeengine.ikev2.informational import DeleteChild, DeleteOffered, Liveness
from ikeengine.security_association import Datagram, NoSpi
from ikeengine.wire.constants import ExchangeType, NotifyType, ProtocolId
from ikeengine.wire.delete import Delete
from ikeengine.wire.header import decode_header
from ikeengine.wire.message import decode_message, encode_message

from tests.support.virtual_network import BRANCH, HQ, PSK, ROUTES, TRANSFORM, Faults, agree, branch, hq, pair

TWO_ROUTES = (*ROUTES, ("10.1.1.0/24", "10.2.1.0/24"))


def two_tunnels(**changes):
    network, one, other = pair(hq(routes=TWO_ROUTES, tunnels=2), branch(routes=TWO_ROUTES, tunnels=2, start="answer"),
                               **changes)
    network.start()
    return network, one, other


def tunnels_of(end):
    return sorted(child.tunnel for child in end.inbound.values())


def test_a_gateway_taken_down_between_ike_sa_init_and_ike_auth_does_not_come_up():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(0.015)  # the answer to IKE_SA_INIT is on its way
    other.manager.terminate("peer", network.now)
    network.run(5)
    assert [row.state for row in other.manager.overview.gateways()] == ["down"]
    assert not one.inbound and not other.inbound


def test_traffic_does_not_bring_up_a_gateway_that_was_taken_down():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(5)
    (child,) = one.inbound.values()
    one.manager.terminate("peer", network.now)
    network.run(5)
    one.manager.acquire(child.reqid, network.now)
    network.run(5)
    assert [row.state for row in one.manager.overview.gateways()] == ["down"]
    one.manager.initiate("peer", network.now)
    network.run(5)
    agree(one, other, routes=1)


def test_a_tunnel_taken_down_while_it_comes_up_stays_down():
    network, one, other = two_tunnels()
    network.run(0.045)  # its CREATE_CHILD_SA request is on its way
    one.manager.terminate("peer", network.now, "lan1")
    network.run(10)
    assert tunnels_of(one) == tunnels_of(other) == ["lan"]
    agree(one, other, routes=1)


def test_a_tunnel_taken_down_before_its_request_left_is_not_asked_for():
    network, one, other = two_tunnels()
    network.run(0.005)  # only IKE_SA_INIT is on its way
    one.manager.terminate("peer", network.now, "lan")
    one.manager.terminate("peer", network.now, "lan1")
    network.run(10)
    assert not one.inbound and other.count(ChildInbound) == 0


@pytest.mark.parametrize("begins", ["created", "rekeyed here", "rekeyed there"])
def test_a_tunnel_that_a_reload_removes_in_the_midst_of_an_exchange_is_gone(begins):
    network, one, other = two_tunnels()
    network.run(0.045 if begins == "created" else 5)
    if begins != "created":
        (one if begins == "rekeyed here" else other).manager.rekey_child("lan1", network.now)
        network.run(0.005)
    one.manager.reload(hq(), network.now)
    network.run(10)
    assert tunnels_of(one) == tunnels_of(other) == ["lan"]
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(6))
def test_an_ike_sa_that_is_to_give_way_still_does_after_a_rekey(seed):
    network, one, other = pair(hq(), branch(), seed=seed)
    lost = []

    def lose_the_first_request_of_branch(datagram):
        header = decode_header(datagram.data)
        if str(datagram.local.address) == BRANCH and header.is_initiator and not header.is_response and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_the_first_request_of_branch
    network.start()
    network.run(1)
    one.manager.rekey_ike("peer", network.now)
    network.run(60)
    agree(one, other, routes=1)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1


@pytest.mark.parametrize("exchange", [ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL])
def test_a_request_before_there_are_keys_is_counted_and_dropped(exchange):
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(0.005)
    sent = network.sent[0][1]
    request = encode_message(spi_i=decode_header(sent.data).spi_i, spi_r=bytes(8), exchange=exchange, flags=0,
                             message_id=0, payloads=[])
    one.manager.receive(Datagram(sent.local, sent.remote, request), network.now)
    assert one.manager.counters["not_authentic"] == 1
    network.run(5)
    agree(one, other, routes=1)


@pytest.mark.parametrize("failing", [HQ, BRANCH])
def test_a_data_plane_without_spis_is_told_and_tried_again(failing):
    network, one, other = pair(hq(), branch(start="answer"))
    manager = network.ends[failing].manager
    allocate = manager._allocate_spi

    def refuse(*_asked):
        raise NoSpi("the kernel refuses")

    manager._allocate_spi = refuse
    network.start()
    network.run(20)
    assert any("the kernel refuses" in reason for reason in network.ends[failing].reasons)
    assert not one.inbound and not other.inbound
    manager._allocate_spi = allocate
    network.run(120)
    agree(one, other, routes=1)
    (before,) = one.inbound
    manager._allocate_spi = refuse
    one.come_due(network.now)
    network.run(3)
    assert set(one.inbound) == {before}
    manager._allocate_spi = allocate
    network.run(20)
    agree(one, other, routes=1)
    assert before not in one.inbound


def test_an_ike_sa_is_rekeyed_with_the_key_group_that_the_peer_insists_on():
    ours = (TRANSFORM, {**TRANSFORM, "name": "p1b", "key_group": 19})
    network, one, other = pair(hq(transforms=ours), branch(transforms=ours, start="answer"))
    network.start()
    network.run(5)
    (session,) = other.manager._sessions.of("peer")
    session.gateway = replace(session.gateway, transforms=session.gateway.transforms[1:])
    session.protection.transform = session.gateway.transforms[0]
    one.manager.rekey_ike("peer", network.now)
    network.run(1)
    assert one.count(IkeRekeyed) == other.count(IkeRekeyed) == 1 and not one.reasons
    assert one.manager.overview.gateways()[0].ike[0].suite.endswith("group 19")
    agree(one, other, routes=1)


def test_an_unknown_critical_payload_in_the_first_request_is_named():
    network, _one, other = pair(hq(), branch(start="answer"))
    network.tamper = lambda datagram: None
    network.start()
    network.run(0.005)
    sent = network.sent[0][1]
    unknown = b"\x00\x80\x00\x04"  # no more payloads, critical, 4 octets
    header = replace(decode_header(sent.data), next_payload=200, length=28 + len(unknown))
    other.manager.receive(Datagram(sent.remote, sent.local, header.encode() + unknown), network.now)
    (answer,) = other.manager.datagrams_to_send()
    (row,) = decode_message(answer.data).payloads
    assert (row.notify_type, row.data) == (NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8")
    assert other.manager.counters["unsupported_critical_payload"] == 1


@pytest.mark.parametrize(("exchange", "psk"), [(ExchangeType.INFORMATIONAL, PSK), (ExchangeType.IKE_AUTH, "another")])
def test_the_last_answer_of_an_ike_sa_is_given_again_when_it_was_lost(exchange, psk):
    network, one, other = pair(hq(), branch(psk=psk, start="answer"))
    lost = []

    def lose_one_answer(datagram):
        header = decode_header(datagram.data)
        if header.is_response and header.exchange == exchange and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_one_answer
    network.start()
    network.run(0.3)
    if psk == PSK:
        one.manager.terminate("peer", network.now)
    network.run(1)
    assert lost and not one.inbound and not other.inbound
    assert not any("silent" in reason for reason in one.reasons)
    assert psk == PSK or "AUTHENTICATION_FAILED" in one.reasons[0]


def test_what_waits_for_the_successor_leaves_after_the_answer_that_makes_it_known():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    session = other.manager._sessions.of("peer")[0]
    child = session.children[0]
    session.requests.add(Liveness(), network.now)
    session.requests.add(CreateChild(child.tunnel, child.sa.declared, child), network.now)
    one.manager.rekey_ike("peer", network.now)
    network.run(0.2)
    assert one.manager.counters["unknown_spi"] == 0
    agree(one, other, routes=1)


def test_the_last_words_of_an_ike_sa_are_not_taken_for_a_request_under_way():
    life = {**TRANSFORM, "sa_life": "100s"}
    network, one, other = pair(hq(transforms=(life,), start="answer"), branch(start="answer"),
                               settings=Settings(rekey_creator=(2, 2), rekey_other=(2, 2)))
    one.manager.initiate("peer", network.now)
    network.run(99.95)
    one.manager._sessions.of("peer")[0].requests.add(Liveness(), network.now)
    one.manager._declared.peers["peer"].wanted = False
    network.tamper = lambda datagram: None if str(datagram.local.address) == BRANCH else datagram
    network.run(0.3)
    assert not one.inbound and not other.inbound
    assert other.closings == ["the peer closed it"]


def test_a_peer_that_deletes_what_it_never_had_makes_us_keep_little():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    network.tamper = lambda datagram: None if str(datagram.local.address) == BRANCH and decode_header(
        datagram.data).exchange == ExchangeType.CREATE_CHILD_SA else datagram
    one.manager.rekey_child("lan", network.now)
    for number in range(20):
        spis = tuple((number << 8 | low).to_bytes(4, "big") for low in range(256))
        task = DeleteOffered(ProtocolId.ESP, 1)
        task._delete = Delete(ProtocolId.ESP, spis)
        other.manager._sessions.of("peer")[0].requests.add(task, network.now)
        network.run(0.1)
    session = one.manager._sessions.of("peer")[0]
    assert session.requests.current is not None
    assert 0x13FF in session.deleted_ahead and len(session.deleted_ahead) <= 64


def test_a_peer_that_makes_child_sas_and_deletes_none_gets_a_bounded_number(monkeypatch):
    monkeypatch.setattr(DeleteChild, "request", lambda *_: None)
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    for _time in range(40):
        one.manager.rekey_child("lan", network.now)
        network.run(0.1)
    assert len(other.inbound) == 18
    assert "the peer has 18 SA pairs, we allow no more for 1 tunnel routes: " in other.reasons[0]


def rekeyed_for_one_end_alone(seconds):
    """Both ends have rekeyed the IKE SA at once. The left one never hears of the other's, and goes on with what waited
    behind its own; the other does not hear for so long that the old IKE SA goes."""
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    old, healed = one.manager.overview.gateways()[0].ike[0].spi_i, network.now + seconds

    def tamper(datagram):
        header = decode_header(datagram.data)
        mine = str(datagram.local.address) == HQ
        lost = ExchangeType.INFORMATIONAL if mine else ExchangeType.CREATE_CHILD_SA
        is_lost = not header.is_response and header.exchange == lost and header.spi_i == old
        return None if is_lost and network.now < healed else datagram

    network.tamper = tamper
    one.manager.rekey_child("lan", network.now)
    one.manager.rekey_ike("peer", network.now)
    network.run(0.025)
    other.manager.rekey_ike("peer", network.now)
    network.run(1)
    assert one.count(IkeRekeyed) == 1 and other.count(IkeRekeyed) == 0
    return network, one, other, old


@pytest.mark.parametrize("seconds", [2, 1000])
def test_a_new_ike_sa_serves_though_only_one_end_knows_that_the_old_one_goes(seconds):
    network, one, other, old = rekeyed_for_one_end_alone(seconds)
    assert len(one.inbound) == len(other.inbound) == 1
    network.run(120)
    agree(one, other, routes=1)
    for end in (one, other):
        assert end.count(IkeRekeyed) == 1
        assert [ike.spi_i != old for ike in end.manager.overview.gateways()[0].ike] == [True]
        end.manager.rekey_child("lan", network.now)
        network.run(6)
        agree(one, other, routes=1)


@pytest.mark.parametrize("seconds", [2, 1000])
def test_a_new_ike_sa_that_goes_before_the_old_one_takes_its_child_sas_along(seconds):
    network, one, other, _old = rekeyed_for_one_end_alone(seconds)
    one.manager.terminate("peer", network.now)
    network.run(120)
    assert not one.inbound and not other.inbound
    assert all(end.manager.is_idle for end in (one, other))


@pytest.mark.parametrize("seconds", [2, 1000])
def test_a_new_ike_sa_is_not_rekeyed_before_it_has_its_child_sas(seconds):
    network, one, other, _old = rekeyed_for_one_end_alone(seconds)
    one.manager.rekey_ike("peer", network.now)
    network.run(120)
    agree(one, other, routes=1)
    assert not one.reasons and other.count(ChildRemoved) == 1


@pytest.mark.parametrize("options", [{}, {
    "transforms": ({**TRANSFORM, "additional_key_exchange": "ML-KEM-768"},),
    "pfs": {"enabled": True, "key_group": 31, "additional_key_exchange": "ML-KEM-768"}}], ids=["plain", "hybrid"])
def test_orders_at_any_moment_on_a_bad_network_come_to_rest(options):
    first = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    for seed in range(first, first + 150):
        print(f"TANDEM_SEED={seed}")
        rng = random.Random(seed)
        network, one, other = pair(
            hq(routes=TWO_ROUTES, **options),
            branch(routes=TWO_ROUTES, start=rng.choice(("answer", "boot")), **options),
            seed=seed, faults=Faults(0.15, 0.1, 0.2, 0.05, until=1030.0))
        network.start()
        network.run(3 * rng.random())
        for _order in range(rng.randrange(2, 8)):
            manager = rng.choice((one, other)).manager
            order = rng.choice((manager.rekey_ike, manager.initiate, manager.rekey_child))
            with suppress(LookupError):
                order("lan" if order == manager.rekey_child else "peer", network.now)
            network.run(rng.random() * rng.choice((0.02, 0.1, 2)))
        network.run(200)
        agree(one, other, routes=2)
