# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet's definition may say, and in what words it is refused."""

import copy
import os
import random

import pytest
from ikeengine.vpn import fleet
from ikeengine.vpn.declaration import DeclarationError

MARKER = "marker-that-must-appear-nowhere"


@pytest.fixture
def data():
    return {
        "gateway": {"dead_peer_detection": {"idle": "20s"}},
        "sites": {"hq": {"address": "192.0.2.1", "networks": ["10.1.0.0/24"]},
                  "b1": {"address": "198.51.100.1", "networks": ["10.2.0.0/24"]},
                  "b2": {"address": "198.51.100.2", "networks": ["10.3.0.0/24"]},
                  "b3": {"address": "198.51.100.3", "networks": ["10.4.0.0/24"]}},
        "links": [{"hub": "hq", "spokes": ["b1", "b2"]}, {"pair": ["b1", "b3"]}],
    }


def refused(data):
    with pytest.raises(DeclarationError) as caught:
        fleet.sides(fleet.read(data), {})
    return [finding.message for finding in caught.value.findings]


def joins(definition):
    return sorted({fleet.pair_name(name, peer) for name in definition.sites
                   for _link, peer in definition.neighbours(name)})


def test_pairs_hubs_and_meshes_join_sites(data):
    assert joins(fleet.read(data)) == ["b1<->b3", "b1<->hq", "b2<->hq"]
    data["links"] = [{"hub": "hq", "spokes": "all"}]
    assert joins(fleet.read(data)) == ["b1<->hq", "b2<->hq", "b3<->hq"]
    data["links"] = [{"mesh": ["b1", "b2", "b3"]}, {"pair": ["hq", "b1"]}]
    assert joins(fleet.read(data)) == ["b1<->b2", "b1<->b3", "b1<->hq", "b2<->b3"]
    data["links"] = [{"mesh": "all"}]
    assert len(joins(fleet.read(data))) == 6


def test_a_pair_has_one_name_whoever_asks():
    assert fleet.pair_name("hq", "b1") == fleet.pair_name("b1", "hq") == "b1<->hq"


def test_all_errors_are_named_at_once(data):
    data["sites"]["hq"] |= {"netwroks": [], "networks": ["10.1.0.5/24"]}
    data["sites"]["b 9"] = {}
    data["sites"]["b4"] = {"address": "dynamic", "firmware": "12.1"}
    data["gateway"]["start"] = "bot"
    data["links"] += [{"pair": ["hq", "b33"]}, {"paar": ["hq", "b1"]}, "all"]
    data["overrides"] = [{"between": ["b1", "hq"], "tunnel": {"pfs": {"key_group": 99}}}, {"of": "b7"}]
    assert refused(data) == [
        "ipsec_fleet.sites[hq].netwroks is unknown: the fields here are address, public_address, identifier, "
        "addresses, networks, platform, firmware, managed, gateway, tunnel. Did you mean networks? Write networks or "
        "remove it.",
        "ipsec_fleet.sites[hq].networks[0] is '10.1.0.5/24': 10.1.0.5/24 has host bits set; the network is "
        "10.1.0.0/24. Write a host, a network or a range, such as 10.1.0.0/24.",
        "ipsec_fleet.sites is 'b 9': a name has 1 to 64 of the characters A-Z a-z 0-9 . _ -. Choose such a name.",
        "ipsec_fleet.sites[b4].firmware is 12.1: only appliances have a firmware version. Remove firmware, or name the "
        "model.",
        "ipsec_fleet.sites[b4].identifier.type is missing: this field is required. Set type.",
        "ipsec_fleet.links[2].pair[1] is 'b33': no site of that name is defined. Did you mean b3? Write it, or define "
        "b33.",
        "ipsec_fleet.links[3].paar is unknown: the fields here are pair, gateway, tunnel, ends, routes, direction, "
        "hub, spokes, through_hub, mesh. Did you mean pair? Write pair or remove it.",
        "ipsec_fleet.links[3] is of no kind: an entry of links has one of pair, hub, mesh. Add pair or hub or mesh.",
        "ipsec_fleet.links[4] is text: a mapping of fields is needed here. Write it as fields with values.",
        "ipsec_fleet.overrides[1].of is 'b7': no site of that name is defined. Write one of hq, b1, b2, b3, b4, "
        "or define b7.",
        "ipsec_fleet.gateway.start is 'bot': it is none of boot, traffic, answer. Write boot.",
        "ipsec_fleet.overrides[0].tunnel.pfs.key_group is 99: it is no key group. Write one of 14, 15, 16, 19, 20, "
        "21, 31, 32, or, though weak, one of 1, 2, 5.",
    ]


@pytest.mark.parametrize(("first", "second", "pair"), [
    ({"hub": "hq", "spokes": ["b1", "b2"]}, {"pair": ["b2", "hq"]}, "b2<->hq"),
    ({"mesh": ["b1", "b2", "b3"]}, {"pair": ["b1", "b3"]}, "b1<->b3"),
    ({"pair": ["b1", "b3"]}, {"mesh": "all"}, "b1<->b3"),
    ({"mesh": ["b1", "b2", "b3"]}, {"mesh": ["hq", "b3", "b2"]}, "b2<->b3"),
])
def test_two_sites_are_joined_once(data, first, second, pair):
    data["links"] = [first, second]
    assert refused(data) == [
        f"ipsec_fleet.links[1] joins {pair} as ipsec_fleet.links[0] does: two sites are joined once. Keep one of the "
        "two, and say what differs in overrides."]


def test_hubs_and_meshes_may_share_one_site(data):
    data["links"] = [{"mesh": ["hq", "b1"]}, {"mesh": ["hq", "b2"]}, {"hub": "hq", "spokes": ["b3"]}]
    assert len(joins(fleet.read(data))) == 3


@pytest.mark.parametrize(("path", "value", "message"), [
    (("links", 1, "pair"), ["b1"], "links[1].pair has 1: it takes 2 sites or more"),
    (("links", 1, "pair"), ["b1", "b1"], "links[1].pair has b1 twice: a site stands only once in it"),
    (("links", 1, "pair"), ["b1", "b2", "b3"], "links[1].pair has 3: a pair has two sites. Write the two, or mesh."),
    (("links", 0, "spokes"), [], "links[0].spokes is empty: at least one is required"),
    (("links", 0, "spokes"), ["hq"], "links[0].spokes has hq: a hub is no spoke of its own"),
    (("links", 0, "through_hub"), "perhaps", "links[0].through_hub is 'perhaps': it is neither yes nor no"),
    (("links", 1, "ends"), {"hq": {}}, "links[1].ends has 'hq': the ends are b1 and b3. Name one of them."),
    (("links", 1, "ends"), {"b1": {"gateway": {"transforms": ["x"]}}},
     "links[1].ends[b1].gateway.transforms is unknown: the fields here are credential, nat_traversal"),
    (("links", 1, "routes"), [{"local": "10.2.0.0/24"}], "links[1].routes[0].remote is missing"),
    (("links", 1, "gateway"), {"name": "x"}, "links[1].gateway.name is unknown: the fields here are ike_version"),
    (("overrides",), [{"between": ["b2", "b3"]}], "overrides[0].between is b2 and b3: no link joins them"),
    (("overrides",), [{"between": ["b1", "b3"]}, {"between": ["b3", "b1"]}],
     "overrides[1].between is b3 and b1 again: a link has one override. Join the two."),
    (("sites", "hq", "address"), None, "sites[hq].address is missing: this field is required"),
    (("sites", "hq", "addresses"), ["192.0.2.1"], "sites[hq].address is set: a site has one address, or addresses"),
    (("sites", "hq", "public_address"), "192.0.2.300", "sites[hq].public_address is '192.0.2.300': it is no IPv4"),
    (("sites", "hq", "networks"), ["fd00:1::/64"],
     "links[0] joins hq and b1, which have no networks of one address family: a tunnel needs a route"),
    (("sites", "hq", "address"), "2001:db8::1", "links[0] joins hq and b1, which have no addresses of one family"),
    (("sites", "b1", "tunnel"), {"interface": {"name": "ipsec0"}},
     "links[0] joins hq and b1, of which only b1 has an interface: a tunnel is route-based at both ends or at none"),
    (("policy",), "stirct", "policy is 'stirct': it is none of standard, strict. Write strict."),
    (("gateway",), {"transforms": ["p1"]}, "gateway.transforms[0] is 'p1': no transform of that name is declared"),
    (("tunnel",), {"interface": {"name": "x"}}, "tunnel.interface is unknown"),
    (("sites",), [], "sites is a list: a mapping of fields is needed here"),
    (("sites",), None, "sites is missing: this field is required"),
])
def test_each_misfit_names_field_value_rule_and_fix(data, path, value, message):
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert any(line.startswith(f"ipsec_fleet.{message}") for line in refused(data)), refused(data)


@pytest.mark.parametrize(("link", "override", "message"), [
    ({"direction": "local-to-remote"}, {}, "links[0].direction is local-to-remote: spokes reach each other's networks "
     "through the hub, both ways. Remove direction, or ipsec_fleet.links[0].through_hub."),
    ({}, {"direction": "remote-to-local"}, "overrides[0].direction is remote-to-local: spokes reach each other's "
     "networks through the hub, both ways. Remove direction, or ipsec_fleet.links[0].through_hub."),
    ({}, {"routes": [{"local": "10.2.0.7", "remote": "10.1.0.0/24"}]}, "overrides[0].routes is set: spokes reach each "
     "other's networks through the hub, both ways. Remove routes and say in networks what lies behind the spoke, or "
     "remove ipsec_fleet.links[0].through_hub."),
    ({"direction": "both"}, {"direction": "both"}, None),
])
def test_through_the_hub_go_all_networks_both_ways(data, link, override, message):
    data["links"][0] |= {"through_hub": True, **link}
    data["overrides"] = [{"between": ["b1", "hq"], **override},
                         {"between": ["b3", "b1"], "direction": "local-to-remote",
                          "routes": [{"local": "10.4.0.1", "remote": "10.2.0.1"}]}]
    if message:
        assert refused(data) == [f"ipsec_fleet.{message}"]
        data["links"][0]["through_hub"] = False
    fleet.read(data)


def test_sites_may_be_numbered(data):
    data |= {"sites": dict(enumerate(data["sites"].values(), 1)), "links": [
        {"hub": 1, "spokes": [2, "3"], "gateway": {}}, {"pair": [2, 4], "ends": {4: {"gateway": {"start": "answer"}}}}]}
    data["overrides"] = [{"of": 3}, {"between": [2, 1], "ends": {1: {"gateway": {"start": "traffic"}}}}]
    sides = {side.name: side for side in fleet.sides(fleet.read(data), {})}
    assert [sides[name].gateway(peer).start.value for name, peer in ("42", "24", "12", "13")] == [
        "answer", "boot", "traffic", "boot"]


def test_a_name_written_as_a_number_and_as_text_is_one_name(data):
    data["sites"] |= {1: data["sites"]["b1"], "1": data["sites"]["b1"]}
    data["links"].append({"pair": ["hq", 1], "ends": {"1": {}, 1: {}, None: {}}})
    assert refused(data) == [
        "ipsec_fleet.sites has '1' again: names are unique in it. Rename one of the two.",
        "ipsec_fleet.links[2].ends has 1 again: names are unique in it. Rename one of the two.",
        "ipsec_fleet.links[2].ends is null: text is needed here. Write it as text, in quotes."]


def test_two_dynamic_sites_cannot_be_joined(data):
    for name in ("b1", "b3"):
        data["sites"][name] |= {"address": "dynamic", "identifier": {"type": "domain-name", "value": name}}
    assert refused(data) == [
        "ipsec_fleet.links[1] joins b1 and b3, which are both dynamic: one of two peers needs an address that the "
        "other can reach. Give one of the two an address."]


@pytest.mark.parametrize("place", [
    lambda data, value: data["gateway"].update(credential=value),
    lambda data, value: data["sites"]["hq"].update(gateway={"credential": value}),
    lambda data, value: data["links"][0].update(gateway={"credential": value}),
    lambda data, value: data.update(overrides=[{"between": ["hq", "b1"], "gateway": {"credential": value}}]),
])
@pytest.mark.parametrize("credential", [
    MARKER, [MARKER], {"method": MARKER}, {"psk": [MARKER]}, {f"psk:{MARKER}": None}, {"pks": MARKER},
    {"method": "hex-psk", "psk": MARKER}, {"method": "certificate", "psk": MARKER}, {"private_key": MARKER},
])
def test_no_refusal_ever_quotes_a_secret(data, place, credential):
    place(data, credential)
    assert MARKER not in "".join(refused(data))


ODD = (None, True, 0, -1, 1.5, "", "dynamic", "all", [], {}, [[]], {1: 2}, {None: None}, b"x", "\ud800", "::/0",
       "certificate", "hq", ["hq"], ["hq", "b1"], 1, "1", object())


def places(data):
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def test_whatever_stands_anywhere_is_read_or_refused(data):
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"TANDEM_SEED={seed}")
    draw = random.Random(seed)
    data["sites"]["b2"] |= {"public_address": "203.0.113.7", "tunnel": {"dataplane": "auto"}}
    data["overrides"] = [{"of": "b1", "tunnel": {"pfs": {"key_group": 19}}},
                         {"between": ["b1", "b3"], "direction": "both", "ends": {"b1": {"gateway": {"start": "boot"}}},
                          "routes": [{"local": "10.2.0.0/24", "remote": "10.4.0.0/24"}]}]
    for _ in range(2000):
        bent = copy.deepcopy(data)
        container, key = draw.choice(list(places(bent)))
        container[key] = draw.choice(ODD)
        try:
            sides = fleet.sides(fleet.read(bent), {})
        except DeclarationError as error:
            assert error.findings
        else:
            assert [side.name for side in sides] == [str(name) for name in bent["sites"]]
