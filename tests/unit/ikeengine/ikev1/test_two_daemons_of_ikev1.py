# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two daemons reach together by IKEv1, on a virtual clock."""

from __future__ import annotations

import pytest
from ikeengine.ike.events import ChildRemoved, IkeEstablished
from ikeengine.wire.header import decode_header

from tests.support.ikev1 import PROPOSAL, TRANSFORM, branch, hq
from tests.support.virtual_network import BRANCH, HQ, agree, pair

MAIN, AGGRESSIVE, FALLBACK = {"mode": "main"}, {"mode": "aggressive"}, {"mode": "main-fallback-aggressive"}
MODES = pytest.mark.parametrize("mode", [MAIN, AGGRESSIVE], ids=lambda mode: mode["mode"])
SETTLED = 25


def exchanges(network) -> list[int]:
    return [decode_header(datagram.data).exchange for _time, datagram in network.sent if len(datagram.data) > 1]


def up(one, other, **options):
    network, left, right = pair(one, other, **options)
    network.start()
    network.run(1)
    return network, left, right


@pytest.mark.parametrize(("mode", "messages"), [(MAIN, [2] * 6), (AGGRESSIVE, [4] * 3)], ids=["main", "aggressive"])
def test_one_end_initiates_and_both_hold_the_same_sa_pair(mode, messages):
    network, one, other = up(hq(gateway=mode), branch(gateway=mode))
    agree(one, other, routes=1)
    assert exchanges(network) == messages + [32] * 3
    assert one.manager.overview.tunnels()[0].state == other.manager.overview.tunnels()[0].state == "up"
    (ike,) = one.manager.overview.gateways()[0].ike
    assert (ike.suite, ike.version) == ("AES-256/SHA2-256/group 14", 1)
    assert not one.manager.counters and not other.manager.counters


@MODES
@pytest.mark.parametrize("group", [1, 2, 5, 14, 15, 16, 19, 20, 21])
@pytest.mark.parametrize("encryption", ["DES", "3DES", "AES-128", "AES-192", "AES-256"])
@pytest.mark.parametrize("authentication", ["MD5", "SHA1", "SHA2-256", "SHA2-384", "SHA2-512"])
def test_every_suite_of_phase_1(mode, group, encryption, authentication):
    if group in (15, 16) and (encryption, authentication) != ("AES-256", "SHA2-256"):
        return  # what these cost shows nothing more
    transform = {**TRANSFORM, "encryption": encryption, "authentication": authentication, "key_group": group}
    _network, one, other = up(hq(gateway=mode, transforms=(transform,)), branch(gateway=mode, transforms=(transform,)))
    agree(one, other, routes=1)


@pytest.mark.parametrize("proposal", [
    *({"protocol": "ESP", "encryption": name} for name in ("AES-GCM-128", "AES-GCM-192", "AES-GCM-256")),
    *({"protocol": "ESP", "encryption": name, "authentication": hash_name}
      for name, hash_name in (("DES", "MD5"), ("3DES", "SHA1"), ("AES-128", "SHA2-256"), ("AES-192", "SHA2-384"),
                              ("AES-256", "SHA2-512"))),
    *({"protocol": "AH", "authentication": name} for name in ("MD5", "SHA1", "SHA2-256", "SHA2-384", "SHA2-512"))],
    ids=lambda row: " ".join(row.values()))
@pytest.mark.parametrize("pfs", [{"enabled": False}, {"enabled": True, "key_group": 19}], ids=["no PFS", "PFS"])
def test_every_suite_of_phase_2(proposal, pfs):
    proposal = {"name": "p2", "force_key_expiration": {"time": "8h"}, **proposal}
    network, one, other = up(hq(proposals=(proposal,), pfs=pfs), branch(proposals=(proposal,), pfs=pfs))
    agree(one, other, routes=1)
    spis = set(one.inbound)
    one.manager.rekey_child("lan", network.now)
    network.run(SETTLED)
    agree(one, other, routes=1)
    assert not spis & set(one.inbound)


@pytest.mark.parametrize("local", ["10.1.0.1", "10.1.0.0/24", "10.1.0.10-10.1.0.20", "2001:db8:1::1",
                                   "2001:db8:1::/64", "2001:db8:1::1-2001:db8:1::9"])
def test_routes_of_every_kind(local):
    remote = local.replace("10.1", "10.2").replace("db8:1", "db8:2")
    _network, one, other = up(hq(routes=((local, remote),)), branch(routes=((local, remote),)))
    agree(one, other, routes=1)


@pytest.mark.parametrize("initiator", ["hq", "branch"])
def test_sixty_four_quick_modes_in_parallel(initiator):
    """As a cluster opens after a failover (and we to it)."""
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(64))
    starts = ("boot", "answer") if initiator == "hq" else ("answer", "boot")
    network, one, other = pair(hq(routes=routes, tunnels=8, start=starts[0], pfs={"enabled": False}),
                               branch(routes=routes, tunnels=8, start=starts[1], pfs={"enabled": False}))
    network.start()
    network.run(0.2)
    agree(one, other, routes=64)
    first_answers = exchanges(network)[6 : 6 + 64]
    assert first_answers == [32] * 64 and len(exchanges(network)) == 6 + 3 * 64


@pytest.mark.parametrize("seed", range(20))
@MODES
def test_both_ends_initiating_at_once_converge_to_one_isakmp_sa(mode, seed):
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = pair(hq(routes=routes, gateway=mode), branch(routes=routes, gateway=mode, start="boot"),
                               seed=seed)
    network.start()
    network.run(SETTLED)
    agree(one, other, routes=2)
    ike = [{(row.spi_i, row.spi_r) for row in end.manager.overview.gateways()[0].ike} for end in (one, other)]
    assert ike[0] == ike[1] and len(ike[0]) == 1
    assert not one.reasons and not other.reasons


@pytest.mark.parametrize("seed", range(20))
def test_both_ends_rekeying_at_once_end_with_one_sa(seed):
    network, one, other = pair(hq(), branch(), seed=seed)
    network.start()
    network.run(1)
    for _time in range(3):
        one.manager.rekey_child("lan", network.now)
        other.manager.rekey_child("lan", network.now)
        network.run(SETTLED)
        agree(one, other, routes=1)
        one.manager.rekey_ike("peer", network.now)
        other.manager.rekey_ike("peer", network.now)
        network.run(SETTLED)
        agree(one, other, routes=1)
        assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1
        one.manager.rekey_ike("peer", network.now)
        other.manager.rekey_child("lan", network.now)
        network.run(SETTLED)
        agree(one, other, routes=1)


def test_a_new_isakmp_sa_takes_the_children_over_before_the_old_one_goes():
    network, one, other = up(hq(), branch())
    children = set(one.inbound)
    for end in (one, other):
        before = one.manager.overview.gateways()[0].ike[0].spi_i
        end.manager.rekey_ike("peer", network.now)
        network.run(SETTLED)
        agree(one, other, routes=1)
        (after,) = one.manager.overview.gateways()[0].ike
        assert after.spi_i != before and set(one.inbound) == children
        assert not any(isinstance(event, ChildRemoved) for event in one.events + other.events)
    assert one.closings == other.closings == ["rekeyed", "rekeyed"]
    one.manager.rekey_child("lan", network.now)
    network.run(SETTLED)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons


@MODES
def test_three_days_of_lifetimes_pass_without_a_gap(mode):
    network, one, other = up(hq(gateway=mode), branch(gateway=mode))
    for _hour in range(3 * 24):
        network.run(3600)
        assert one.sending and other.sending
    network.run(SETTLED)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons
    assert {"rekeyed"} == set(one.closings)
    assert sum(isinstance(event, IkeEstablished) for event in one.events) >= 4


def test_delete_goes_both_ways():
    network, one, other = up(hq(), branch())
    other.manager.terminate("peer", network.now, tunnel="lan")
    network.run(1)
    assert not one.inbound and not other.inbound and one.manager.overview.gateways()[0].state == "established"
    other.manager.initiate("peer", network.now, tunnel="lan")
    network.run(1)
    agree(one, other, routes=1)
    one.manager.terminate("peer", network.now)
    network.run(60)
    assert not one.inbound and not other.inbound
    assert one.manager.overview.gateways()[0].state == other.manager.overview.gateways()[0].state == "down"
    assert other.closings == ["the peer closed it"]
    one.manager.initiate("peer", network.now)
    network.run(SETTLED)
    agree(one, other, routes=1)


def test_a_peer_that_lost_its_memory_begins_anew():
    network, _one, other = up(hq(), branch())
    network.ends[HQ] = fresh = network.end(hq())
    fresh.manager.start(network.now)
    network.run(1)
    agree(fresh, other, routes=1)
    assert "the peer began anew (INITIAL_CONTACT)" in other.closings


def test_dead_peer_detection_closes_and_the_initiator_comes_again():
    network, one, _other = up(hq(), branch())
    network.ends.pop(BRANCH)
    network.run(60)
    assert any("Dead Peer Detection" in reason for reason in one.closings)
    assert not one.inbound
    network.ends[BRANCH] = fresh = network.end(branch())
    network.run(120)
    agree(one, fresh, routes=1)


def test_idle_peers_answer_each_others_questions():
    network, one, other = up(hq(), branch())
    before = len(network.sent)
    network.run(600)
    assert not one.closings and not other.closings
    assert 2 * 600 / 20 * 0.5 < len(network.sent) - before <= 2 * 2 * 600 / 20


def test_ike_keep_alive_between_two_of_ours():
    options = {"dead_peer_detection": {"enabled": False},
               "ike_keep_alive": {"enabled": True, "interval": 10, "failures": 3}}
    network, one, _other = up(hq(gateway=options), branch(gateway=options))
    before = len(network.sent)
    network.run(100)
    assert 30 <= len(network.sent) - before <= 42 and not one.closings
    network.ends.pop(BRANCH)
    network.run(39)
    assert not one.closings
    network.run(12)
    assert any("keep-alive" in reason for reason in one.closings)


def test_keep_alive_of_one_end_alone_is_not_sent():
    options = {"dead_peer_detection": {"enabled": False},
               "ike_keep_alive": {"enabled": True, "interval": 10, "failures": 3}}
    network, one, _other = up(hq(gateway=options), branch(gateway={"dead_peer_detection": {"enabled": False}}))
    before = len(network.sent)
    network.run(100)
    assert len(network.sent) == before and not one.closings


@pytest.mark.parametrize("initiator", [hq, branch], ids=["hq", "branch"])
def test_main_falls_back_to_aggressive_after_a_refusal(initiator):
    modes = (FALLBACK, AGGRESSIVE) if initiator is hq else (AGGRESSIVE, FALLBACK)
    starts = ("boot", "answer") if initiator is hq else ("answer", "boot")
    network, one, other = pair(hq(gateway=modes[0], start=starts[0]), branch(gateway=modes[1], start=starts[1]))
    network.start()
    network.run(2)
    agree(one, other, routes=1)
    assert exchanges(network)[:5] == [2, 5, 4, 4, 4]
    for end in (one, other):
        end.manager.rekey_ike("peer", network.now)
        network.run(SETTLED)
        agree(one, other, routes=1)
    assert exchanges(network).count(2) == 1 or initiator is branch


def test_main_falls_back_to_aggressive_after_silence():
    network, one, other = pair(hq(gateway=FALLBACK), branch(gateway=AGGRESSIVE))
    network.tamper = lambda datagram: datagram if decode_header(datagram.data).exchange != 2 else None
    network.start()
    network.run(20)
    agree(one, other, routes=1)


@pytest.mark.parametrize("modes", [(FALLBACK, FALLBACK), (FALLBACK, MAIN), (MAIN, FALLBACK), (AGGRESSIVE, FALLBACK)])
def test_a_responder_of_either_mode_takes_both(modes):
    network, one, other = up(hq(gateway=modes[0]), branch(gateway=modes[1]))
    agree(one, other, routes=1)
    assert exchanges(network)[0] == (4 if modes[0] is AGGRESSIVE else 2)


@pytest.mark.parametrize("modes", [(MAIN, AGGRESSIVE), (AGGRESSIVE, MAIN)], ids=["main", "aggressive"])
def test_a_responder_refuses_a_mode_that_it_is_not_set_up_for(modes):
    _network, one, other = up(hq(gateway=modes[0]), branch(gateway=modes[1]))
    assert not one.inbound and not other.inbound
    theirs, ours = modes[0]["mode"], modes[1]["mode"]
    assert f"mode: the peer {HQ} begins {theirs}, we have {ours}" in str(other.reasons[0])
    assert "UNSUPPORTED_EXCHANGE_TYPE" in str(one.reasons[0])


@MODES
@pytest.mark.parametrize("lives", [("1h", "24h"), ("24h", "1h")], ids=["initiator", "responder"])
def test_the_shorter_life_of_phase_1_counts_at_both_ends(mode, lives):
    sides = [{**TRANSFORM, "sa_life": life} for life in lives]
    network, one, other = up(hq(transforms=(sides[0],), gateway=mode), branch(transforms=(sides[1],), gateway=mode))
    for end in (one, other):
        (ike,) = end.manager.overview.gateways()[0].ike
        assert 0.75 * 3600 < ike.rekey_at - network.now < 3600


@pytest.mark.parametrize("lives", [({"time": "10m"}, {"time": "8h"}), ({"time": "8h"}, {"time": "10m"}),
                                   ({"traffic": 100000}, {"time": "10m", "traffic": 500000}),
                                   ({"time": "10m", "traffic": 500000}, {"traffic": 100000})])
def test_the_shorter_life_of_phase_2_counts_at_both_ends(lives):
    proposals = [{**PROPOSAL, "force_key_expiration": life} for life in lives]
    _network, one, other = up(hq(proposals=(proposals[0],)), branch(proposals=(proposals[1],)))
    agree(one, other, routes=1)
    (near,), (far,) = one.inbound.values(), other.inbound.values()
    assert near.expiration == far.expiration
    assert near.expiration.seconds == 600
    assert near.expiration.kilobytes == (100000 if "traffic" in {**lives[0], **lives[1]} else None)


def test_hexadecimal_keys():
    key = {"method": "hex-psk", "psk": "00ff10a5" * 4}
    _network, one, other = up(hq(gateway={"credential": key}), branch(gateway={"credential": key}))
    agree(one, other, routes=1)


@MODES
@pytest.mark.parametrize("identifiers", [("hq.example", "branch.example"), None])
def test_identifiers(mode, identifiers):
    names = {"identifiers": identifiers} if identifiers else {}
    _network, one, other = up(hq(gateway=mode, **names), branch(gateway=mode, **names))
    agree(one, other, routes=1)
    (ike,) = other.manager.overview.gateways()[0].ike
    assert ike.remote_identity == (identifiers[0] if identifiers else HQ)
