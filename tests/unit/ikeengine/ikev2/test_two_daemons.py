# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two daemons reach together, on a virtual clock."""

from __future__ import annotations

import pytest
from ikeengine.ike.events import ChildRemoved
from ikeengine.vpn import algorithms, declaration

from tests.support.virtual_network import BRANCH, TRANSFORM, agree, branch, hq, pair


def test_one_end_initiates_and_both_hold_the_same_sa_pair():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(0.05)
    agree(one, other, routes=1)
    assert len(network.sent) == 4  # two round trips
    assert one.manager.overview.tunnels()[0].state == other.manager.overview.tunnels()[0].state == "up"
    assert one.manager.overview.gateways()[0].ike[0].suite == "AES-256/SHA2-256/group 31"


@pytest.mark.parametrize("encryption", algorithms.ENCRYPTIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("authentication", algorithms.AUTHENTICATIONS, ids=lambda row: row.name)
def test_every_suite_of_both_phases(encryption, authentication):
    transform = {**TRANSFORM, "encryption": encryption.name, "authentication": authentication.name}
    proposal = {"name": "p2", "protocol": "ESP", "encryption": encryption.name}
    if not encryption.aead:
        proposal["authentication"] = authentication.name
    _comes_up_and_rekeys(transforms=(transform,), proposals=(proposal,))


@pytest.mark.parametrize("group", algorithms.KEY_GROUPS, ids=lambda row: row.name)
def test_every_key_group_in_both_phases(group):
    _comes_up_and_rekeys(transforms=({**TRANSFORM, "key_group": group.number},),
                         pfs={"enabled": True, "key_group": group.number})


@pytest.mark.parametrize("authentication", algorithms.AUTHENTICATIONS, ids=lambda row: row.name)
def test_ah_with_every_authentication(authentication):
    child = _comes_up_and_rekeys(proposals=({"name": "p2", "protocol": "AH", "authentication": authentication.name},))
    assert (child.suite, child.encryption) == (f"AH {authentication.name}", None)
    assert len(child.keys_in.authentication) == authentication.key_size and child.keys_in.encryption == b""


def _comes_up_and_rekeys(**options):
    network, one, other = pair(hq(**options), branch(start="answer", **options))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    agree(one, other, routes=1)
    other.manager.rekey_ike("peer", network.now)
    network.run(1)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons
    return next(iter(one.inbound.values()))


def test_further_routes_get_child_sas_of_their_own():
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(5))
    network, one, other = pair(hq(routes=routes, tunnels=2), branch(routes=routes, tunnels=2, start="answer"))
    network.start()
    network.run(1)
    agree(one, other, routes=5)
    assert {row.state for row in one.manager.overview.tunnels()} == {"up"}


@pytest.mark.parametrize("seed", range(20))
def test_both_ends_initiating_at_once_converge_to_one_ike_sa(seed):
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = pair(hq(routes=routes), branch(routes=routes), seed=seed)
    network.start()
    network.run(12)
    agree(one, other, routes=2)
    ike = [{(row.spi_i, row.spi_r) for row in end.manager.overview.gateways()[0].ike} for end in (one, other)]
    assert ike[0] == ike[1] and len(ike[0]) == 1
    before = len(network.sent)
    network.run(5)
    assert len(network.sent) == before  # at rest


@pytest.mark.parametrize("seed", range(20))
def test_traffic_at_both_ends_at_once_brings_up_every_route(seed):
    """The IKE SA that gives way may be the only one that carried a route; no packet need come for it again."""
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = pair(hq(routes=routes, start="traffic"), branch(routes=routes[::-1], start="traffic"),
                               seed=seed)
    network.start()
    network.traffic()
    network.run(12)
    agree(one, other, routes=2)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1
    before = len(network.sent)
    network.run(5)
    assert len(network.sent) == before  # at rest


def test_rekeying_a_child_sa_from_either_end_installs_before_it_removes():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    for end in (one, other):
        spis = set(one.inbound) | set(other.inbound)
        end.manager.rekey_child("lan", network.now)
        network.run(1)
        agree(one, other, routes=1)
        assert not spis & (set(one.inbound) | set(other.inbound))
    assert not one.reasons and not other.reasons


def test_rekeying_the_ike_sa_from_either_end_keeps_the_child_sas():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    children = set(one.inbound)
    for end in (one, other):
        before = one.manager.overview.gateways()[0].ike[0].spi_i
        end.manager.rekey_ike("peer", network.now)
        network.run(1)
        agree(one, other, routes=1)
        after = one.manager.overview.gateways()[0].ike
        assert len(after) == 1 and after[0].spi_i != before
        assert set(one.inbound) == children
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(20))
def test_both_ends_rekeying_at_once_end_with_one_sa(seed):
    network, one, other = pair(hq(), branch(start="answer"), seed=seed)
    network.start()
    network.run(1)
    for _time in range(3):
        one.manager.rekey_child("lan", network.now)
        other.manager.rekey_child("lan", network.now)
        network.run(10)
        agree(one, other, routes=1)
        one.manager.rekey_ike("peer", network.now)
        other.manager.rekey_ike("peer", network.now)
        network.run(10)
        agree(one, other, routes=1)
        assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1
        one.manager.rekey_ike("peer", network.now)
        other.manager.rekey_child("lan", network.now)
        network.run(20)
        agree(one, other, routes=1)


def test_a_day_of_lifetimes_passes_without_a_gap():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(3 * 24 * 3600)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons
    assert {"rekeyed", "rekeyed by the peer"} >= set(one.closings)


def test_down_stays_down_and_up_brings_it_back():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    one.manager.terminate("peer", network.now)
    network.run(300)
    assert not one.inbound and not other.inbound
    assert one.manager.overview.gateways()[0].state == other.manager.overview.gateways()[0].state == "down"
    one.manager.initiate("peer", network.now)
    network.run(1)
    agree(one, other, routes=1)


def test_a_peer_that_deletes_is_asked_again():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    other.manager.fail_child(next(iter(other.inbound)), "the data plane refused it", network.now)
    network.run(0.1)
    assert not one.inbound and not other.inbound
    network.run(10)
    agree(one, other, routes=1)


def test_a_dead_peer_is_noticed_and_asked_again():
    network, one, other = pair(hq(gateway={"dead_peer_detection": {"idle": "10s", "retries": 2}}),
                               branch(start="answer"))
    network.start()
    network.run(1)
    network.tamper = lambda datagram: None
    network.run(30)
    assert not one.inbound
    assert "is silent" in one.reasons[-1]
    network.tamper = lambda datagram: datagram
    network.run(90)
    agree(one, other, routes=1)


def test_an_end_that_forgot_everything_is_believed():
    """The other daemon restarts: INITIAL_CONTACT clears what it cannot know any more."""
    network, one, _other = pair(hq(), branch(start="boot"))
    network.start()
    network.run(20)
    fresh = pair(hq(), branch(start="boot"), seed=99)[0]
    network.ends["198.51.100.2"] = reborn = fresh.ends["198.51.100.2"]
    reborn.manager.start(network.now)
    network.run(60)
    agree(one, reborn, routes=1)
    assert any("INITIAL_CONTACT" in reason for reason in one.closings)


@pytest.mark.parametrize("seed", range(8))
def test_an_end_that_forgot_everything_and_does_not_say_so_is_believed(seed):
    """Some peers send no INITIAL_CONTACT: the IKE SA that began while another was up is the one that lives."""
    network, one, _other = pair(hq(start="answer"), branch(), seed=seed)
    network.start()
    network.run(20)
    reborn = network.end(branch())
    reborn.manager.is_first_contact = lambda session: False
    network.ends[BRANCH] = reborn
    reborn.manager.start(network.now)
    network.run(1)
    spis = set(reborn.inbound)
    assert spis <= set(one.outbound)  # the new SA sends within a second
    network.run(120)
    agree(one, reborn, routes=1)
    assert set(reborn.inbound) == spis


@pytest.mark.parametrize("seed", range(8))
def test_a_peer_that_authenticates_anew_before_it_closes_the_old_ike_sa_keeps_the_new_one(seed):
    network, one, other = pair(hq(start="answer"), branch(), seed=seed)
    network.start()
    network.run(20)
    anew = network.end(branch())
    anew.manager.is_first_contact = lambda session: False
    network.ends[BRANCH] = anew  # both are the same peer
    anew.manager.start(network.now)
    network.run(1)
    network.ends[BRANCH] = other
    other.manager.terminate("peer", network.now)
    network.run(1)
    network.ends[BRANCH] = anew
    before = one.count(ChildRemoved)
    network.run(60)
    agree(one, anew, routes=1)
    assert one.count(ChildRemoved) == before


def test_a_data_plane_that_only_does_esp_in_udp_gets_it_and_moves_to_4500():
    network, one, other = pair(hq(), branch(start="answer"), encapsulate=lambda gateway: True)
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert next(iter(one.inbound.values())).udp_encapsulated
    assert {datagram.remote.port for _time, datagram in network.sent} == {500, 4500}


def test_what_an_operator_took_down_stays_down_though_the_peer_asks():
    network, one, other = pair(hq(), branch())
    network.start()
    network.run(10)
    one.manager.terminate("peer", network.now)
    network.run(100)
    assert not one.inbound and not other.inbound
    one.manager.initiate("peer", network.now)
    network.run(1)
    one.manager.terminate("peer", network.now, tunnel="lan")
    network.run(100)
    assert not one.inbound and not other.inbound
    assert one.manager.overview.gateways()[0].state == "established"
    one.manager.initiate("peer", network.now, tunnel="lan")
    network.run(1)
    agree(one, other, routes=1)


def test_a_reload_touches_only_what_changed():
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = pair(hq(routes=routes, tunnels=2), branch(routes=routes, tunnels=2, start="answer"))
    network.start()
    network.run(1)
    kept = {spi for spi, child in one.inbound.items() if child.tunnel == "lan"}
    for end, build in ((one, hq), (other, branch)):
        start = "boot" if end is one else "answer"
        result = end.manager.reload(build(routes=(routes[0], ("10.1.7.0/24", "10.2.7.0/24")), tunnels=2, start=start),
                                    network.now)
        assert (result.changed, result.unchanged) == (("tunnel lan1",), ("gateway peer", "tunnel lan"))
    network.run(5)
    agree(one, other, routes=2)
    assert kept < set(one.inbound)
    assert one.manager.reload(hq(routes=routes[:1]), network.now).removed == ("tunnel lan1",)
    network.run(5)
    agree(one, other, routes=1)


def test_a_gateway_that_a_reload_took_away_is_forgotten_even_by_half_open_sas():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(0.025)  # IKE_SA_INIT is answered, IKE_AUTH is on its way
    nothing = declaration.read({"site": {"name": "branch"}})
    assert other.manager.reload(nothing, network.now).removed == ("gateway peer", "tunnel lan")
    network.run(5)
    assert not one.inbound and not other.inbound
    assert not other.manager.overview.gateways()
