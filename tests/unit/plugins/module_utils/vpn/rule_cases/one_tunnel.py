# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one tunnel at one end."""

from .case import AH, IKEV1, Case

BEHIND_NAT = {"hq gateways.0.endpoints.0.local.address": "10.9.0.1"}
PROPOSALS = [{"name": f"p{number}"} for number in range(10, 18)]
NAMES = [proposal["name"] for proposal in PROPOSALS]

CASES = (
    Case("phase2-too-many-proposals", {"hq proposals": [{"name": "p2"}, *PROPOSALS],
                                       "hq tunnels.0.proposals": ["p2", *NAMES]},
         "tunnel hq/lan: phase 2 proposals: there are 9: a tunnel has at most 8. Remove 1 from "
         "tunnels[lan].proposals.",
         "tunnels[lan].proposals", "", ({"hq proposals": PROPOSALS, "hq tunnels.0.proposals": NAMES},)),
    Case("phase2-aead-with-authentication", {"hq proposals.0.encryption": "AES-GCM-256"},
         "tunnel hq/lan: phase 2 authentication: proposal p2 has AES-GCM-256 and SHA2-256: AES-GCM-256 authenticates "
         "by itself. Remove proposals[p2].authentication.",
         "proposals[p2].authentication", "",
         ({"hq proposals.0.encryption": "AES-GCM-256", "hq proposals.0.authentication": None},)),
    Case("phase2-ah-with-encryption", {"hq proposals.0.protocol": "AH"},
         "tunnel hq/lan: phase 2 encryption: proposal p2 has AES-256 with AH: AH authenticates without encrypting. Set "
         "proposals[p2].protocol to ESP, or remove its encryption.",
         "proposals[p2].encryption", "", (AH,)),
    Case("phase2-without-authentication", {"hq proposals.0.authentication": "none"},
         "tunnel hq/lan: phase 2 authentication: proposal p2 has none: without it an attacker can alter the traffic. "
         "Set proposals[p2].authentication to SHA2-256.",
         "proposals[p2].authentication", "",
         ({"hq proposals.0.encryption": "AES-GCM-256", "hq proposals.0.authentication": None},)),
    Case("phase2-esp-without-encryption", {"hq proposals.0.encryption": "none"},
         "tunnel hq/lan: phase 2 encryption: proposal p2 has none: ESP without it hides nothing. Set "
         "proposals[p2].encryption to AES-256.",
         "proposals[p2].encryption", "", (AH,)),
    Case("phase2-mixed-protocols", {"hq proposals.+": {"name": "ah", "protocol": "AH"},
                                    "hq tunnels.0.proposals": ["p2", "ah"]},
         "tunnel hq/lan: phase 2 protocol: the proposals p2, ah have ESP and AH: one tunnel has one of them. Keep the "
         "ESP proposals in tunnels[lan].proposals.",
         "tunnels[lan].proposals", "",
         ({"hq proposals.+": {"name": "ah", "protocol": "AH"}}, AH)),
    Case("phase2-encryption-needs-ikev2", {**IKEV1, "hq proposals.0": {"name": "p2", "encryption":
                                                                       "ChaCha20-Poly1305"}},
         "tunnel hq/lan: phase 2 encryption: proposal p2 has ChaCha20-Poly1305, gateway branch has IKEv1: IKEv1 has "
         "no number for it. Set gateways[branch].ike_version to 2 at both ends, with no mode, or "
         "proposals[p2].encryption to AES-GCM-256.",
         "proposals[p2].encryption", "gateways[branch].ike_version",
         ({"hq proposals.0": {"name": "p2", "encryption": "ChaCha20-Poly1305"}},
          {**IKEV1, "hq proposals.0": {"name": "p2", "encryption": "AES-GCM-256"}})),
    Case("pfs-group-needs-ikev2", {**IKEV1, "hq tunnels.0.pfs.key_group": 31},
         "tunnel hq/lan: PFS key group: it is group 31, gateway branch has IKEv1: IKEv1 has no such group. Set "
         "gateways[branch].ike_version to 2 at both ends, with no mode, or tunnels[lan].pfs.key_group to 14.",
         "tunnels[lan].pfs.key_group", "gateways[branch].ike_version",
         ({"hq tunnels.0.pfs.key_group": 31}, {**IKEV1, "hq tunnels.0.pfs.key_group": 20})),
    Case("pfs-additional-key-exchange-needs-ikev2", {
        **IKEV1, "hq tunnels.0.pfs.additional_key_exchange": "ML-KEM-768"},
         "tunnel hq/lan: PFS additional key exchange: it is ML-KEM-768, gateway branch has IKEv1: IKEv1 has one key "
         "exchange only. Set gateways[branch].ike_version to 2 at both ends, with no mode, or remove "
         "tunnels[lan].pfs.additional_key_exchange.",
         "tunnels[lan].pfs.additional_key_exchange", "gateways[branch].ike_version",
         ({"hq tunnels.0.pfs.additional_key_exchange": "ML-KEM-768"},
          {**IKEV1, "hq tunnels.0.pfs": {"enabled": False, "additional_key_exchange": "ML-KEM-768"}})),
    Case("sa-pair-per-tunnel-needs-ikev2", {**IKEV1, "hq tunnels.0.sa_pairs": "per-tunnel"},
         "tunnel hq/lan: SA pairs: one is asked for all routes, gateway branch has IKEv1: a Quick Mode carries one "
         "route. Set gateways[branch].ike_version to 2 at both ends, with no mode, or tunnels[lan].sa_pairs to "
         "per-route.",
         "tunnels[lan].sa_pairs", "gateways[branch].ike_version",
         ({"hq tunnels.0.sa_pairs": "per-tunnel"}, {**IKEV1, "hq tunnels.0.sa_pairs": "per-route"})),
    Case("sa-pair-per-tunnel-with-fireware", {"hq site": {"name": "hq", "platform": "Firebox T45"},
                                              "hq tunnels.0.sa_pairs": "per-tunnel"},
         "tunnel hq/lan: SA pairs: one is asked for all routes, hq's platform is Firebox T45: Fireware makes one for "
         "each. Set tunnels[lan].sa_pairs to per-route.",
         "tunnels[lan].sa_pairs", "site.platform",
         ({"hq tunnels.0.sa_pairs": "per-tunnel"},
          {"hq site": {"name": "hq", "platform": "ISR 4331"}, "hq tunnels.0.sa_pairs": "per-tunnel"})),
    Case("ah-behind-nat", {**AH, **BEHIND_NAT},
         "tunnel hq/lan: phase 2 protocol: it is AH, the endpoints are 10.9.0.1 and 198.51.100.1: AH protects the "
         "addresses that the NAT between them changes. Set protocol to ESP in the proposals of both ends.",
         "tunnels[lan].proposals", "gateways[branch].endpoints[0].local.address",
         (AH, BEHIND_NAT, {**AH, **BEHIND_NAT, "hq gateways.0.endpoints.0.remote.address": "172.16.0.1"})),
    Case("ah-in-userspace", {**AH, "both site.managed": True, "hq tunnels.0.dataplane": "userspace"},
         "tunnel hq/lan: data plane: it is userspace with AH: its packets travel in UDP, and only ESP does. Set "
         "tunnels[lan].dataplane to kernel, or protocol to ESP in the proposals of both ends.",
         "tunnels[lan].dataplane", "tunnels[lan].proposals",
         ({**AH, "both site.managed": True, "hq tunnels.0.dataplane": "kernel"},
          {"hq tunnels.0.dataplane": "userspace"})),
    Case("route-mixed-families", {"hq tunnels.0.routes.0.remote": "2001:db8::/64"},
         "tunnel hq/lan: tunnel route: local is 10.1.0.0/24, remote is 2001:db8::/64: they are of different address "
         "families. Set tunnels[lan].routes[0] to two of one family.",
         "tunnels[lan].routes[0].local", "tunnels[lan].routes[0].remote",
         ({"hq tunnels.0.routes.0": {"local": "2001:db8:1::/64", "remote": "2001:db8::/64"}},)),
    Case("route-sides-overlap", {"hq tunnels.0.routes.0.remote": "10.0.0.0/8"},
         "tunnel hq/lan: tunnel route: local is 10.1.0.0/24, remote is 10.0.0.0/8: both contain 10.1.0.0/24, so its "
         "traffic has no one way. Make the two of tunnels[lan].routes[0] disjoint.",
         "tunnels[lan].routes[0].local", "tunnels[lan].routes[0].remote",
         ({"hq tunnels.0.routes.0.remote": "10.1.1.0/24"}, {"hq tunnels.0.routes.0.remote": "0.0.0.0/0"})),
    Case("route-contains-endpoints", {"hq tunnels.0.routes.0": {"local": "192.0.2.0/24", "remote": "198.51.100.1"}},
         "tunnel hq/lan: tunnel route: 192.0.2.0/24 contains 192.0.2.1, 198.51.100.1 contains 198.51.100.1: the "
         "tunnel's own packets would go into the tunnel. Leave the endpoints out of tunnels[lan].routes[0].",
         "tunnels[lan].routes[0].local", "tunnels[lan].routes[0].remote",
         ({"hq tunnels.0.routes.0.remote": "0.0.0.0/0"},
          {"hq tunnels.0.routes.0": {"local": "192.0.2.2-192.0.2.9", "remote": "198.51.100.1"}})),
    Case("interface-route-contains-peer", {
        "both site.managed": False, "both tunnels.0.interface": {"name": "vpn0"},
        "hq tunnels.0.routes.0.remote": "0.0.0.0/0", "branch tunnels.0.routes.0.local": "0.0.0.0/0"},
         "tunnel hq/lan: tunnel route: remote is 0.0.0.0/0, into vpn0, the peer is 198.51.100.1: the tunnel's own "
         "packets would go into the tunnel, unless a narrower route leads to the peer. Leave 198.51.100.1 out of "
         "tunnels[lan].routes[0].remote, or give hq a route of its own to it.",
         "tunnels[lan].routes[0].remote", "gateways[branch].endpoints",
         ({"hq tunnels.0.routes.0.remote": "0.0.0.0/0"},
          {"both site.managed": False, "both tunnels.0.interface": {"name": "vpn0"}})),
    Case("route-declared-twice", {"hq tunnels.0.routes.+": {"local": "10.1.0.0-10.1.0.255", "remote": "10.2.0.0/24"}},
         "tunnel hq/lan: tunnel route: routes[0] is 10.1.0.0/24 <-> 10.2.0.0/24, routes[1] is the same: each would "
         "have SAs of its own for one traffic. Remove tunnels[lan].routes[1].",
         "tunnels[lan].routes[0]", "tunnels[lan].routes[1]",
         ({"hq tunnels.0.routes.+": {"local": "10.1.1.0/24", "remote": "10.2.0.0/24"}},)),
    Case("route-of-many-prefixes", {"hq tunnels.0.routes.0": {"local": "10.1.0.1-10.1.0.254",
                                                              "remote": "10.2.0.1-10.2.0.254"}},
         "tunnel hq/lan: tunnel route: local is 10.1.0.1-10.1.0.254 (14 prefixes), remote is 10.2.0.1-10.2.0.254 (14 "
         "prefixes): the kernel knows prefixes only, so this is 196 policies in each direction. Widen the two of "
         "tunnels[lan].routes[0] to networks at both ends.",
         "tunnels[lan].routes[0].local", "tunnels[lan].routes[0].remote",
         ({"hq tunnels.0.routes.0": {"local": "10.1.0.1-10.1.0.254", "remote": "10.2.0.0/24"}},
          {"hq tunnels.0.routes.0": {"local": "10.1.0.1-10.1.0.254", "remote": "10.2.0.1-10.2.0.254"},
           "hq site": {"name": "hq", "platform": "Firebox T45"}})),
    Case("interface-name", {"hq tunnels.0.interface": {"name": "to-the-new-branch"}},
         "tunnel hq/lan: virtual interface: its name is to-the-new-branch: Linux takes names of 1 to 15 characters, "
         "and not ., .., all, default, lo, ike0, iketest0 or iketest1. Set tunnels[lan].interface.name to another one.",
         "tunnels[lan].interface.name", "",
         ({"hq tunnels.0.interface": {"name": "to-a-new-branch"}},
          {"hq tunnels.0.interface": {"name": "to-the-new-branch"},
           "hq site": {"name": "hq", "platform": "Firebox T45"}})),
    Case("interface-name", {"hq tunnels.0.interface": {"name": "iketest1"}},
         "tunnel hq/lan: virtual interface: its name is iketest1: Linux takes names of 1 to 15 characters, "
         "and not ., .., all, default, lo, ike0, iketest0 or iketest1. Set tunnels[lan].interface.name to another one.",
         "tunnels[lan].interface.name", "", ({"hq tunnels.0.interface": {"name": "iketest2"}},)),
    Case("phase2-weak", {"hq proposals.0": {"name": "p2", "encryption": "3DES", "authentication": "MD5"}},
         "tunnel hq/lan: phase 2 proposal: proposal p2 has 3DES, MD5: that is weak today. Choose AES-256 and SHA2-256, "
         "or AES-GCM-256, at both ends.",
         "proposals[p2]", "",
         ({"hq proposals.0.encryption": "AES-128"},
          {"hq policy": "strict", "hq proposals.0.encryption": "3DES"})),
    Case("policy-phase2-weak", {"hq policy": "strict", "hq proposals.0.authentication": "SHA1"},
         "tunnel hq/lan: phase 2 proposal: proposal p2 has SHA1, hq's policy is strict: that is weak today. Choose "
         "AES-256 and SHA2-256, or AES-GCM-256, at both ends.",
         "proposals[p2]", "policy",
         ({"hq proposals.0.authentication": "SHA1"}, {"hq policy": "strict"})),
    Case("pfs-weak", {"hq tunnels.0.pfs.key_group": 5},
         "tunnel hq/lan: PFS key group: it is group 5: that is weak today. Set tunnels[lan].pfs.key_group to 14 or "
         "better at both ends.",
         "tunnels[lan].pfs.key_group", "",
         ({}, {"hq tunnels.0.pfs.key_group": 5, "hq policy": "strict"})),
    Case("policy-pfs-weak", {"hq tunnels.0.pfs.key_group": 5, "hq policy": "strict"},
         "tunnel hq/lan: PFS key group: it is group 5, hq's policy is strict: that is weak today. Set "
         "tunnels[lan].pfs.key_group to 14 or better at both ends.",
         "tunnels[lan].pfs.key_group", "policy",
         ({"hq tunnels.0.pfs.key_group": 5}, {"hq policy": "strict"})),
    Case("pfs-off", {"hq tunnels.0.pfs.enabled": False},
         "tunnel hq/lan: PFS: it is off: who learns phase 1's keys can then read this tunnel's traffic. Set "
         "tunnels[lan].pfs.enabled to true at both ends.",
         "tunnels[lan].pfs.enabled", "", ({"hq tunnels.0.pfs.key_group": 31},)),
)
