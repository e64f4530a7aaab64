# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end that a side means agrees with it."""

import pytest
from ikeengine.vpn import declaration, fleet, rules
from ikeengine.vpn.model import Platform
from ikeengine.vpn.rendering import firebox, swanctl
from ikeengine.vpn.rendering.mirror import far_end


def test_the_mirrored_side_agrees_and_is_somebody_elses(hq):
    hq["gateways"][0]["start"] = "answer"
    hq["tunnels"][0]["routes"].append({"local": "10.1.4.0/24", "remote": "10.2.4.5-10.2.4.9"})
    side = declaration.read(hq)
    far = far_end(side, "branch")
    assert (far.name, far.managed, far.gateways[0].name, far.tunnels[0].gateway) == ("branch", False, "hq", "hq")
    assert rules.validate([side, far]).errors == ()
    assert [str(route) for route in far.tunnels[0].routes] == [
        "10.2.0.0/24 <-> 10.1.0.0/24", "10.2.4.5-10.2.4.9 <-> 10.1.4.0/24"]


def test_it_can_be_rendered_for_either_kind_of_peer(hq):
    side = declaration.read(hq)
    sheet = firebox.render(far_end(side, "branch", Platform("Firebox T45"))).files["firebox.md"]
    assert "Static IP Address | 192.0.2.1 |" in sheet
    assert "local_ts = 10.2.0.0/24" in swanctl.render(far_end(side, "branch")).files["swanctl.conf"]


@pytest.mark.parametrize(("identifier", "reached"), [
    ({"type": "ip-address", "value": "203.0.113.9"}, "203.0.113.9"),
    ({"type": "domain-name", "value": "hq.example"}, None),
    ({"type": "ip-address", "value": "10.0.0.2"}, None)])
def test_a_near_end_behind_a_nat_is_not_reached_for_by_its_private_address(hq, identifier, reached):
    hq["gateways"][0]["endpoints"][0]["local"] = {"address": "10.0.0.2", "identifier": identifier}
    side = declaration.read(hq)
    far = far_end(side, "branch")
    (pair,) = far.gateways[0].endpoints
    assert (pair.remote.address and str(pair.remote.address), pair.remote.identity.value) == (
        reached, identifier["value"])
    assert rules.validate([side, far]).errors == ()
    assert f"remote_addrs = {reached or '%any'}" in swanctl.render(far).files["swanctl.conf"]


def test_a_near_end_behind_a_nat_is_reached_for_by_the_address_that_it_declares():
    definition = fleet.read({"sites": {"a": {"address": "10.0.0.2", "public_address": "203.0.113.9",
                                             "networks": ["10.1.0.0/24"]},
                                       "b": {"address": "198.51.100.1", "networks": ["10.2.0.0/24"]}},
                             "links": [{"pair": ["a", "b"]}], "gateway": {"credential": {"method": "psk"}}})
    side = fleet.side(definition, "a", {"a<->b": "correct horse battery staple"})
    far = far_end(side, "b")
    assert str(far.gateways[0].endpoints[0].remote.address) == "203.0.113.9"
    assert rules.validate([side, far]).findings == ()


def test_a_gateway_that_is_not_there(hq):
    with pytest.raises(KeyError):
        far_end(declaration.read(hq), "nobody")
