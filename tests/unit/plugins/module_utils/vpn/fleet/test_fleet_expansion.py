# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of every link, as peers and validation see them."""

import copy
import itertools
import os
import random
import sys
from dataclasses import replace
from ipaddress import ip_address

import pytest
from ikeengine.vpn import declaration, fleet, rules
from ikeengine.vpn.declaration import GATEWAY, DeclarationError
from ikeengine.vpn.fleet import expansion
from ikeengine.vpn.model import Direction, Endpoint, EndpointPair, IdentityKind, KeepAlive, Mode, Start
from ikeengine.vpn.pairing import pair


class AnyKey(dict):
    """A key for every pair, the same whichever end asks."""

    def get(self, name, otherwise=None):
        return name.encode().hex().ljust(64, "0")


@pytest.fixture
def three():
    """A hub with two spokes."""
    return {
        "transforms": [{"name": "p1", "encryption": "AES-128"}],
        "proposals": [{"name": "p2", "encryption": "AES-GCM-256"}],
        "gateway": {"transforms": ["p1"]},
        "tunnel": {"proposals": ["p2"], "pfs": {"key_group": 19}},
        "sites": {
            "hq": {"address": "192.0.2.1", "networks": ["10.1.0.0/24", "fd00:1::/64"]},
            "east": {"address": "198.51.100.1", "networks": ["10.2.0.0/24"],
                     "identifier": {"type": "domain-name", "value": "east.example"}},
            "west": {"address": "203.0.113.1", "networks": ["10.3.0.0/24", "fd00:3::/64"]},
        },
        "links": [{"hub": "hq", "spokes": ["east", "west"]}],
    }


def unfolded(data, keys=None):
    return {side.name: side for side in fleet.sides(fleet.read(data), AnyKey() if keys is None else keys)}


def routes(side, peer):
    (tunnel,) = side.tunnels_of(peer)
    return [str(route) for route in tunnel.routes]


def test_each_end_mirrors_the_other(three):
    sides = unfolded(three)
    hq, east = sides["hq"].gateway("east"), sides["east"].gateway("hq")
    assert [gateway.name for gateway in sides["hq"].gateways] == ["east", "west"]
    assert [gateway.name for gateway in sides["west"].gateways] == ["hq"]
    assert (hq.endpoints[0].local, hq.endpoints[0].remote) == (east.endpoints[0].remote, east.endpoints[0].local)
    assert str(hq.endpoints[0].remote.identity) == "east.example"
    assert hq.credential is east.credential and hq.credential.secret is not None
    assert hq.credential.secret != sides["hq"].gateway("west").credential.secret
    assert [transform.name for transform in hq.transforms] == ["p1"]
    assert sides["east"].tunnels[0].pfs.number == 19
    assert routes(sides["hq"], "west") == ["10.1.0.0/24 <-> 10.3.0.0/24", "fd00:1::/64 <-> fd00:3::/64"]
    assert routes(sides["west"], "hq") == ["10.3.0.0/24 <-> 10.1.0.0/24", "fd00:3::/64 <-> fd00:1::/64"]
    assert routes(sides["east"], "hq") == ["10.2.0.0/24 <-> 10.1.0.0/24"]


def test_through_the_hub_spokes_reach_each_other_unless_they_are_joined_themselves(three):
    three["links"][0]["through_hub"] = True
    sides = unfolded(three)
    assert routes(sides["east"], "hq") == ["10.2.0.0/24 <-> 10.1.0.0/24", "10.2.0.0/24 <-> 10.3.0.0/24"]
    assert routes(sides["hq"], "west") == ["10.1.0.0/24 <-> 10.3.0.0/24", "fd00:1::/64 <-> fd00:3::/64",
                                           "10.2.0.0/24 <-> 10.3.0.0/24"]
    assert rules.validate(list(sides.values())).findings == ()
    three["links"].append({"pair": ["west", "east"]})
    sides = unfolded(three)
    assert routes(sides["east"], "hq") == ["10.2.0.0/24 <-> 10.1.0.0/24"]
    assert routes(sides["east"], "west") == ["10.2.0.0/24 <-> 10.3.0.0/24"]
    assert rules.validate(list(sides.values())).findings == ()


def test_what_is_said_more_closely_holds_field_by_field(three):
    three["gateway"]["dead_peer_detection"] = {"idle": "10s", "retries": 3}
    three["sites"]["west"]["gateway"] = {"start": "answer"}
    three["links"][0]["gateway"] = {"dead_peer_detection": {"idle": "30s"}}
    three["links"][0]["tunnel"] = {"pfs": {"key_group": 20}}
    three["overrides"] = [{"of": "west", "gateway": {"transforms": ["default"]}},
                          {"between": ["west", "hq"], "tunnel": {"pfs": {"enabled": False}},
                           "ends": {"hq": {"tunnel": {"dataplane": "kernel"}}}}]
    sides = unfolded(three)
    to_west, to_east = sides["hq"].gateway("west"), sides["hq"].gateway("east")
    assert (to_west.dead_peer_detection.idle, to_west.dead_peer_detection.retries) == (30, 3)
    assert [item.name for item in (*to_west.transforms, *to_east.transforms)] == ["default", "p1"]
    assert sides["west"].gateway("hq").transforms == to_west.transforms
    assert (to_west.start, sides["west"].gateway("hq").start) == (Start.BOOT, Start.ANSWER)
    assert [tunnel.pfs and tunnel.pfs.number for tunnel in sides["hq"].tunnels] == [20, None]
    assert [tunnel.dataplane.value for tunnel in (*sides["hq"].tunnels, *sides["west"].tunnels)] == [
        "auto", "kernel", "auto"]


PEM = "-----BEGIN {0}-----\nMAA=\n-----END {0}-----\n"
CERTIFICATE = {"method": "certificate", "ca": PEM.format("CERTIFICATE"), "crl": [PEM.format("X509 CRL")]}
OWN = {"certificate": PEM.format("CERTIFICATE"), "private_key": PEM.format("PRIVATE KEY")}


def test_one_partner_has_a_pre_shared_key_in_a_fleet_of_certificates(three):
    three["gateway"]["credential"] = CERTIFICATE
    three["sites"]["hq"]["gateway"] = {"credential": OWN}
    three["overrides"] = [{"between": ["hq", "east"], "gateway": {"credential": {"method": "psk"}}}]
    definition = fleet.read(three)
    assert list(fleet.key_names(definition)) == ["east<->hq"]
    (to_east, to_west), (to_hq,) = (side.gateways for side in fleet.sides(definition, AnyKey(), ["hq", "east"]))
    assert to_east.credential == to_hq.credential
    assert (to_east.credential.ca, to_east.credential.certificate) == ((), None)
    assert all((to_west.credential.ca, to_west.credential.crl, to_west.credential.certificate,
                to_west.credential.secret))


def test_one_link_has_certificates_in_a_fleet_of_pre_shared_keys(three):
    three["gateway"]["credential"] = {"method": "psk", "psk": "a key of the whole fleet"}
    for name in ("hq", "east"):
        three["sites"][name]["gateway"] = {"credential": OWN}
    three["links"] = [{"pair": ["hq", "east"], "gateway": {"credential": CERTIFICATE}}, {"pair": ["east", "west"]}]
    three["overrides"] = [{"between": ["east", "west"], "gateway": {"credential": {"method": "psk"}}}]
    sides = unfolded(three)
    assert sides["east"].gateway("hq").credential == sides["hq"].gateway("east").credential
    assert sides["east"].gateway("hq").credential.certificate
    assert sides["east"].gateway("west").credential.secret.octets == b"a key of the whole fleet"


def test_a_key_of_one_method_is_none_of_the_other(three):
    three["gateway"]["credential"] = {"psk": "a key of the whole fleet"}
    three["overrides"] = [{"of": "west", "gateway": {"credential": {"method": "hex_psk"}}}]
    definition = fleet.read(three)
    assert list(fleet.key_names(definition)) == ["hq<->west"]
    assert len(unfolded(three)["west"].gateway("hq").credential.secret.octets) == 32
    three["overrides"].append({"between": ["hq", "west"], "gateway": {"credential": {"method": "psk"}}})
    assert list(fleet.key_names(fleet.read(three))) == []


def test_what_only_ikev1_has_does_not_follow_a_link_to_ikev2(three):
    three["gateway"] |= {"ike_version": 1, "mode": "aggressive", "ike_keep_alive": {"enabled": True},
                         "nat_traversal": {"enabled": False, "keep_alive": "7s"}}
    three["sites"]["west"]["gateway"] = {"dead_peer_detection": {"enabled": False, "idle": "7s"}}
    three["overrides"] = [{"between": ["hq", "west"], "gateway": {"ike_version": "2"}}]
    at_hq, at_west = (unfolded(three)[name].gateway(peer) for name, peer in (("hq", "west"), ("west", "hq")))
    assert [(end.mode, end.keep_alive, end.nat_traversal, end.nat_keep_alive) for end in (at_hq, at_west)] == [
        (None, None, True, 7)] * 2
    assert (at_hq.dead_peer_detection.idle, at_west.dead_peer_detection.idle) == (20, 7)
    assert unfolded(three)["hq"].gateway("east").mode is Mode.AGGRESSIVE


def test_a_post_quantum_key_is_at_both_ends_beside_the_key_that_is_made_and_does_not_follow_a_link_to_ikev1(three):
    three["gateway"]["credential"] = {"method": "psk", "ppk": {"id": "qkd-1"}, "ppk_key": "0x" + "5a" * 32}
    three["overrides"] = [{"between": ["hq", "west"], "gateway": {"ike_version": 1, "mode": "main"}}]
    sides = unfolded(three)
    for one, other in (("hq", "east"), ("east", "hq")):
        credential = sides[one].gateway(other).credential
        assert (credential.ppk.id, credential.ppk.secret.octets) == ("qkd-1", b"\x5a" * 32)
        assert credential is sides[other].gateway(one).credential and credential.secret is not None
    assert sides["hq"].gateway("west").credential.ppk is sides["west"].gateway("hq").credential.ppk is None


@pytest.mark.parametrize("override", [{"ike_version": 2, "mode": "main"}, {"mode": "main"}])
def test_what_is_said_with_or_after_a_choice_is_held_against_it(three, override):
    three["links"][0]["gateway"] = {"ike_version": 2}
    three["overrides"] = [{"between": ["hq", "west"], "gateway": override}]
    assert {finding.code for finding in rules.validate(list(unfolded(three).values())).errors} == {"mode-needs-ikev1"}


def test_what_is_said_before_the_choice_that_has_it_counts(three):
    three["gateway"]["ike_version"] = 2
    three["sites"]["west"]["gateway"] = {"dead_peer_detection": {"enabled": False}, "ike_keep_alive": {"enabled": True}}
    three["links"] = [{"pair": ["hq", "west"], "gateway": {"ike_version": 1}}]
    at_west = unfolded(three)["west"].gateway("hq")
    assert (at_west.dead_peer_detection, at_west.keep_alive) == (None, KeepAlive())


def test_whatever_only_some_choices_have_is_a_field():
    for choice in expansion.CHOICES:
        known = GATEWAY if choice.name in GATEWAY else declaration._CREDENTIAL
        assert {name.partition(".")[0] for names in choice.has.values() for name in names} < set(known)
        assert set(choice.has) == set(type(next(iter(choice.has))))


def test_a_key_of_the_definition_goes_before_a_generated_one(three):
    three["overrides"] = [{"between": ["hq", "east"], "gateway": {"credential": {"psk": "a key from somebody else"}}}]
    assert list(fleet.key_names(fleet.read(three))) == ["hq<->west"]
    assert list(fleet.key_names(fleet.read(three), "east")) == []
    sides = unfolded(three)
    assert [sides[name].gateway(peer).credential.secret.octets for name, peer in (("hq", "east"), ("east", "hq"))] == [
        b"a key from somebody else"] * 2
    three["gateway"]["credential"] = {"method": "hex-psk"}
    three["overrides"] = []
    assert len(unfolded(three)["west"].gateway("hq").credential.secret.octets) == 32


def test_without_keys_they_are_unknown(three):
    assert {gateway.credential.secret for side in unfolded(three, {}).values() for gateway in side.gateways} == {None}


def test_behind_a_nat_the_peers_know_the_public_address(three):
    three["sites"]["east"] = {"address": "10.9.0.2", "public_address": "198.51.100.1", "networks": ["10.2.0.0/24"]}
    sides = unfolded(three)
    (own,), (theirs,) = sides["east"].gateway("hq").endpoints, sides["hq"].gateway("east").endpoints
    assert (str(own.local.address), str(theirs.remote.address)) == ("10.9.0.2", "198.51.100.1")
    assert own.local.identity == theirs.remote.identity
    assert (own.local.identity.kind, str(own.local.identity)) == (IdentityKind.IP_ADDRESS, "198.51.100.1")
    assert rules.validate(list(sides.values())).findings == ()


@pytest.mark.parametrize(("address", "public"), [
    ("192.168.7.2", "10.9.0.9"), ("10.9.0.2", "10.9.0.9"), ("198.51.100.2", "203.0.113.5"), ("10.0.0.2", "192.0.2.1")])
def test_a_nat_that_the_definition_states_is_none_to_guess(three, address, public):
    three["sites"]["hq"]["address"] = "10.9.0.1" if public != "192.0.2.1" else "203.0.113.7"
    three["sites"]["east"] |= {"address": address, "public_address": public}
    sides = unfolded(three)
    assert rules.validate(list(sides.values())).findings == ()
    elsewhere = replace(sides["hq"], gateways=tuple(
        replace(gateway, endpoints=(EndpointPair(gateway.endpoints[0].local, Endpoint(
            ip_address("203.0.113.77"), gateway.endpoints[0].remote.identity)),)) if gateway.name == "east" else gateway
        for gateway in sides["hq"].gateways))
    (finding,) = rules.validate([elsewhere, sides["east"], sides["west"]]).findings
    assert finding.message == (
        f"gateway hq<->east: endpoint address: hq reaches for 203.0.113.77, east has {public}: they do not mirror, so "
        f"the peers never meet. Set gateways[east].endpoints[0].remote.address of hq to {public}, or "
        "gateways[hq].endpoints[0].local.public_address of east to 203.0.113.77.")


def test_ah_does_not_pass_a_nat_that_the_definition_states(three):
    three["sites"]["east"] |= {"address": "198.51.100.2", "public_address": "203.0.113.5", "managed": False}
    three["sites"]["hq"]["managed"] = False
    three |= {"proposals": [{"name": "ah", "protocol": "AH"}], "tunnel": {"proposals": ["ah"]}}
    assert [finding.where for finding in rules.validate(list(unfolded(three).values())).findings
            if finding.code == "ah-behind-nat"] == ["tunnel east/hq"]


def test_several_addresses_are_pairs_in_the_same_order_at_both_ends(three):
    three["sites"]["hq"] = {"addresses": ["192.0.2.1", "2001:db8::1", {"address": "10.0.0.2",
                                                                      "public_address": "192.0.2.9"}],
                            "identifier": {"type": "domain-name", "value": "hq.example"}, "networks": ["10.1.0.0/24"]}
    three["sites"]["east"] = {"addresses": ["2001:db8::2", "198.51.100.1", "198.51.100.2"], "networks": ["10.2.0.0/24"]}
    sides = unfolded(three)
    here, there = sides["hq"].gateway("east").endpoints, sides["east"].gateway("hq").endpoints
    assert [(str(item.local.address), str(item.remote.address)) for item in here] == [
        ("192.0.2.1", "198.51.100.1"), ("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2"),
        ("10.0.0.2", "198.51.100.1"), ("10.0.0.2", "198.51.100.2")]
    assert [str(item.remote.address) for item in there] == [
        "192.0.2.1", "192.0.2.1", "2001:db8::1", "192.0.2.9", "192.0.2.9"]
    assert [item.local for item in there] == [item.remote for item in here]
    assert {str(item.local.identity) for item in here} == {"hq.example"}


def test_a_dynamic_site_begins_and_its_peer_answers_with_the_shared_transforms(three):
    three["transforms"].append({"name": "shared", "key_group": 31})
    three["shared_transforms"] = ["shared"]
    del three["gateway"]
    three["sites"]["east"] |= {"address": "dynamic", "managed": False}
    sides = unfolded(three)
    at_hq, at_east = sides["hq"].gateway("east"), sides["east"].gateway("hq")
    assert (at_hq.start, at_east.start) == (Start.ANSWER, Start.BOOT)
    assert [item.name for item in (*at_hq.transforms, *at_east.transforms)] == ["shared", "shared"]
    assert [item.name for item in sides["hq"].gateway("west").transforms] == ["default"]
    assert [item.name for item in sides["hq"].shared_transforms] == ["shared"]


def test_a_site_that_has_a_dynamic_address_too_has_the_shared_transforms_and_is_reached_for(three):
    three["transforms"].append({"name": "shared", "key_group": 31})
    three["shared_transforms"] = ["shared"]
    del three["gateway"], three["sites"]["east"]["address"]
    three["sites"]["east"] |= {"addresses": ["198.51.100.1", "dynamic"], "managed": False}
    three["sites"]["hq"]["managed"] = False
    sides = unfolded(three)
    at_hq, at_east = sides["hq"].gateway("east"), sides["east"].gateway("hq")
    assert (at_hq.start, at_east.start) == (Start.BOOT, Start.BOOT)
    assert [item.name for item in (*at_hq.transforms, *at_east.transforms)] == ["shared", "shared"]
    assert [item.name for item in sides["hq"].gateway("west").transforms] == ["default"]
    assert rules.validate(list(sides.values())).errors == ()


def test_routes_and_directions_are_mirrored(three):
    three["links"] = [{"pair": ["east", "hq"], "direction": "local-to-remote"}, {"pair": ["hq", "west"]}]
    three["overrides"] = [{"between": ["west", "hq"], "routes": [
        {"local": "10.3.0.7", "remote": "10.1.0.0/24", "direction": "remote-to-local"}]}]
    sides = unfolded(three)
    assert routes(sides["east"], "hq") == ["10.2.0.0/24 -> 10.1.0.0/24"]
    assert routes(sides["hq"], "east") == ["10.1.0.0/24 <- 10.2.0.0/24"]
    assert routes(sides["west"], "hq") == ["10.3.0.7 <- 10.1.0.0/24"]
    assert routes(sides["hq"], "west") == ["10.1.0.0/24 -> 10.3.0.7"]
    three["overrides"] = [{"between": ["hq", "east"], "direction": "both"}]
    assert unfolded(three)["east"].tunnels[0].routes[0].direction is Direction.BOTH


HOST, ONE_WAY = {"local": "10.1.0.5", "remote": "10.2.0.7"}, {"local": "10.1.0.6", "remote": "10.2.0.8",
                                                              "direction": "remote-to-local"}


@pytest.mark.parametrize(("link", "override", "at_hq"), [
    ({"routes": [HOST]}, {"direction": "local-to-remote"}, ["10.1.0.5 -> 10.2.0.7"]),
    ({"routes": [HOST], "direction": "local-to-remote"}, {}, ["10.1.0.5 -> 10.2.0.7"]),
    ({"routes": [HOST, ONE_WAY], "direction": "local-to-remote"}, {}, ["10.1.0.5 -> 10.2.0.7", "10.1.0.6 <- 10.2.0.8"]),
    ({"direction": "remote-to-local"}, {"routes": [HOST]}, ["10.1.0.5 <- 10.2.0.7"]),
    ({"direction": "remote-to-local"}, {"routes": [HOST], "direction": "both"}, ["10.1.0.5 <-> 10.2.0.7"]),
    ({"routes": [HOST]}, {"between": ["east", "hq"], "direction": "local-to-remote"}, ["10.1.0.5 <- 10.2.0.7"]),
    ({"direction": "local-to-remote"}, {"between": ["east", "hq"], "routes": [{"local": "10.2.0.7",
                                                                               "remote": "10.1.0.5"}]},
     ["10.1.0.5 -> 10.2.0.7"]),
    ({}, {"between": ["east", "hq"], "direction": "remote-to-local",
          "routes": [{"local": "10.2.0.7", "remote": "10.1.0.5", "direction": "both"}]}, ["10.1.0.5 <-> 10.2.0.7"]),
    ({"routes": [HOST], "direction": "both"}, {"routes": [ONE_WAY]}, ["10.1.0.6 <- 10.2.0.8"]),
])
def test_routes_and_direction_are_each_taken_from_the_closest_place_that_says_it(three, link, override, at_hq):
    three["links"] = [{"pair": ["hq", "east"], **link}]
    three["overrides"] = [{"between": ["hq", "east"], **override}]
    sides = unfolded(three)
    assert routes(sides["hq"], "east") == at_hq
    assert sides["east"].tunnels[0].routes == tuple(route.mirrored for route in sides["hq"].tunnels[0].routes)


def test_a_direction_of_one_spoke_is_not_that_of_the_others(three):
    three["links"][0]["direction"] = "remote-to-local"
    three["overrides"] = [{"between": ["east", "hq"], "direction": "remote-to-local", "routes": [
        {"local": "10.2.0.7", "remote": "10.1.0.5"}]}]
    sides = unfolded(three)
    assert routes(sides["hq"], "east") == ["10.1.0.5 -> 10.2.0.7"]
    assert routes(sides["east"], "hq") == ["10.2.0.7 <- 10.1.0.5"]
    assert routes(sides["west"], "hq") == ["10.3.0.0/24 -> 10.1.0.0/24", "fd00:3::/64 -> fd00:1::/64"]


def test_a_route_based_link_has_an_interface_at_each_end(three):
    three["sites"]["hq"]["networks"] = []
    three["links"] = [{"pair": ["hq", "west"], "ends": {
        "hq": {"tunnel": {"interface": {"name": "ipsec1", "addresses": ["169.254.0.1/30"]}}},
        "west": {"tunnel": {"interface": {"name": "ipsec0", "addresses": ["169.254.0.2/30"], "metric": 5}}}}}]
    sides = unfolded(three)
    assert [(side.tunnels[0].interface.name, side.tunnels[0].routes) for side in (sides["hq"], sides["west"])] == [
        ("ipsec1", ()), ("ipsec0", ())]


def test_what_shows_only_in_two_overrides_together_is_an_error_all_the_same(three):
    three["links"] = [{"mesh": "all"}]
    three["overrides"] = [{"of": "east", "gateway": {"credential": {"method": "certificate"}}},
                          {"of": "west", "gateway": {"credential": {"psk": "k" * 20}}}]
    with pytest.raises(DeclarationError, match=r"overrides\[1\].gateway.credential.psk is set: method certificate has"):
        unfolded(three)


def test_one_site_alone_is_the_same_as_among_all(three):
    three["links"] = [{"mesh": "all", "gateway": {"start": "traffic"}}]
    definition, keys = fleet.read(three), AnyKey()
    for side in fleet.sides(definition, keys):
        assert fleet.side(definition, side.name, keys) == side
        written, secrets = declaration.write(side)
        assert declaration.read(written, secrets=secrets) == side


def calls_of(function, *arguments):
    count = 0

    def tally(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tally)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


def mesh(sites):
    return {"sites": {f"s{n}": {"address": f"192.0.{n // 250}.{n % 250 + 1}",
                                "networks": [f"10.{n // 250}.{n % 250}.0/24"]} for n in range(sites)},
            "links": [{"mesh": "all"}]}


def test_a_site_of_a_mesh_costs_its_own_links_only():
    few, many = mesh(100), mesh(400)
    assert calls_of(fleet.read, many) < 4.5 * calls_of(fleet.read, few)
    few, many = fleet.read(few), fleet.read(many)
    assert calls_of(fleet.side, many, "s7") < 4.5 * calls_of(fleet.side, few, "s7")
    assert calls_of(fleet.sides, many) < 18 * calls_of(fleet.sides, few)  # sixteen times the links


def invented(draw):
    """A fleet of any shape that ikeengine can serve."""
    sites = {}
    for number in range(draw.randint(2, 9)):
        site = {"networks": [f"10.{number}.{n}.0/24" for n in range(draw.randint(1, 3))]}
        address = f"198.51.100.{number + 1}"
        if draw.random() < 0.3:
            site["networks"].append(f"fd00:{number}::/64")
        if draw.random() < 0.2:
            site |= {"address": f"10.200.{number}.2", "public_address": address}
        else:
            site["address"] = address
        if draw.random() < 0.5:
            site["identifier"] = {"type": "domain-information", "value": f"gw@s{number}.example"}
        if draw.random() < 0.3:
            site["gateway"] = {"dead_peer_detection": {"idle": draw.randint(5, 60)}}
        if draw.random() < 0.2:
            site |= {"platform": "Firebox T45", "firmware": "12.10.4"}
        sites[f"s{number}"] = site
    names = list(sites)
    draw.shuffle(names)
    shape = draw.choice(["mesh", "hub", "through", "pairs", "both"])
    if shape == "mesh":
        links = [{"mesh": names if draw.random() < 0.5 else "all"}]
    elif shape == "pairs":
        links = [{"pair": [one, other]} for one, other in itertools.pairwise(names)]
    elif shape == "both":
        half = max(2, len(names) // 2)
        links = [{"mesh": names[:half]}] + [{"hub": names[0], "spokes": names[half:]}] * (len(names) > half)
    else:
        links = [{"hub": names[0], "spokes": names[1:], "through_hub": shape == "through"}]
    data = {"sites": sites, "links": links, "transforms": [{"name": "a"}, {"name": "b", "key_group": 19}],
            "proposals": [{"name": "p"}, {"name": "g", "encryption": "AES-GCM-128"}],
            "gateway": {"transforms": draw.choice([["a"], ["b", "a"]])},
            "tunnel": {"proposals": draw.choice([["p"], ["g", "p"]]), "pfs": {"enabled": draw.random() < 0.8}}}
    for link in links:
        if draw.random() < 0.4:
            link["gateway"] = {"transforms": ["b"]}
        if draw.random() < 0.4:
            link["tunnel"] = {"pfs": {"key_group": 20}}
    joined = sorted({tuple(name.split("<->")) for name in fleet.key_names(fleet.read(data))})
    data["overrides"] = [{"between": list(pair), "gateway": {"transforms": ["a"], "credential": {"method": "hex-psk"}},
                          "tunnel": {"proposals": ["g"]}} for pair in draw.sample(joined, min(2, len(joined)))]
    data["overrides"] += [{"of": draw.choice(names), "tunnel": {"pfs": {"key_group": 21}}}]
    return data


def beyond(draw):
    """A fleet that others than ikeengine run, with what it need not negotiate."""
    names = [f"s{number}" for number in range(draw.randint(2, 7))]
    sites = {name: {"networks": [f"10.{number}.0.0/24", f"fd00:{number}::/64"], "managed": False,
                    "addresses": [f"198.51.100.{number + 1}", f"2001:db8::{number + 1}", f"203.0.113.{number + 1}"]}
             for number, name in enumerate(names)}
    data = {"sites": sites, "transforms": [{"name": "a"}, {"name": "b", "key_group": 19}], "gateway": {}}
    if draw.random() < 0.4:
        data["gateway"] = {"ike_version": 1, "mode": "aggressive", "ike_keep_alive": {"enabled": True}}
    if draw.random() < 0.3:
        data |= {"proposals": [{"name": "ah", "protocol": "AH"}], "tunnel": {"proposals": ["ah"]}}
    shape = draw.choice(["hub", "mesh", "pairs"])
    if shape == "mesh":
        data["links"] = [{"mesh": "all"}]
    elif shape == "hub":
        data["links"] = [{"hub": "s0", "spokes": names[1:], "through_hub": draw.random() < 0.5}]
        for name in draw.sample(names[1:], len(names) // 2):
            del sites[name]["addresses"]
            sites[name] |= {"address": "dynamic", "identifier": {"type": "domain-name", "value": f"{name}.example"}}
        data["shared_transforms"] = ["b"] if draw.random() < 0.5 else []
    else:
        data["links"] = [{"pair": pair, "direction": draw.choice(["both", "local-to-remote", "remote-to-local"]),
                          "ends": {name: {"tunnel": {"interface": {"name": f"vpn-{peer}"}}}
                                   for name, peer in (pair, pair[::-1])} if draw.random() < 0.5 else {}}
                         for pair in map(list, itertools.pairwise(names))]
        data["overrides"] = [{"between": draw.sample(pair, 2), "direction": draw.choice(["both", "remote-to-local"])}
                             for pair in map(list, itertools.pairwise(names)) if draw.random() < 0.3]
        for said in data["links"] + data["overrides"]:
            one, other = said.get("pair") or said["between"]
            if draw.random() < 0.4:
                said["routes"] = [{"local": sites[one]["networks"][0], "remote": sites[other]["networks"][0]}]
    return data


def test_both_ends_agree_beyond_what_ikeengine_negotiates():
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"TANDEM_SEED={seed}")
    draw = random.Random(seed)
    for _ in range(150):
        sides = fleet.sides(fleet.read(beyond(draw)), AnyKey())
        assert [finding.message for finding in rules.validate(sides).errors] == []


def test_both_ends_of_whatever_is_defined_agree():
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"TANDEM_SEED={seed}")
    draw = random.Random(seed)
    for _ in range(150):
        data = invented(draw)
        before = copy.deepcopy(data)
        sides = fleet.sides(fleet.read(data), AnyKey())
        validation = rules.validate(sides)
        assert [finding.message for finding in validation.errors] == []
        pairs, alone = pair(sides)
        assert alone == () and all(not both.left_only and not both.right_only for both in pairs)
        assert len(pairs) == len(list(fleet.key_names(fleet.read(data)))) == sum(len(s.gateways) for s in sides) / 2
        assert data == before
