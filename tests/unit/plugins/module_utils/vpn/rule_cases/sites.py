# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one site as a whole, on all sites together, and on gateways whose far end is not among them."""

from .case import CERTIFICATE, IKEV1, Case, dynamic, endpoints, gateway, site

SHARED = {"hq gateways.+": dynamic("mobile"), "hq shared_transforms": ["p1"]}
FAST = {"name": "fast", "key_group": 19}
SIX = {"local": "2001:db8:1::/64", "remote": "2001:db8:2::/64"}
OTHER_KEY = {"method": "psk", "psk": "another-planted-marker-of-good-length"}
TWIN = gateway("twin", endpoints=[endpoints("192.0.2.1", "hq.example", "198.51.100.1", "twin.example")])
ELSEWHERE = endpoints("192.0.2.1", "hq.example", "203.0.113.1", "BRANCH.example")
STATIC_THEN_DYNAMIC = gateway("vehicle", endpoints=[
    endpoints("192.0.2.1", "hq.example", remote, "vehicle.example") for remote in ("203.0.113.1", "dynamic")])
THIRD = site("third", "fourth", "203.0.113.3", "203.0.113.4", "10.3.0.0/24", "10.4.0.0/24")


def voice(local, remote, **fields):
    return {"name": "voice", "gateway": "branch", "proposals": ["p2"],
            "routes": [{"local": local, "remote": remote}], **fields}


CASES = (
    Case("duplicate-identity", {"hq gateways.+": gateway("second", credential=OTHER_KEY, endpoints=[ELSEWHERE])},
         "site hq: remote identifier: gateways branch and second both expect BRANCH.example: a peer that presents it "
         "could be either. Give the peers different identifiers, or both gateways the same credential.",
         "gateways[branch].endpoints[0].remote.identifier", "gateways[second].endpoints[0].remote.identifier",
         ({"hq gateways.+": gateway("second", credential=OTHER_KEY)},
          {"hq gateways.+": gateway("second", endpoints=[ELSEWHERE])},
          {"hq gateways.+": gateway("second", credential={"method": "psk"}, endpoints=[ELSEWHERE])},
          {"hq gateways.+": gateway("second", endpoints=[endpoints(
              "192.0.2.2", "hq2.example", "198.51.100.1", "branch.example")])},
          {"hq gateways.0.endpoints.+": endpoints("192.0.2.2", "hq.example", "198.51.100.1", "branch.example")})),
    Case("duplicate-identity", {"hq gateways.+": gateway("second", endpoints=[endpoints(
        "192.0.2.1", "hq.example", "dynamic", "BRANCH.example")])},
         "site hq: remote identifier: gateways branch and second both expect BRANCH.example: a peer that presents it "
         "could be either. Give the peers different identifiers, or join the two gateways' tunnels under branch.",
         "gateways[branch].endpoints[0].remote.identifier", "gateways[second].endpoints[0].remote.identifier",
         ({"hq gateways.+": gateway("second", endpoints=[endpoints(
             "192.0.2.1", "hq.example", "dynamic", "second.example")])},)),
    Case("gateway-declared-twice", {"hq gateways.+": gateway("second", endpoints=[
        endpoints("192.0.2.1", "hq.example", "198.51.100.1", "branch.example")])},
         "site hq: endpoints: gateways branch and second both join 192.0.2.1 (hq.example) and 198.51.100.1 "
         "(branch.example): nothing tells the two apart. Give the peers different identifiers where they are two; "
         "where they are one, put second's tunnels under branch and remove gateways[second].",
         "gateways[branch].endpoints[0]", "gateways[second].endpoints[0]",
         ({"hq gateways.+": TWIN},)),
    Case("shared-transforms-differ", {**SHARED, "hq transforms.+": FAST, "hq gateways.1.transforms": ["fast"]},
         "site hq: phase 1 transforms: gateway mobile has fast (AES-256, SHA2-256, group 19, 24h), shared_transforms "
         "has p1 (AES-256, SHA2-256, group 14, 24h): all IKEv2 gateways with a dynamic remote end share theirs. Remove "
         "gateways[mobile].transforms, or change shared_transforms.",
         "gateways[mobile].transforms", "shared_transforms",
         (SHARED, {**SHARED, "hq transforms.+": FAST, "hq gateways.0.transforms": ["fast"]},
          {**SHARED, "hq transforms.+": FAST, "hq gateways.1.transforms": ["fast"], "hq gateways.1.ike_version": 1,
           "hq gateways.1.mode": "aggressive"})),
    Case("shared-transforms-differ", {"hq gateways": [dynamic("mobile"), dynamic("vehicle", transforms=["fast"])],
                                      "hq tunnels": [], "hq transforms.+": FAST},
         "site hq: phase 1 transforms: gateway vehicle has fast (AES-256, SHA2-256, group 19, 24h), gateway mobile has "
         "p1 (AES-256, SHA2-256, group 14, 24h): all IKEv2 gateways with a dynamic remote end share theirs. Set "
         "gateways[vehicle].transforms to [p1], or name the transforms of all of them in shared_transforms.",
         "gateways[vehicle].transforms", "gateways[mobile].transforms",
         ({"hq gateways": [dynamic("mobile"), dynamic("vehicle", transforms=["same"])], "hq tunnels": [],
           "hq transforms.+": {"name": "same"}},)),
    Case("shared-transforms-differ", {
        "hq gateways": [dynamic("mobile"), {**STATIC_THEN_DYNAMIC, "transforms": ["fast"]}], "hq tunnels": [],
        "hq transforms.+": FAST},
         "site hq: phase 1 transforms: gateway vehicle has fast (AES-256, SHA2-256, group 19, 24h), gateway mobile has "
         "p1 (AES-256, SHA2-256, group 14, 24h): all IKEv2 gateways with a dynamic remote end share theirs. Set "
         "gateways[vehicle].transforms to [p1], or name the transforms of all of them in shared_transforms.",
         "gateways[vehicle].transforms", "gateways[mobile].transforms",
         ({"hq gateways": [dynamic("mobile"), STATIC_THEN_DYNAMIC], "hq tunnels": []},
          {"hq gateways": [dynamic("mobile"), gateway("vehicle", transforms=["fast"])], "hq tunnels": [],
           "hq transforms.+": FAST})),
    Case("same-addresses-transforms-differ", {"hq transforms.+": FAST,
                                              "hq gateways.+": {**TWIN, "transforms": ["fast"]}},
         "site hq: phase 1 transforms: gateway twin has fast (AES-256, SHA2-256, group 19, 24h), gateway branch has p1 "
         "(AES-256, SHA2-256, group 14, 24h): a responder chooses the transform before it knows which of the peers "
         "behind one address asks. Set gateways[twin].transforms to [p1].",
         "gateways[twin].transforms", "gateways[branch].transforms",
         ({"hq gateways.+": TWIN}, {"hq transforms.+": {"name": "same"},
                                    "hq gateways.+": {**TWIN, "transforms": ["same"]}},
          {"hq transforms.+": FAST, "hq gateways.+": gateway("second", transforms=["fast"])},
          {**IKEV1, "hq transforms.+": FAST, "hq gateways.+": {**TWIN, "ike_version": 1, "transforms": ["fast"]}})),
    Case("main-mode-keys-differ", {**IKEV1, "hq gateways.+": {**TWIN, "ike_version": 1, "credential": OTHER_KEY}},
         "site hq: credential: gateways branch and twin have different keys for 192.0.2.1<->198.51.100.1: in Main Mode "
         "the key is chosen by the two addresses. Set the same psk in both, or ike_version to 2.",
         "gateways[branch].credential.psk", "gateways[twin].credential.psk",
         ({**IKEV1, "hq gateways.+": {**TWIN, "ike_version": 1}},
          {"hq gateways.+": {**TWIN, "credential": OTHER_KEY}},
          {**IKEV1, "hq gateways.+": {**TWIN, "ike_version": 1, "credential": CERTIFICATE}},
          {**IKEV1, "hq gateways.+": {**TWIN, "ike_version": 1, "credential": {"method": "psk"}}},
          {**IKEV1, "hq gateways.+": gateway("second", ike_version=1, credential=OTHER_KEY)},
          {**IKEV1, "hq gateways.+": {**TWIN, "ike_version": 1, "mode": "aggressive", "credential": OTHER_KEY}})),
    Case("interface-declared-twice", {
        "hq tunnels.0.interface": {"name": "vpn0"},
        "hq tunnels.+": voice("10.1.9.0/24", "10.2.9.0/24", interface={"name": "vpn0"})},
         "site hq: virtual interface: tunnel lan has vpn0, tunnel voice has vpn0: an interface belongs to one tunnel. "
         "Give tunnels[voice].interface another name.",
         "tunnels[lan].interface.name", "tunnels[voice].interface.name",
         ({"hq tunnels.0.interface": {"name": "vpn0"},
           "hq tunnels.+": voice("10.1.9.0/24", "10.2.9.0/24", interface={"name": "vpn1"})},)),
    Case("interfaces-of-one-gateway", {
        "hq tunnels.0.interface": {"name": "vpn0"},
        "hq tunnels.+": voice("10.1.9.0/24", "10.2.9.0/24", interface={"name": "vpn1"})},
         "site hq: virtual interface: tunnels lan and voice are route-based, both are under gateway branch: the SAs of "
         "both are for all traffic, so the peer could not tell them apart. Give tunnels[voice] a gateway of its own, "
         "or route its networks into tunnels[lan].interface.",
         "tunnels[lan].interface", "tunnels[voice].interface",
         ({"hq tunnels.0.interface": {"name": "vpn0"}, "hq tunnels.+": voice("10.1.9.0/24", "10.2.9.0/24")},
          {"hq tunnels.0.interface": {"name": "vpn0"}, "hq gateways.+": gateway("second"), "hq tunnels.+": {
              **voice("10.1.9.0/24", "10.2.9.0/24", interface={"name": "vpn1"}), "gateway": "second"}})),
    Case("site-declared-twice", {"branch site.name": "hq"},
         "all sites: site.name: 2 sites are called hq: findings could not tell them apart. Give each site its own "
         "name.",
         "site.name", "site.name", ({"branch site.name": "HQ"},)),
    Case("identity-of-two-sites", {"third": site("third", "fourth", "203.0.113.3", "203.0.113.4", "10.3.0.0/24",
                                                 "10.4.0.0/24"),
                                   "third gateways.0.endpoints.0.local.identifier.value": "HQ.example"},
         "all sites: phase 1 identifier: hq presents hq.example, third presents HQ.example: a peer of both could not "
         "tell them apart. Give one of the two sites another local identifier.",
         "gateways[branch].endpoints[0].local.identifier", "gateways[fourth].endpoints[0].local.identifier",
         ({"third": THIRD}, {"hq gateways.+": gateway("second")})),
    Case("far-end-has-no-gateway", {"hq gateways.+": gateway("second", endpoints=[
        {"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.1"}}])},
         "gateway hq/second: far end: hq reaches for 198.51.100.1, that is branch, which has no gateway back: branch "
         "would answer AUTHENTICATION_FAILED. Add a gateway to branch with remote address 192.0.2.2.",
         "gateways[second].endpoints[0].remote.address", "",
         ({}, {"hq gateways.+": gateway("second")})),
    Case("far-end-declared-nowhere", {"hq gateways.+": gateway("second")},
         "gateway hq/second: far end: hq reaches for 203.0.113.1, no declared site has it: only one end is known, so "
         "nothing can be held against the other. Declare the far end too, with managed: false where somebody else "
         "configures it.",
         "gateways[second].endpoints[0].remote.address", "", ({},)),
    Case("routes-nested", {"hq tunnels.+": voice("10.1.0.0/25", "10.2.0.0/25")},
         "site hq: tunnel routes: tunnel lan has 10.1.0.0/24 <-> 10.2.0.0/24, tunnel voice has 10.1.0.0/25 <-> "
         "10.2.0.0/25: the narrower one has its traffic, whether its tunnel is up or not. Keep it so where that is "
         "meant, or make them disjoint.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.+": voice("10.1.0.0/25", "10.2.1.0/24")},
          {"hq tunnels.+": voice("10.1.0.0/24", "10.2.0.0/24")})),
    Case("routes-overlap", {"hq tunnels.+": voice("10.1.0.0/16", "10.2.0.128/25")},
         "site hq: tunnel routes: tunnel lan has 10.1.0.0/24 <-> 10.2.0.0/24, tunnel voice has 10.1.0.0/16 <-> "
         "10.2.0.128/25: they overlap, so traffic could go into either. Make them disjoint, or keep one of the two.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.+": voice("10.1.0.0/24", "10.2.1.0/24")},
          {"hq tunnels.+": voice("10.1.1.0/24", "10.2.0.0/24")},
          {"hq site.managed": False, "hq tunnels.0.interface": {"name": "vpn0", "metric": 10},
           "hq tunnels.+": {**voice("10.1.0.0/24", "10.2.0.0/24"), "interface": {"name": "vpn1", "metric": 20}}})),
    Case("routes-overlap", {"hq tunnels.0.routes": [SIX], "hq tunnels.0.interface": {"name": "vpn0", "metric": 1024},
                            "hq tunnels.+": voice(**SIX, interface={"name": "vpn1"})},
         "site hq: tunnel routes: tunnel lan has 2001:db8:1::/64 <-> 2001:db8:2::/64, tunnel voice has "
         "2001:db8:1::/64 <-> 2001:db8:2::/64: they overlap, so traffic could go into either. Make them disjoint, or "
         "keep one of the two.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.0.routes": [SIX], "hq tunnels.0.interface": {"name": "vpn0", "metric": 1023},
           "hq tunnels.+": voice(**SIX, interface={"name": "vpn1"})},)),
    Case("interface-routes-clash", {"hq tunnels.0.interface": {"name": "vpn0", "metric": 0},
                                    "hq tunnels.+": voice("10.9.0.0/24", "10.2.0.0/24", interface={"name": "vpn1"})},
         "site hq: tunnel routes: tunnel lan has 10.1.0.0/24 <-> 10.2.0.0/24 into vpn0, tunnel voice has 10.9.0.0/24 "
         "<-> 10.2.0.0/24 into vpn1: a host has one route to 10.2.0.0/24 with metric 0, whatever it comes from. Set "
         "tunnels[voice].interface.metric to another number than that of tunnels[lan], or make their remote sides "
         "disjoint.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.0.interface": {"name": "vpn0"},
           "hq tunnels.+": voice("10.9.0.0/24", "10.2.0.0/24", interface={"name": "vpn1", "metric": 1})},
          {"hq tunnels.0.interface": {"name": "vpn0"},
           "hq tunnels.+": voice("10.9.0.0/24", "10.2.0.0/25", interface={"name": "vpn1"})},
          {"hq tunnels.0.interface": {"name": "vpn0"},
           "hq tunnels.0.routes.+": {"local": "10.9.0.0/24", "remote": "10.2.0.0/24"}},
          {"hq tunnels.0.interface": {"name": "vpn0"}, "hq tunnels.+": voice("10.9.0.0/24", "10.2.0.0/24")},
          {"hq tunnels.0.interface": {"name": "vpn0"}, "hq site": {"name": "hq", "platform": "Firebox T45"},
           "hq tunnels.+": voice("10.9.0.0/24", "10.2.0.0/24", interface={"name": "vpn1"})})),
    Case("interface-routes-clash", {"hq tunnels.0.routes": [SIX],
                                    "hq tunnels.0.interface": {"name": "vpn0", "metric": 1024},
                                    "hq tunnels.+": voice("2001:db8:9::/64", "2001:db8:2::-2001:db8:2:1::",
                                                          interface={"name": "vpn1"})},
         "site hq: tunnel routes: tunnel lan has 2001:db8:1::/64 <-> 2001:db8:2::/64 into vpn0, tunnel voice has "
         "2001:db8:9::/64 <-> 2001:db8:2::-2001:db8:2:1:: into vpn1: a host has one route to 2001:db8:2::/64 with "
         "metric 1024, whatever it comes from. Set tunnels[voice].interface.metric to another number than that of "
         "tunnels[lan], or make their remote sides disjoint.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.0.routes": [SIX], "hq tunnels.0.interface": {"name": "vpn0"},
           "hq tunnels.+": voice("2001:db8:9::/64", "2001:db8:2::-2001:db8:2:1::",
                                 interface={"name": "vpn1", "metric": 1025})},)),
    Case("interface-inside-policy", {"hq tunnels.0.routes.0": {"local": "10.1.0.0/16", "remote": "0.0.0.0/0"},
                                     "hq tunnels.+": voice("10.1.0.0/24", "10.7.0.0/24", interface={"name": "vpn0"})},
         "site hq: tunnel routes: tunnel lan has 10.1.0.0/16 <-> 0.0.0.0/0, tunnel voice has 10.1.0.0/24 <-> "
         "10.7.0.0/24 into vpn0: what is for 10.7.0.0/24 goes into vpn0 or not, wherever it comes from. Set "
         "tunnels[voice].routes[0].local to 10.1.0.0/16, and to the same at the other end, or make the two disjoint.",
         "tunnels[lan].routes[0]", "tunnels[voice].routes[0]",
         ({"hq tunnels.0.routes.0": {"local": "10.1.0.0/24", "remote": "0.0.0.0/0"},
           "hq tunnels.+": voice("10.1.0.0/24", "10.7.0.0/24", interface={"name": "vpn0"})},
          {"hq tunnels.0.routes.0": {"local": "10.1.0.0/16", "remote": "0.0.0.0/0"},
           "hq tunnels.0.interface": {"name": "vpn0"}, "hq tunnels.+": voice("10.1.0.0/24", "10.7.0.0/24")},
          {"hq tunnels.0.routes.0": {"local": "10.1.0.0/16", "remote": "0.0.0.0/0"},
           "hq tunnels.+": voice("10.9.0.0/24", "10.7.0.0/24", interface={"name": "vpn0"})},
          {"hq tunnels.0.routes.0": {"local": "10.1.0.0/16", "remote": "0.0.0.0/0"},
           "hq site": {"name": "hq", "platform": "Firebox T45"},
           "hq tunnels.+": voice("10.1.0.0/24", "10.7.0.0/24", interface={"name": "vpn0"})})),
)
