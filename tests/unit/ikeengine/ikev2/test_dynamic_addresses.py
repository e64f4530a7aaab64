# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers whose address is not known before: they initiate, and are known by their identifiers. On a virtual clock."""

from __future__ import annotations

from typing import Any

from ikeengine.ike.events import Failed
from ikeengine.vpn import declaration
from ikeengine.vpn.model import Side

from tests.support.virtual_network import HQ, PROPOSAL, PSK, TRANSFORM, VirtualNetwork

SHARED = ({**TRANSFORM, "name": "s1"}, {**TRANSFORM, "name": "s2", "key_group": 19})
BRANCHES = {"one": "198.51.100.11", "two": "203.0.113.22"}


def _endpoint(address: str, name: str) -> dict[str, Any]:
    return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example.net"}}


def head(**gateway: Any) -> Side:
    """hq, which knows its branches by their names alone, each with a key of its own."""
    return declaration.read({
        "site": {"name": "hq"}, "transforms": [dict(row) for row in SHARED], "shared_transforms": ["s1", "s2"],
        "proposals": [PROPOSAL],
        "gateways": [{"name": name, "credential": {"method": "psk", "psk": f"{PSK} {name}"},
                      "endpoints": [{"local": _endpoint(HQ, "hq"), "remote": _endpoint("dynamic", name)}], **gateway}
                     for name in BRANCHES],
        "tunnels": [{"name": name, "gateway": name, "proposals": ["p2"], "pfs": {"key_group": 31},
                     "routes": [{"local": "10.1.0.0/24", "remote": f"10.2.{number}.0/24"}]}
                    for number, name in enumerate(BRANCHES)]})


def office(name: str, *, transform: dict[str, Any] = SHARED[0], psk: str | None = None) -> Side:
    """A branch, which does not know its own address either."""
    number = list(BRANCHES).index(name)
    return declaration.read({
        "site": {"name": name}, "transforms": [transform], "proposals": [PROPOSAL],
        "gateways": [{"name": "hq", "credential": {"method": "psk", "psk": psk or f"{PSK} {name}"},
                      "endpoints": [{"local": _endpoint("dynamic", name), "remote": _endpoint(HQ, "hq")}],
                      "transforms": [transform["name"]]}],
        "tunnels": [{"name": "lan", "gateway": "hq", "proposals": ["p2"], "pfs": {"key_group": 31},
                     "routes": [{"local": f"10.2.{number}.0/24", "remote": "10.1.0.0/24"}]}]})


def network(head: Side, **offices: Side) -> VirtualNetwork:
    made = VirtualNetwork({HQ: head, **{BRANCHES[name]: side for name, side in offices.items()}})
    made.start()
    made.run(5)
    return made


def states(made: VirtualNetwork) -> dict[str, str]:
    return {row.name: row.state for row in made.ends[HQ].manager.overview.tunnels()}


def test_each_branch_is_found_by_its_identifier_with_its_own_key_and_any_of_the_shared_transforms():
    made = network(head(), one=office("one"), two=office("two", transform=SHARED[1]))
    assert states(made) == {"one": "up", "two": "up"}
    gateways = {row.name: row.ike[0] for row in made.ends[HQ].manager.overview.gateways()}
    assert {name: (str(ike.remote.address), ike.suite.rpartition("/")[2]) for name, ike in gateways.items()} == {
        "one": (BRANCHES["one"], "group 31"), "two": (BRANCHES["two"], "group 19")}
    assert not any(end.reasons for end in made.ends.values())


def test_a_gateway_whose_peer_has_a_dynamic_address_never_initiates_and_says_so():
    made = network(head())
    assert made.sent == [] and states(made) == {"one": "down", "two": "down"}
    (one, _two) = made.ends[HQ].manager.overview.gateways()
    assert one.last_error == "gateway one: the remote address is dynamic, so the peer must initiate"
    made.ends[HQ].manager.initiate("one", made.now)
    made.run(1)
    assert [str(event.reason) for event in made.ends[HQ].events if isinstance(event, Failed)] == [
        "gateway one: the remote address is dynamic, so the peer must initiate"]
    assert made.sent == []


def test_what_is_up_is_rekeyed_from_either_end():
    made = network(head(), one=office("one"))
    for end in made.ends.values():
        gateway, tunnel = ("one", "one") if end is made.ends[HQ] else ("hq", "lan")
        before = set(made.ends[HQ].inbound)
        end.manager.rekey_child(tunnel, made.now)
        made.run(7)
        end.manager.rekey_ike(gateway, made.now)
        made.run(2)
        assert states(made)["one"] == "up" and not before & set(made.ends[HQ].inbound)
        assert len(made.ends[HQ].inbound) == 1


def test_a_route_that_the_branch_did_not_ask_for_is_asked_for_on_its_ike_sa():
    """The dynamic side must initiate the IKE SA, and only that."""
    side = head()
    made = network(side, one=office("one"))
    made.ends[HQ].manager.rekey_child("one", made.now)
    made.ends[BRANCHES["one"]].manager.terminate("hq", made.now, "lan")
    made.run(3)
    assert states(made)["one"] != "up"
    made.ends[BRANCHES["one"]].manager.initiate("hq", made.now, "lan")
    made.run(70)
    assert states(made)["one"] == "up"


def test_a_branch_that_comes_from_another_address_takes_its_old_place():
    made = network(head(), one=office("one"))
    old = set(made.ends[HQ].inbound)
    moved = "203.0.113.99"
    made.ends.pop(BRANCHES["one"])
    made.ends[moved] = made.end(office("one"), moved)
    made.ends[moved].manager.start(made.now)
    made.run(10)
    (ike,) = next(row for row in made.ends[HQ].manager.overview.gateways() if row.name == "one").ike
    assert str(ike.remote.address) == moved
    assert states(made)["one"] == "up" and len(made.ends[HQ].inbound) == 1 and not old & set(made.ends[HQ].inbound)


def test_a_branch_with_anothers_key_is_refused():
    made = network(head(), one=office("one", psk=f"{PSK} two"))
    assert states(made) == {"one": "down", "two": "down"}
    assert any("pre-shared key" in str(reason) for reason in made.ends[HQ].reasons)
