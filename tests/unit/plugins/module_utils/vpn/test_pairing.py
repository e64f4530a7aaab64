# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is whose peer, also where the two ends disagree."""

import sys
from itertools import permutations

import pytest
from ikeengine.vpn import declaration, rules
from ikeengine.vpn.pairing import pair


def side(name, *gateways, tunnels=(), route_based=()):
    return declaration.read({
        "site": {"name": name},
        "gateways": [{
            "name": peer, "credential": {"method": "psk", "psk": "a-key-of-a-good-length"},
            "endpoints": [{"local": {"address": local, "identifier": {"type": "domain-name", "value": local_name}},
                           "remote": {"address": remote, "identifier": {"type": "domain-name", "value": remote_name}}}],
        } for peer, local, local_name, remote, remote_name in gateways],
        "tunnels": [{"name": tunnel, "gateway": gateway, "routes": [{"local": inside, "remote": outside}]}
                    for tunnel, gateway, inside, outside in tunnels] + [
                        {"name": tunnel, "gateway": gateway, "interface": {"name": f"vpn{number}"}}
                        for number, (tunnel, gateway) in enumerate(route_based)]})


def names(sides):
    pairs, leftovers = pair(sides)
    return ([(item.left.name, item.left_gateway.name, item.right.name, item.right_gateway.name) for item in pairs],
            [(item.side.name, item.gateway.name) for item in leftovers])


HQ = ("x", "192.0.2.1", "hq.example", "198.51.100.1", "b.example")


@pytest.mark.parametrize("back", [
    ("y", "198.51.100.1", "b.example", "192.0.2.1", "hq.example"),
    ("y", "198.51.100.1", "other.example", "192.0.2.1", "other2.example"),
    ("y", "198.51.100.1", "other.example", "192.0.2.1", "hq.example"),
    ("y", "203.0.113.7", "b.example", "203.0.113.8", "hq.example"),
    ("y", "203.0.113.7", "b.example", "192.0.2.1", "other.example"),
    ("y", "198.51.100.1", "other.example", "203.0.113.7", "hq.example"),
], ids=["all mirrors", "addresses", "addresses and one identity", "identities", "identity and address",
        "address and identity"])
def test_near_misses_still_pair(back):
    assert names([side("hq", HQ), side("b", back)]) == ([("hq", "x", "b", back[0])], [])


POINTS_HERE = ("y", "203.0.113.7", "other.example", "192.0.2.1", "hq.example")
ROUTE = ("lan", "x", "10.1.0.0/24", "10.2.0.0/24")


@pytest.mark.parametrize("back", [POINTS_HERE, ("y", "203.0.113.7", "other.example", "192.0.2.1", "other2.example"),
                                  ("y", "203.0.113.7", "other.example", "203.0.113.8", "hq.example")],
                         ids=["address and identity", "address", "identity"])
def test_where_one_end_points_at_the_other_that_one_has_its_name_or_a_route_of_its(back):
    named, unnamed = side("hq", ("b", *HQ[1:])), side("hq", HQ)
    assert names([named, side("b", back)]) == ([("hq", "b", "b", "y")], [])
    assert names([side("b", back), named]) == ([("b", "y", "hq", "b")], [])
    assert names([side("hq", HQ, tunnels=[ROUTE]), side("b", back, tunnels=[("t", "y", *ROUTE[:1:-1])])])[1] == []
    assert names([side("hq", HQ, tunnels=[ROUTE]), side("b", back, tunnels=[("t", "y", *ROUTE[2:])])])[0] == []
    assert names([unnamed, side("b", back)]) == ([], [("hq", "x"), ("b", "y")])
    assert names([unnamed, side("b", ("hq", *back[1:]))]) == ([], [("hq", "x"), ("b", "hq")])


@pytest.mark.parametrize(("name", "tunnels", "back"), [("x", [ROUTE], [("t", "y", *ROUTE[:1:-1])]), ("b", [], [])],
                         ids=["a route", "the name"])
def test_of_several_that_it_may_point_at_it_means_the_one_with_a_route_or_the_name_of_its(name, tunnels, back):
    """Behind a NAT a branch has another address than its peers know, and its identifier is misspelt."""
    hq = side("hq", ("partner", *HQ[1:3], "203.0.113.7", "p.example"), (name, *HQ[1:]), tunnels=tunnels)
    branch = side("b", ("y", "172.16.5.1", "b2.example", *HQ[1:3]), tunnels=back)
    another = side("c", ("z", "172.16.5.2", "c2.example", *HQ[1:3]))
    assert names([hq, branch, another]) == ([("hq", name, "b", "y")], [("hq", "partner"), ("c", "z")])
    assert names([another, branch, hq]) == ([("b", "y", "hq", name)], [("c", "z"), ("hq", "partner")])


def test_where_several_bear_the_name_a_route_decides_and_the_other_way_round():
    """Two branches behind one address call the hub by its name; a route was copied to another gateway of the hub."""
    at = ("hq", "198.51.100.1")
    branches = [side(name, (*at, f"{name}.example", "203.0.113.8", "x.example"), tunnels=tunnels)
                for name, tunnels in (("b", [("t", "hq", *ROUTE[:1:-1])]), ("c", []))]
    assert names([side("hq", ("x", *HQ[1:4], "y.example"), tunnels=[ROUTE]), *branches])[0] == [("hq", "x", "b", "hq")]
    hq = side("hq", ("b", *HQ[1:]), ("c", *HQ[1:3], "203.0.113.7", "c.example"),
              tunnels=[("lan", "b", *ROUTE[2:]), ("copy", "c", *ROUTE[2:])])
    branch = side("b", ("y", "172.16.5.1", "b2.example", *HQ[1:3]), tunnels=[("t", "y", *ROUTE[:1:-1])])
    assert names([hq, branch])[0] == [("hq", "b", "b", "y")]


def test_a_dynamic_address_points_at_nobody():
    hq = side("hq", ("road", *HQ[1:3], "dynamic", "r.example"), tunnels=[("lan", "road", *ROUTE[2:])])
    elsewhere = side("c", ("z", "dynamic", "c.example", "203.0.113.9", "p.example"),
                     tunnels=[("t", "z", *ROUTE[:1:-1])])
    assert names([hq, elsewhere])[0] == names([elsewhere, hq])[0] == []


def test_who_means_a_third_one_is_not_joined_whatever_the_order():
    chain = [side(name, (there, local, f"{name}.example", remote, f"{there}2.example"),
                  tunnels=[("t", there, here, away)])
             for name, there, local, remote, here, away in (
                 ("a", "b", "192.0.2.1", "192.0.2.2", "10.1.0.0/24", "10.2.0.0/24"),
                 ("b", "c", "192.0.2.2", "192.0.2.3", "10.2.0.0/24", "10.1.0.0/24"),
                 ("c", "d", "192.0.2.3", "192.0.2.4", "10.1.0.0/24", "10.2.0.0/24"))]
    for order in permutations(chain):
        assert [set(row) & {"a", "b", "c"} for row in names(order)[0]] == [{"b", "c"}]


def test_of_two_that_mean_the_same_one_neither_is_it():
    twins = [side(name, ("y", f"172.16.5.{number}", f"{name}2.example", *HQ[1:3]), tunnels=[("t", "y", *ROUTE[:1:-1])])
             for number, name in enumerate("bc")]
    assert names([side("hq", HQ, tunnels=[ROUTE]), *twins])[0] == []


def test_a_gateway_to_somebody_else_is_none_back():
    elsewhere = side("b", ("z", "198.51.100.1", "b.example", "203.0.113.9", "z.example"))
    findings = rules.validate([side("hq", ("b", *HQ[1:])), elsewhere]).findings
    assert [(finding.code, finding.where) for finding in findings] == [
        ("far-end-has-no-gateway", "gateway hq/b"), ("far-end-declared-nowhere", "gateway b/z")]


def test_the_far_end_is_known_by_any_of_its_addresses():
    second = {"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.2"}}
    gateways = {
        "hq": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "203.0.113.1"}}, second],
        "b": [{"local": {"address": "198.51.100.7"}, "remote": {"address": "203.0.113.2"}},
              {"local": {"address": "198.51.100.2"}, "remote": {"address": "203.0.113.3"}}]}
    sides = [declaration.read({"site": {"name": name}, "gateways": [
        {"name": "x", "credential": {"method": "psk"}, "endpoints": pairs}]}) for name, pairs in gateways.items()]
    findings = rules.validate(sides).findings
    (finding,) = [finding for finding in findings if finding.code == "far-end-has-no-gateway"]
    assert finding.message == (
        "gateway hq/x: far end: hq reaches for 198.51.100.2, that is b, which has no gateway back: b would answer "
        "AUTHENTICATION_FAILED. Add a gateway to b with remote address 192.0.2.2.")
    assert finding.left_path == "gateways[x].endpoints[1].remote.address"


def test_names_crosswise_pair_when_nothing_else_does():
    assert names([side("hq", ("b", "192.0.2.1", "a.example", "192.0.2.9", "b.example")),
                  side("b", ("hq", "198.51.100.1", "c.example", "198.51.100.9", "d.example"))])[0] == [
        ("hq", "b", "b", "hq")]


def test_strangers_do_not_pair():
    other = side("b", ("y", "203.0.113.7", "c.example", "203.0.113.9", "d.example"))
    assert names([side("hq", HQ), other]) == ([], [("hq", "x"), ("b", "y")])


def test_a_better_match_wins_whatever_the_order():
    exact = side("b", ("y", "198.51.100.1", "b.example", "192.0.2.1", "hq.example"))
    half = side("c", ("y", "203.0.113.5", "c.example", "192.0.2.1", "hq.example"))
    assert names([half, side("hq", HQ), exact]) == ([("hq", "x", "b", "y")], [("c", "y")])


def test_tunnels_pair_by_routes_then_by_name_then_as_the_last_ones():
    back = ("y", "198.51.100.1", "b.example", "192.0.2.1", "hq.example")
    left = side("hq", HQ, tunnels=[("a", "x", "10.1.0.0/24", "10.2.0.0/24"), ("b", "x", "10.1.1.0/24", "10.2.1.0/24"),
                                   ("c", "x", "10.1.2.0/24", "10.2.2.0/24")])
    right = side("b", back, tunnels=[("z", "y", "10.2.7.0/24", "10.1.7.0/24"), ("b", "y", "10.2.0.0/24", "10.1.0.0/24"),
                                     ("c", "y", "10.2.3.0/24", "10.1.3.0/24")])
    ((both,), _) = pair([left, right])
    assert [(tunnels.left.name, tunnels.right.name) for tunnels in both.tunnels] == [("a", "b"), ("b", "z"), ("c", "c")]


def test_the_only_route_based_tunnels_are_one_whatever_else_is_left():
    back = ("y", "198.51.100.1", "b.example", "192.0.2.1", "hq.example")
    left = side("hq", HQ, tunnels=[("lan", "x", "10.1.0.0/24", "10.2.0.0/24")], route_based=[("device", "x")])
    right = side("b", back, tunnels=[("lan", "y", "10.2.0.0/24", "10.1.0.0/24"),
                                     ("more", "y", "10.2.1.0/24", "10.1.1.0/24")], route_based=[("routed", "y")])
    ((both,), _) = pair([left, right])
    assert [(tunnels.left.name, tunnels.right.name) for tunnels in both.tunnels] == [
        ("lan", "lan"), ("device", "routed")]
    assert [tunnel.name for tunnel in both.left_only + both.right_only] == ["more"]


def star(branches):
    hub = [(f"b{n}", "192.0.2.1", "hq.example", f"10.200.{n // 250}.{n % 250}", f"b{n}.example")
           for n in range(branches)]
    lans = [(f"t{n}", f"b{n}", "10.0.0.0/16", f"172.16.{n // 8}.{n % 8 * 32}/27") for n in range(branches)]
    sides = [side("hq", *hub, tunnels=lans)]
    for n, (name, local, local_name, remote, remote_name) in enumerate(hub):
        sides.append(side(name, ("hq", remote, remote_name, local, local_name),
                          tunnels=[("lan", "hq", lans[n][3], lans[n][2])]))
    return sides


def calls_of(function, *arguments):
    """Python and C calls that a call takes: work without a clock."""
    count = 0

    def tally(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tally)
    try:
        result = function(*arguments)
    finally:
        sys.setprofile(None)
    return result, count


def behind_nat(branches):
    """Nobody is where the hub reaches for it nor called as it expects, and all have some networks alike."""
    hub = [(f"b{n}", "192.0.2.1", "hq.example", f"10.200.{n // 250}.{n % 250}", f"b{n}.example")
           for n in range(branches)]
    alike = [(f"10.0.{n}.0/24", "192.168.1.0/24") for n in range(4)]
    sides = [side("hq", *hub, tunnels=[(f"t{n}.{k}", f"b{n}", *route) for n in range(branches)
                                       for k, route in enumerate(alike)])]
    return sides + [side(f"b{n}", ("hq", f"172.16.{n // 250}.{n % 250}", f"own{n}.example", "192.0.2.1", "hq.example"),
                         tunnels=[(f"t{k}", "hq", *reversed(route)) for k, route in enumerate(alike)])
                    for n in range(branches)]


def test_names_tell_apart_what_is_alike_and_the_work_grows_with_the_number():
    few, many = behind_nat(50), behind_nat(200)
    found, alone = names(many)
    assert sorted(found) == sorted(("hq", f"b{n}", f"b{n}", "hq") for n in range(200)) and not alone
    assert calls_of(pair, many)[1] < 5 * calls_of(pair, few)[1]


def test_work_grows_with_the_number_of_tunnels_not_with_its_square():
    small, large = star(100), star(400)
    (validation, few), (_, many) = calls_of(rules.validate, small), calls_of(rules.validate, large)
    assert validation.findings == () and len(validation.pairs) == 100
    assert many < 4.5 * few
