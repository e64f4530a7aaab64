# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs that are made anew beside those that are up, so that no packet is lost (RFC 7296 §2.8.3)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ikeengine.ike.events import ChildInbound
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.ikev2.create_child_sa import CreateChild
from ikeengine.ikev2.session import Ikev2Session

from tests.support import ikev1, virtual_network
from tests.support.traffic import Traffic
from tests.support.virtual_network import BRANCH, HQ, PSK, TRANSFORM, agree, pair

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]
ROUTES = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(3))
NEW = {**TRANSFORM, "encryption": "AES-128", "key_group": 14}


def _up(version, seed=0, latency=0.01, **changes):
    network, one, other = pair(version.hq(routes=ROUTES, **changes),
                               version.branch(routes=ROUTES, start="answer", **changes), seed=seed, latency=latency)
    network.start()
    network.run(10)
    agree(one, other, routes=len(ROUTES))
    return network, one, other, Traffic(network)


def _suites(end):
    return [row.suite for row in end.manager.overview.gateways()[0].ike]


@pytest.mark.parametrize("replaces", ["initiator", "responder"])
@pytest.mark.parametrize("latency", [0.001, 0.1])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_ike_sa_and_its_child_sas_are_made_anew_without_loss(version, latency, replaces):
    network, one, other, traffic = _up(version, latency=latency)
    before = set(one.inbound) | set(other.inbound), one.manager.overview.gateways()[0].ike[0].spi_i
    traffic.run(0.1)
    assert (one if replaces == "initiator" else other).manager.replace("peer", network.now)
    traffic.run(12)
    assert (traffic.lost, traffic.sent > 10000) == ([], True)
    agree(one, other, routes=len(ROUTES))
    assert not before[0] & (set(one.inbound) | set(other.inbound))
    assert [row.spi_i for row in one.manager.overview.gateways()[0].ike] != [before[1]]
    assert len(_suites(one)) == len(_suites(other)) == 1
    assert one.reasons == other.reasons == []
    before = len(network.sent)
    network.run(4)
    assert len(network.sent) == before  # at rest


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("version", VERSIONS)
def test_both_ends_at_once_end_with_one(version, seed):
    network, one, other, traffic = _up(version, seed=seed)
    traffic.run(0.05)
    one.manager.replace("peer", network.now)
    traffic.run(0.005 * seed)
    other.manager.replace("peer", network.now)
    traffic.run(40)
    assert traffic.lost == []
    agree(one, other, routes=len(ROUTES))
    assert len(_suites(one)) == len(_suites(other)) == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("after", [0.25, 0.3, 0.45, 0.7])
def test_a_replacement_stays_though_the_peer_rekeys_meanwhile_what_it_replaces(after, seed):
    network, one, other, traffic = _up(virtual_network, seed=seed, latency=0.2)
    assert one.manager.replace("peer", network.now)
    traffic.run(after)
    (new,) = (session for session in one.manager._sessions.of("peer") if not session.superseded)
    other.manager.rekey_ike("peer", network.now)
    traffic.run(30)
    agree(one, other, routes=len(ROUTES))
    assert [row.spi_i for row in one.manager.overview.gateways()[0].ike] == [new.spi_i]
    assert one.count(ChildInbound) == 2 * len(ROUTES)
    assert traffic.lost == []


@pytest.mark.parametrize("seed", range(6))
def test_an_ike_sa_that_gives_way_asks_for_nothing_more(monkeypatch, seed):
    asked = []

    def noted(task, session, now):
        payloads = request(task, session, now)
        asked.append(payloads is not None and session.is_going)
        return payloads

    request = CreateChild.request
    monkeypatch.setattr(CreateChild, "request", noted)
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(8))
    network, one, other = pair(*(end(routes=routes, tunnels=4) for end in (virtual_network.hq, virtual_network.branch)),
                               seed=seed, latency=0.2)
    network.start()
    network.run(60)
    agree(one, other, routes=8)
    assert len(asked) > 8 and not any(asked)


@pytest.mark.parametrize("first", ["initiator", "responder"])
@pytest.mark.parametrize("version", VERSIONS)
def test_phase_1_that_changes_at_one_end_after_the_other_loses_nothing(version, first):
    """As a playbook does it, one host after the other."""
    network, one, other, traffic = _up(version)
    steps = [lambda: one.manager.reload(version.hq(routes=ROUTES, transforms=(NEW,)), network.now),
             lambda: other.manager.reload(version.branch(routes=ROUTES, start="answer", transforms=(NEW,)),
                                          network.now)]
    for step in steps if first == "initiator" else steps[::-1]:
        assert step().changed == ("gateway peer",)
        traffic.run(7)
    traffic.run(12)
    assert traffic.lost == []
    agree(one, other, routes=len(ROUTES))
    assert _suites(one) == _suites(other) == ["AES-128/SHA2-256/group 14"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_declared_no_more_goes_a_minute_later_where_the_peer_does_not_follow(version):
    network, one, other, traffic = _up(version)
    one.manager.reload(version.hq(routes=ROUTES, transforms=(NEW,)), network.now)
    traffic.run(59)
    assert traffic.lost == []
    assert "NO_PROPOSAL_CHOSEN" in one.manager.overview.gateways()[0].last_error
    network.run(2)
    assert not one.inbound and not other.inbound
    assert one.closings[-1] == "it is declared otherwise, and the peer takes no successor"
    other.manager.reload(version.branch(routes=ROUTES, start="answer", transforms=(NEW,)), network.now)
    network.run(80)
    agree(one, other, routes=len(ROUTES))


@pytest.mark.parametrize("meanwhile", [{"psk": PSK + "1"}, {"start": "answer"}, {"start": "traffic"}], ids=str)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_declared_no_more_goes_as_soon_whatever_is_declared_meanwhile(version, meanwhile):
    network, one, other, _traffic = _up(version)
    one.manager.reload(version.hq(routes=ROUTES, transforms=(NEW,)), network.now)
    network.run(20)
    one.manager.reload(version.hq(routes=ROUTES, transforms=(NEW,), **meanwhile), network.now)
    network.run(41)
    assert not one.inbound and not other.inbound and _suites(one) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_replacement_that_fails_and_was_not_needed_leaves_all_as_it_was(version):
    network, one, other, traffic = _up(version)
    before = dict(one.inbound)
    begins = (b"\x22", b"\x02")  # IKE_SA_INIT, Main Mode
    network.tamper = lambda datagram: None if datagram.data[18:19] in begins else datagram
    one.manager.replace("peer", network.now)
    traffic.run(70)
    assert traffic.lost == [] and one.inbound == before
    assert one.manager.overview.gateways()[0].state == "established"
    network.tamper = lambda datagram: datagram
    traffic.run(5)
    assert one.inbound == before  # it is not tried again
    one.manager.replace("peer", network.now)
    traffic.run(12)
    assert traffic.lost == [] and not set(before) & set(one.inbound)
    agree(one, other, routes=len(ROUTES))


@pytest.mark.parametrize("first", ["initiator", "responder"])
@pytest.mark.parametrize("version", VERSIONS)
def test_tunnels_that_go_over_to_userspace_get_an_ike_sa_for_esp_in_udp(version, first):
    """It does nothing else; what is up does ESP without, and its child SAs would be of no use."""
    userspace = []
    network, one, other = pair(version.hq(), version.branch(start="answer"),
                               encapsulate=lambda _gateway: bool(userspace))
    network.start()
    network.run(10)
    assert not any(child.udp_encapsulated for child in one.inbound.values())
    userspace.append("the tunnel")
    (one if first == "initiator" else other).manager.reload(
        version.hq() if first == "initiator" else version.branch(start="answer"), network.now)
    network.run(12)
    agree(one, other, routes=1)
    assert all(child.udp_encapsulated for end in (one, other) for child in end.inbound.values())
    assert one.reasons == other.reasons == []


@pytest.mark.parametrize("version", VERSIONS)
def test_many_routes_are_asked_for_in_one_go(version, monkeypatch):
    """What is under way is looked through once, not once for each route."""
    kind = {ikev1: Ikev1Session, virtual_network: Ikev2Session}[version]
    network, one, _other, _traffic = _up(version)
    looked, plain = [], kind.asked_for
    monkeypatch.setattr(kind, "asked_for", lambda session: looked.append(session) or plain(session))
    one.manager.replace("peer", network.now)
    assert len(looked) == 1
    assert {name for session in one.manager._sessions.beginning("peer") for name in plain(session)} == {
        ("lan", route) for route in one.manager.tunnels_of("peer")[0].secured}


def test_a_peer_that_begins_one_ike_sa_after_another_holds_a_few_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    network, one, other = pair(virtual_network.hq(start="answer"), virtual_network.branch(start="answer"))
    manager = other.manager
    monkeypatch.setattr(manager, "is_first_contact", lambda _session: False)
    monkeypatch.setattr(manager._keep_up, "established", lambda *_given: None)  # it never closes any
    peer = manager._declared.peers["peer"]
    most = 0
    for _number in range(120):
        session = manager._keep_up._begin_by(peer, peer.gateway.endpoints[0], (ip_address(BRANCH), ip_address(HQ)),
                                             network.now, probe=True)
        (tunnel,) = manager.tunnels_of("peer")
        session.ask_for([(tunnel, tunnel.secured[0])], network.now)
        network._collect()
        network.run(0.5)
        most = max(most, len(one.manager._sessions.established("peer")))
    print(f"at most {most} IKE SAs at once")
    assert most <= 15
