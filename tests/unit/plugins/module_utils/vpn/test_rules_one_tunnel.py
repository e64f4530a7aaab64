# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads when one site's tunnels cannot work by themselves."""


import pytest


@pytest.mark.parametrize(("code", "proposal", "tunnel", "message"), [
    ("phase2-aead-with-authentication", {"encryption": "AES-GCM-256"}, {},
     "phase 2 authentication: proposal p2 has AES-GCM-256 and SHA2-256: AES-GCM-256 authenticates by itself. Remove "
     "proposals[p2].authentication."),
    ("phase2-ah-with-encryption", {"protocol": "AH"}, {},
     "phase 2 encryption: proposal p2 has AES-256 with AH: AH authenticates without encrypting. Set "
     "proposals[p2].protocol to ESP, or remove its encryption."),
    ("phase2-without-authentication", {"authentication": "none"}, {},
     "phase 2 authentication: proposal p2 has none: without it an attacker can alter the traffic. Set "
     "proposals[p2].authentication to SHA2-256."),
    ("phase2-esp-without-encryption", {"encryption": "none"}, {},
     "phase 2 encryption: proposal p2 has none: ESP without it hides nothing. Set proposals[p2].encryption to "
     "AES-256."),
    ("phase2-weak", {"encryption": "3DES", "authentication": "MD5"}, {},
     "phase 2 proposal: proposal p2 has 3DES, MD5: that is weak today. Choose AES-256 and SHA2-256, or AES-GCM-256, at "
     "both ends."),
    ("pfs-weak", {}, {"pfs": {"key_group": 5}},
     "PFS key group: it is group 5: that is weak today. Set tunnels[lan].pfs.key_group to 14 or better at both ends."),
    ("pfs-off", {}, {"pfs": {"enabled": False}},
     "PFS: it is off: who learns phase 1's keys can then read this tunnel's traffic. Set tunnels[lan].pfs.enabled to "
     "true at both ends."),
    ("route-mixed-families", {}, {"routes": [{"local": "10.1.0.0/24", "remote": "2001:db8::/64"}]},
     "tunnel route: local is 10.1.0.0/24, remote is 2001:db8::/64: they are of different address families. Set "
     "tunnels[lan].routes[0] to two of one family."),
    ("route-sides-overlap", {}, {"routes": [{"local": "10.1.0.0/24", "remote": "10.0.0.0/8"}]},
     "tunnel route: local is 10.1.0.0/24, remote is 10.0.0.0/8: both contain 10.1.0.0/24, so its traffic has no one "
     "way. Make the two of tunnels[lan].routes[0] disjoint."),
    ("route-contains-endpoints", {}, {"routes": [{"local": "192.0.2.0/24", "remote": "198.51.100.1"}]},
     "tunnel route: 192.0.2.0/24 contains 192.0.2.1, 198.51.100.1 contains 198.51.100.1: the tunnel's own "
     "packets would go into the tunnel. Leave the endpoints out of tunnels[lan].routes[0]."),
])
def test_rules_of_one_tunnel(hq, messages, code, proposal, tunnel, message):
    assert messages(code) == []
    hq["proposals"][0].update(proposal)
    hq["tunnels"][0].update(tunnel)
    assert messages(code) == [f"tunnel hq/lan: {message}"]


@pytest.mark.parametrize(("code", "proposal", "routes"), [
    ("phase2-aead-with-authentication", {"encryption": "AES-GCM-256", "authentication": None}, None),
    ("phase2-without-authentication", {"encryption": "AES-GCM-256", "authentication": None}, None),
    ("phase2-ah-with-encryption", {"protocol": "AH", "encryption": None}, None),
    ("route-sides-overlap", {}, [{"local": "10.1.0.0/24", "remote": "10.1.1.0/24"}]),
    ("route-sides-overlap", {}, [{"local": "10.1.0.0/24", "remote": "0.0.0.0/0"}]),
    ("route-contains-endpoints", {}, [{"local": "10.1.0.0/24", "remote": "0.0.0.0/0"}]),
])
def test_near_misses_of_one_tunnel(hq, messages, code, proposal, routes):
    hq["proposals"][0].update(proposal)
    if routes:
        hq["tunnels"][0]["routes"] = routes
    assert messages(code) == []


def test_eight_proposals_are_enough(hq, messages):
    hq["proposals"] += [{"name": f"p{number}"} for number in range(10, 18)]
    hq["tunnels"][0]["proposals"] = ["p2", *(f"p{number}" for number in range(10, 17))]
    assert messages("phase2-too-many-proposals") == []
    hq["tunnels"][0]["proposals"].append("p17")
    assert messages("phase2-too-many-proposals") == [
        "tunnel hq/lan: phase 2 proposals: there are 9: a tunnel has at most 8. Remove 1 from tunnels[lan].proposals."]


def test_esp_and_ah_in_one_tunnel(hq, messages):
    hq["proposals"].append({"name": "ah", "protocol": "AH"})
    hq["tunnels"][0]["proposals"] = ["p2", "ah"]
    assert messages("phase2-mixed-protocols") == [
        "tunnel hq/lan: phase 2 protocol: the proposals p2, ah have ESP and AH: one tunnel has one of them. "
        "Keep the ESP proposals in tunnels[lan].proposals."]


def test_routes_of_one_site_overlap(hq, messages):
    hq["tunnels"].append({"name": "voice", "gateway": "branch",
                          "routes": [{"local": "10.1.0.0/16", "remote": "10.2.0.128/25"}]})
    assert messages("routes-nested") == []
    assert messages("routes-overlap") == [
        "site hq: tunnel routes: tunnel lan has 10.1.0.0/24 <-> 10.2.0.0/24, tunnel voice has 10.1.0.0/16 <-> "
        "10.2.0.128/25: they overlap, so traffic could go into either. Make them disjoint, or keep one of the two."]


@pytest.mark.parametrize("route", [{"local": "10.1.0.0/24", "remote": "10.2.1.0/24"},
                                   {"local": "10.1.1.0/24", "remote": "10.2.0.0/24"}])
def test_routes_that_share_one_side_do_not_overlap(hq, messages, route):
    hq["tunnels"][0]["routes"].append(route)
    assert messages("routes-overlap") == []
