# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between both ends of a tunnel."""

from .case import AH, IKEV1, Case

TO_BRANCH = {"name": "vpn0", "addresses": ["169.254.0.1/30"]}
TO_HQ = {"name": "vpn0", "addresses": ["169.254.0.2/30"]}
ROUTE_BASED = {"hq tunnels.0.interface": TO_BRANCH, "branch tunnels.0.interface": TO_HQ, "both site.managed": False}
IPV6 = {"local": "fd00:1::/64", "remote": "fd00:2::/64"}
MORE = {"local": "10.1.9.0/24", "remote": "10.2.9.0/24"}

CASES = (
    Case("phase2-protocol-differs", {"branch proposals.0.protocol": "AH", "branch proposals.0.encryption": "none"},
         "tunnel lan of hq<->branch: phase 2 protocol: hq has ESP, branch has AH: no common protocol; the peers would "
         "answer NO_PROPOSAL_CHOSEN. Set protocol to ESP and encryption to AES-256 in branch's proposal p2.",
         "proposals[p2].protocol", "proposals[p2].protocol", ({}, AH)),
    Case("phase2-no-common-proposal", {"branch proposals.0.encryption": "AES-128"},
         "tunnel lan of hq<->branch: phase 2 encryption: hq offers AES-256, branch offers AES-128: no common proposal; "
         "the peers would answer NO_PROPOSAL_CHOSEN. Set encryption to AES-256 in branch's proposal p2, or encryption "
         "to AES-128 in hq's proposal p2.",
         "proposals[p2].encryption", "proposals[p2].encryption",
         ({"branch proposals.+": {"name": "gcm", "encryption": "AES-GCM-256"},
           "branch tunnels.0.proposals": ["gcm", "p2"]},
          {"branch proposals.0.protocol": "AH", "branch proposals.0.encryption": "none"})),
    Case("phase2-key-expiration-differs", {"branch proposals.0.force_key_expiration": {"traffic": "128000 kB"}},
         "tunnel lan of hq<->branch: phase 2 force key expiration: hq's proposal p2 has {time: 8h}, branch's proposal "
         "p2 has {traffic: 128000 kB}: proposals must match exactly, and IKEv2 does not negotiate lifetimes. Set "
         "force_key_expiration to {time: 8h} in branch's proposal p2, or to {traffic: 128000 kB} in hq's proposal p2.",
         "proposals[p2].force_key_expiration", "proposals[p2].force_key_expiration",
         ({"branch proposals.0.force_key_expiration": {"time": "480 min"}},)),
    Case("pfs-differs", {"branch tunnels.0.pfs": {"enabled": False}},
         "tunnel lan of hq<->branch: PFS: hq has it on, branch has it off: the tunnel would come up and fail at its "
         "first rekey. Set tunnels[lan].pfs of branch to {enabled: true, key_group: 14}.",
         "tunnels[lan].pfs.enabled", "tunnels[lan].pfs.enabled",
         ({"both tunnels.0.pfs": {"enabled": False}},)),
    Case("pfs-differs", {**IKEV1, "branch tunnels.0.pfs": {"enabled": False}},
         "tunnel lan of hq<->branch: PFS: hq has it on, branch has it off: Quick Mode would fail at once. Set "
         "tunnels[lan].pfs of branch to {enabled: true, key_group: 14}.",
         "tunnels[lan].pfs.enabled", "tunnels[lan].pfs.enabled", (IKEV1,)),
    Case("pfs-group-differs", {"branch tunnels.0.pfs.key_group": 19},
         "tunnel lan of hq<->branch: PFS key group: hq has group 14, branch has group 19: the tunnel would come up and "
         "fail at its first rekey. Set tunnels[lan].pfs.key_group of branch to 14, or tunnels[lan].pfs.key_group of hq "
         "to 19.",
         "tunnels[lan].pfs.key_group", "tunnels[lan].pfs.key_group",
         ({"both tunnels.0.pfs.key_group": 31}, {"branch tunnels.0.pfs": {"enabled": False}})),
    Case("pfs-additional-key-exchange-differs", {"branch tunnels.0.pfs.additional_key_exchange": "ML-KEM-1024"},
         "tunnel lan of hq<->branch: PFS additional key exchange: hq has none, branch has ML-KEM-1024: the tunnel "
         "would come up and fail at its first rekey. Set tunnels[lan].pfs.additional_key_exchange of branch to "
         "none, or tunnels[lan].pfs.additional_key_exchange of hq to ML-KEM-1024.",
         "tunnels[lan].pfs.additional_key_exchange", "tunnels[lan].pfs.additional_key_exchange",
         ({"both tunnels.0.pfs.additional_key_exchange": "ML-KEM-768"},
          {"branch tunnels.0.pfs": {"enabled": False, "additional_key_exchange": "ML-KEM-768"}})),
    Case("tunnel-kind-differs", {"hq tunnels.0.interface": TO_BRANCH, "both site.managed": False},
         "tunnel lan of hq<->branch: kind: hq's is route-based by interface vpn0, branch's is policy-based: their SAs "
         "are for different traffic; hq would answer TS_UNACCEPTABLE. Give branch's tunnel lan an interface, or "
         "remove tunnels[lan].interface from hq.",
         "tunnels[lan].interface", "tunnels[lan].routes", ({}, ROUTE_BASED)),
    Case("interface-families-differ", {**ROUTE_BASED, "branch tunnels.0.interface.addresses": [
        "169.254.0.2/30", "fd00::2/126"]},
         "tunnel lan of hq<->branch: address families: hq has IPv4 only, branch has IPv4 and IPv6: hq would refuse an "
         "SA for IPv6. Give tunnels[lan].interface of hq an IPv6 address, or take IPv6 out of tunnels[lan] of branch.",
         "tunnels[lan].interface", "tunnels[lan].interface",
         (ROUTE_BASED, {**ROUTE_BASED, "hq tunnels.0.routes.+": IPV6, "branch tunnels.0.interface.addresses": [
             "169.254.0.2/30", "fd00::2/126"]}, {"hq tunnels.0.routes.+": IPV6})),
    Case("interface-addresses-differ", {**ROUTE_BASED, "branch tunnels.0.interface.addresses": ["169.254.0.6/30"]},
         "tunnel lan of hq<->branch: interface addresses: hq has 169.254.0.1/30, branch has 169.254.0.6/30: no two of "
         "them are different addresses of one network, so neither end reaches the other's. Set "
         "tunnels[lan].interface.addresses of hq and tunnels[lan].interface.addresses of branch to two of one network.",
         "tunnels[lan].interface.addresses", "tunnels[lan].interface.addresses",
         (ROUTE_BASED, {**ROUTE_BASED, "branch tunnels.0.interface": {"name": "vpn0"}},
          {**ROUTE_BASED, "branch tunnels.0.interface.addresses": ["fd00::2/126", "169.254.0.2/30"]})),
    Case("route-direction-does-not-mirror", {"hq tunnels.0.routes.0.direction": "local-to-remote"},
         "tunnel lan of hq<->branch: tunnel route: hq has 10.1.0.0/24 -> 10.2.0.0/24 (local-to-remote), branch has "
         "10.2.0.0/24 <-> 10.1.0.0/24 (both): the directions do not mirror, so one end drops what the other sends. Set "
         "the direction of branch's route to remote-to-local.",
         "tunnels[lan].routes[0].direction", "tunnels[lan].routes[0].direction",
         ({"hq tunnels.0.routes.0.direction": "local-to-remote",
           "branch tunnels.0.routes.0.direction": "remote-to-local"},)),
    Case("route-missing-mirror", {"hq tunnels.0.routes.+": MORE},
         "tunnel lan of hq<->branch: tunnel route: hq has 10.1.9.0/24 <-> 10.2.9.0/24, branch has no mirror of it: "
         "branch would answer TS_UNACCEPTABLE. Add {local: 10.2.9.0/24, remote: 10.1.9.0/24} to the routes of branch's "
         "tunnel lan, or remove {local: 10.1.9.0/24, remote: 10.2.9.0/24} from hq's tunnel lan.",
         "tunnels[lan].routes[1]", "tunnels[lan].routes",
         ({"hq tunnels.0.routes.+": MORE,
           "branch tunnels.0.routes.+": {"local": MORE["remote"], "remote": "10.1.9.0-10.1.9.255"}},
          {**ROUTE_BASED, "hq tunnels.0.routes": []},
          {"hq tunnels.0.routes.0.local": "fd00::/64"}, {"branch tunnels.0.routes.0.local": "fd00::/64"},
          {"hq tunnels.0.routes.0.local": "10.2.0.0/24"})),
    Case("route-missing-mirror", {"hq tunnels.0.routes.+": {**MORE, "direction": "local-to-remote"},
                                  "both site.managed": False},
         "tunnel lan of hq<->branch: tunnel route: hq has 10.1.9.0/24 -> 10.2.9.0/24, branch has no mirror of it: "
         "branch would answer TS_UNACCEPTABLE. Add {local: 10.2.9.0/24, remote: 10.1.9.0/24, direction: "
         "remote-to-local} to the routes of branch's tunnel lan, or remove {local: 10.1.9.0/24, remote: 10.2.9.0/24, "
         "direction: local-to-remote} from hq's tunnel lan.",
         "tunnels[lan].routes[1]", "tunnels[lan].routes", ({},)),
    Case("route-narrower", {"branch tunnels.0.routes.0.remote": "10.1.0.0/25"},
         "tunnel lan of hq<->branch: tunnel route: hq has 10.1.0.0/24 <-> 10.2.0.0/24, branch has 10.2.0.0/24 <-> "
         "10.1.0.0/25: branch's is narrower, so the rest of hq's traffic would find no tunnel. Set the route of "
         "branch's tunnel lan to {local: 10.2.0.0/24, remote: 10.1.0.0/24}, or that of hq's tunnel lan to {local: "
         "10.1.0.0/25, remote: 10.2.0.0/24}.",
         "tunnels[lan].routes[0]", "tunnels[lan].routes[0]",
         ({}, {"branch tunnels.0.routes.0.remote": "10.1.0.128-10.1.1.127"})),
    Case("route-overlaps", {"branch tunnels.0.routes.0.remote": "10.1.0.128-10.1.1.127"},
         "tunnel lan of hq<->branch: tunnel route: hq has 10.1.0.0/24 <-> 10.2.0.0/24, branch has 10.2.0.0/24 <-> "
         "10.1.0.128-10.1.1.127: they only overlap, so the rest of either's traffic would find no tunnel. Set the "
         "route of branch's tunnel lan to {local: 10.2.0.0/24, remote: 10.1.0.0/24}, or that of hq's tunnel lan to "
         "{local: 10.1.0.128-10.1.1.127, remote: 10.2.0.0/24}.",
         "tunnels[lan].routes[0]", "tunnels[lan].routes[0]",
         ({"branch tunnels.0.routes.0.remote": "10.1.0.0-10.1.0.255"},
          {"branch tunnels.0.routes.0.remote": "10.1.1.0/24"})),
)
