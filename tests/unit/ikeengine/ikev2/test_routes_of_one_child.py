# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several tunnel routes in one SA pair, and what two data planes that can both agree on, on a virtual clock."""

from __future__ import annotations

from itertools import permutations

import pytest
from ikeengine.ike.refusal import Refusal
from ikeengine.ikev2 import child_negotiation
from ikeengine.ikev2.child_negotiation import grant
from ikeengine.wire.constants import NotifyType
from ikeengine.wire.message import notify
from ikeengine.wire.traffic_selectors import TrafficSelectorsInitiator

from tests.support.virtual_network import BRANCH, HQ, End, VirtualNetwork, agree, branch, hq, pair

#: Two networks here, two there.
PRODUCT = tuple((f"10.1.{here}.0/24", f"10.2.{there}.0/24") for here in range(2) for there in range(2))
ANGLE = PRODUCT[:3]


def joined(routes, *, start: str = "answer", **options) -> tuple[VirtualNetwork, End, End]:
    network, one, other = pair(hq(routes=routes, sa_pairs="per-tunnel"), branch(routes=routes, start=start), **options)
    network.start()
    network.run(12)
    return network, one, other


def rekeyed(network: VirtualNetwork, one: End, other: End, *, routes: int, pairs: int) -> None:
    """Every child SA from either end, and the IKE SA under them."""
    for end in (one, other):
        spis = set(one.inbound)
        end.manager.rekey_child("lan", network.now)
        network.run(7)
        agree(one, other, routes, pairs)
        assert not spis & set(one.inbound)
        end.manager.rekey_ike("peer", network.now)
        network.run(2)
        agree(one, other, routes, pairs)
    assert not one.reasons
    before = len(network.sent)
    network.run(5)
    assert len(network.sent) == before  # at rest


def test_one_sa_pair_carries_all_routes_of_a_tunnel_that_wants_it_so():
    network, one, other = joined(PRODUCT)
    agree(one, other, routes=4, pairs=1)
    assert len(network.sent) == 4  # two round trips
    for end in (one, other):
        (tunnel,) = end.manager.overview.tunnels()
        assert tunnel.state == "up" and len({route.children[0].sa.spi_in for route in tunnel.routes}) == 1
        assert all(route.children[0].negotiated == (route.declared,) for route in tunnel.routes)
    rekeyed(network, one, other, routes=4, pairs=1)


def test_routes_that_are_no_product_take_as_many_sa_pairs_as_they_need():
    network, one, other = joined(ANGLE)
    agree(one, other, routes=3, pairs=2)
    rekeyed(network, one, other, routes=3, pairs=2)


def test_routes_of_both_address_families_share_one_sa_pair():
    routes = (*PRODUCT, ("fd00:1::/64", "fd00:2::/64"))
    network, one, other = joined(routes)
    agree(one, other, routes=5, pairs=1)
    rekeyed(network, one, other, routes=5, pairs=1)


@pytest.mark.parametrize("seed", range(10))
def test_both_ends_at_once_come_to_rest_though_one_wants_a_pair_for_each_route(seed):
    network, one, other = joined(PRODUCT, start="boot", seed=seed)
    network.run(20)
    agree(one, other, routes=4, pairs=len(one.inbound))
    assert len(one.manager.overview.gateways()[0].ike) == 1
    before = len(network.sent)
    network.run(5)
    assert len(network.sent) == before


@pytest.mark.parametrize("seed", range(10))
def test_both_ends_wanting_one_pair_at_once_keep_one(seed):
    network, one, other = pair(hq(routes=PRODUCT, sa_pairs="per-tunnel"), branch(routes=PRODUCT, sa_pairs="per-tunnel"),
                               seed=seed)
    network.start()
    network.run(30)
    agree(one, other, routes=4, pairs=1)


#: An IPv4 route can share a pair with the first IPv6 route or with the second; these two cannot share one.
EITHER = ("fd00:1::/64", "fd00:2::/64"), PRODUCT[0], ("fd01:1::/64", "fd01:2::/64")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("routes", list(permutations(EITHER)))
def test_no_route_is_in_two_pairs_where_both_ends_begin_at_once(routes, seed):
    network, one, other = pair(hq(routes=routes, sa_pairs="per-tunnel"), branch(routes=EITHER, sa_pairs="per-tunnel"),
                               seed=seed)
    network.start()
    network.run(30)
    agree(one, other, routes=3, pairs=2)


def test_no_route_is_in_two_pairs_after_the_way_back_to_the_first_endpoint_pair():
    further = {"local": {"address": "192.0.2.66"}, "remote": {"address": "198.51.100.66"}}
    network, one, other = pair(*(end(routes=EITHER, sa_pairs="per-tunnel", further=(further,)) for end in (hq, branch)))
    network.cut(HQ, BRANCH)
    network.start()
    network.run(60)
    agree(one, other, routes=3, pairs=2)
    network.mend(HQ, BRANCH)
    network.run(90)
    agree(one, other, routes=3, pairs=2)
    assert {str(child.local.address) for child in one.inbound.values()} == {HQ}


@pytest.mark.parametrize("notify_type", [NotifyType.SINGLE_PAIR_REQUIRED, NotifyType.TS_UNACCEPTABLE])
def test_a_peer_that_wants_single_pairs_gets_them(monkeypatch, notify_type):
    def single(session, payloads, **options):
        initiator = next(row for row in payloads if isinstance(row, TrafficSelectorsInitiator))
        if len(initiator.selectors) > 1:
            raise Refusal(notify_type, "")
        return grant(session, payloads, **options)

    for module in ("ike_auth", "create_child_sa"):
        monkeypatch.setattr(f"ikeengine.ikev2.{module}.grant", single)
    network, one, other = joined(PRODUCT)
    agree(one, other, routes=4)
    rekeyed(network, one, other, routes=4, pairs=4)


def test_a_peer_that_grants_one_route_of_those_together_is_asked_for_the_rest_one_by_one(monkeypatch):
    told = []

    def meagre(local, remote, ours, is_covered):
        found = child_negotiation_narrow(local[:1], remote[:1], ours, is_covered)
        told.append(found)
        return found

    child_negotiation_narrow = child_negotiation.narrow
    monkeypatch.setattr(child_negotiation, "narrow", meagre)
    network, one, other = joined(PRODUCT)
    agree(one, other, routes=4)
    assert len(told) == 4
    rekeyed(network, one, other, routes=4, pairs=4)


def test_what_else_the_peer_may_ask_for_is_told(monkeypatch):
    """ADDITIONAL_TS_POSSIBLE (RFC 7296 §2.9)."""
    told = []

    def noted(*arguments, **options):
        answer, child = grant(*arguments, **options)
        told.append(notify(answer, NotifyType.ADDITIONAL_TS_POSSIBLE) is not None)
        return answer, child

    for module in ("ike_auth", "create_child_sa"):
        monkeypatch.setattr(f"ikeengine.ikev2.{module}.grant", noted)
    network, one, other = pair(hq(routes=PRODUCT[::2], sa_pairs="per-tunnel"),
                               branch(routes=PRODUCT[::2], tunnels=2, start="answer"))
    network.start()
    network.run(5)
    assert told == [True, False]
    assert len(one.inbound) == len(other.inbound) == 2


def test_an_end_that_takes_a_route_out_gives_the_rest_sas_anew():
    network, one, other = joined(PRODUCT)
    for end, side in ((one, hq(routes=PRODUCT[1:], sa_pairs="per-tunnel")), (other, branch(routes=PRODUCT[1:],
                                                                                         start="answer"))):
        end.manager.reload(side, network.now)
    network.run(10)
    agree(one, other, routes=3, pairs=2)


@pytest.mark.parametrize(("able", "expected"), [((), False), (("hq",), False), (("branch",), False),
                                                (("hq", "branch"), True)])
@pytest.mark.parametrize("protocol", ["ESP", "AH"])
def test_sequence_numbers_are_extended_where_both_data_planes_can(able, expected, protocol):
    proposal = {"name": "p2", "protocol": protocol, "authentication": "SHA2-256"}
    if protocol == "ESP":
        proposal["encryption"] = "AES-128"
    network, one, other = pair(hq(proposals=(proposal,)), branch(proposals=(proposal,), start="answer"), extended=able)
    network.start()
    network.run(2)
    for end in (one, other):
        agree(one, other, routes=1)
        assert [child.extended_sequence_numbers for child in one.inbound.values()] == [expected]
        end.manager.rekey_child("lan", network.now)
        network.run(7)
    assert [child.extended_sequence_numbers for child in other.inbound.values()] == [expected]
