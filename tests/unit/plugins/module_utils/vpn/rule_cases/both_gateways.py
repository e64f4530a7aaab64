# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between both ends of a gateway."""

from .case import AH, BLOCK, CERTIFICATE, IKEV1, KEY, Case, endpoints

NEXT_KEY = "another-planted-marker-of-good-length"
KEEP_ALIVE = {**IKEV1, "both gateways.0.ike_keep_alive": {"enabled": True},
              "both gateways.0.dead_peer_detection": {"enabled": False}}
FIRST = {"hq": {"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.2"}},
         "branch": {"local": {"address": "198.51.100.2"}, "remote": {"address": "192.0.2.2"}}}
SECOND = {"hq": endpoints("192.0.2.1", "hq.example", "198.51.100.1", "branch.example"),
          "branch": endpoints("198.51.100.1", "branch.example", "192.0.2.1", "hq.example")}
VOICE = {"name": "voice", "gateway": "branch", "proposals": ["p2"],
         "routes": [{"local": "10.1.9.0/24", "remote": "10.2.9.0/24"}]}
FAR_VOICE = {**VOICE, "gateway": "hq", "routes": [{"local": "10.2.9.0/24", "remote": "10.1.9.0/24"}]}
DEALT_OUT = {"hq tunnels.0.routes.+": VOICE["routes"][0], "branch tunnels.+": FAR_VOICE}

CASES = (
    Case("ike-version-differs", {"branch gateways.0.ike_version": 1},
         "gateway hq<->branch: IKE version: hq has IKEv2, branch has IKEv1: a peer does not answer the other version. "
         "Set ike_version to 2 at both ends, with no mode.",
         "gateways[branch].ike_version", "gateways[hq].ike_version", (IKEV1, {"branch gateways.0.ike_version": 2})),
    Case("mode-differs", {**IKEV1, "branch gateways.0.mode": "aggressive"},
         "gateway hq<->branch: mode: hq has main, branch has aggressive: a responder refuses a mode that it is not set "
         "up for. Set mode to main at both ends, or ike_version to 2 at both ends, with no mode.",
         "gateways[branch].mode", "gateways[hq].mode",
         (IKEV1, {**IKEV1, "branch gateways.0.mode": "main-fallback-aggressive"})),
    Case("mode-falls-back", {**IKEV1, "hq gateways.0.mode": "aggressive",
                             "branch gateways.0.mode": "main-fallback-aggressive"},
         "gateway hq<->branch: mode: hq has aggressive, branch has main-fallback-aggressive: they agree on "
         "aggressive, which protects no identity. Set ike_version to 2 at both ends, with no mode, or mode to main at "
         "both ends where both have static addresses.",
         "gateways[branch].mode", "gateways[hq].mode",
         (IKEV1, {**IKEV1, "both gateways.0.mode": "main-fallback-aggressive"},
          {**IKEV1, "both gateways.0.mode": "aggressive"})),
    Case("mode-falls-back", {**IKEV1, "hq gateways.0.mode": "main-fallback-aggressive"},
         "gateway hq<->branch: mode: hq has main-fallback-aggressive, branch has main: they agree on main. Set "
         "ike_version to 2 at both ends, with no mode, or mode to main at both ends where both have static addresses.",
         "gateways[branch].mode", "gateways[hq].mode",
         ({"hq gateways.0.mode": "main-fallback-aggressive", "branch gateways.0.mode": "main"},)),
    Case("credential-method-differs", {"branch gateways.0.credential": {"method": "hex-psk", "psk": "ab" * 16}},
         "gateway hq<->branch: credential: hq has method psk, branch has hex-psk: both ends need the same method; the "
         "peers would answer AUTHENTICATION_FAILED. Set gateways[hq].credential.method of branch to psk, or "
         "gateways[branch].credential.method of hq to hex-psk.",
         "gateways[branch].credential.method", "gateways[hq].credential.method",
         ({"both gateways.0.credential": {"method": "hex-psk", "psk": "ab" * 16}},)),
    Case("psk-differs", {"branch gateways.0.credential.psk": "another-planted-marker-of-good-length"},
         "gateway hq<->branch: credential: hq has one pre-shared key, branch has another: the keys must be equal; the "
         "peers would answer AUTHENTICATION_FAILED. Set the same psk in gateways[branch].credential of hq and "
         "gateways[hq].credential of branch.",
         "gateways[branch].credential.psk", "gateways[hq].credential.psk",
         ({"hq gateways.0.credential": {"method": "hex-psk", "psk": "0x" + "AB" * 16},
           "branch gateways.0.credential": {"method": "hex-psk", "psk": "ab" * 16}},
          {"hq gateways.0.credential.psk": NEXT_KEY, "hq gateways.0.credential.also_accepted": [KEY],
           "branch gateways.0.credential.also_accepted": [NEXT_KEY]},
          {"hq gateways.0.credential": CERTIFICATE,
           "branch gateways.0.credential": {**CERTIFICATE, "private_key": BLOCK.replace("MAA=", "MAEA").format(
               "PRIVATE KEY")}})),
    Case("phase1-no-common-transform", {"branch transforms.0.encryption": "3DES"},
         "gateway hq<->branch: phase 1 encryption: hq offers AES-256, branch offers 3DES: no common transform; the "
         "peers would answer NO_PROPOSAL_CHOSEN. Set encryption to AES-256 in branch's transform p1.",
         "transforms[p1].encryption", "transforms[p1].encryption",
         ({"branch transforms.0.name": "other", "branch gateways.0.transforms": ["other"]},
          {"branch transforms.+": {"name": "weak", "encryption": "3DES"},
           "branch gateways.0.transforms": ["weak", "p1"]})),
    Case("phase1-no-common-transform", {"hq transforms.0.additional_key_exchange": "ML-KEM-768"},
         "gateway hq<->branch: phase 1 additional key exchange: hq offers ML-KEM-768, branch offers no additional key "
         "exchange: no common transform; the peers would answer NO_PROPOSAL_CHOSEN. Set additional_key_exchange to "
         "ML-KEM-768 in branch's transform p1, or additional_key_exchange to none in hq's transform p1.",
         "transforms[p1].additional_key_exchange", "transforms[p1].additional_key_exchange",
         ({"both transforms.0.additional_key_exchange": "ML-KEM-768"},)),
    Case("phase1-sa-life-differs", {"branch transforms.0.sa_life": "8h"},
         "gateway hq<->branch: phase 1 SA life: hq's transform p1 has 24h, branch's transform p1 has 8h: transforms "
         "must match exactly, and IKEv2 does not negotiate lifetimes. Set sa_life to 24h in branch's transform p1, or "
         "to 8h in hq's transform p1.",
         "transforms[p1].sa_life", "transforms[p1].sa_life",
         ({"branch transforms.0.sa_life": "1440m"}, {"both transforms.0.sa_life": "8h"})),
    Case("nat-traversal-differs", {**IKEV1, "branch gateways.0.nat_traversal.enabled": False},
         "gateway hq<->branch: NAT traversal: hq has it on, branch has it off: the peers agree on it in phase 1. Set "
         "gateways[hq].nat_traversal.enabled of branch to true.",
         "gateways[branch].nat_traversal.enabled", "gateways[hq].nat_traversal.enabled",
         (IKEV1, {**IKEV1, "both gateways.0.nat_traversal.enabled": False},
          {**IKEV1, "branch gateways.0.nat_traversal.keep_alive": "30s"})),
    Case("dead-peer-detection-differs", {**IKEV1, "branch gateways.0.dead_peer_detection.enabled": False},
         "gateway hq<->branch: dead peer detection: hq has it on, branch has it off: only one end notices when the "
         "other is gone. Set gateways[hq].dead_peer_detection.enabled of branch to true.",
         "gateways[branch].dead_peer_detection.enabled", "gateways[hq].dead_peer_detection.enabled",
         ({**IKEV1, "both gateways.0.dead_peer_detection.enabled": False},
          {**IKEV1, "branch gateways.0.dead_peer_detection.idle": "60s"})),
    Case("keep-alive-differs", {**KEEP_ALIVE, "branch gateways.0.ike_keep_alive.enabled": False},
         "gateway hq<->branch: IKE keep-alive: hq has it on, branch has it off: what one end sends the other does not "
         "answer, and after 5 failures hq closes the tunnel. Set ike_keep_alive.enabled to the same at both ends.",
         "gateways[branch].ike_keep_alive", "gateways[hq].ike_keep_alive",
         (KEEP_ALIVE, IKEV1)),
    Case("keep-alive-between-makes", {**KEEP_ALIVE, "branch site.platform": "Firebox T45"},
         "gateway hq<->branch: IKE keep-alive: hq has something else on Linux, branch has Fireware: it works only "
         "between two of the same make. Remove ike_keep_alive at both ends, and set dead_peer_detection.enabled to "
         "true.",
         "gateways[branch].ike_keep_alive", "gateways[hq].ike_keep_alive",
         (KEEP_ALIVE, {**KEEP_ALIVE, "both site.managed": True},
          {**KEEP_ALIVE, "hq site.platform": "XTM 330", "branch site.platform": "Firebox T45"},
          {**IKEV1, "branch site.platform": "Firebox T45"})),
    Case("main-mode-agreed-needs-static-peer", {
        **IKEV1, "hq gateways.0.mode": "main-fallback-aggressive",
        "hq gateways.0.endpoints.0.remote.address": "dynamic"},
         "gateway hq<->branch: mode: hq has main-fallback-aggressive and a dynamic address, branch has main: they "
         "agree on main, which needs static addresses at both ends. Set ike_version to 2 at both ends, with no mode, "
         "or mode to aggressive at both ends.",
         "gateways[branch].mode", "gateways[hq].mode",
         ({**IKEV1, "hq gateways.0.mode": "main-fallback-aggressive"},
          {**IKEV1, "both gateways.0.mode": "main-fallback-aggressive",
           "hq gateways.0.endpoints.0.remote.address": "dynamic"})),
    Case("identity-does-not-mirror", {"branch gateways.0.endpoints.0.local.identifier.value": "filial.example"},
         "gateway hq<->branch: phase 1 identifier: hq expects branch.example (domain-name), branch presents "
         "filial.example (domain-name): they do not mirror; hq would answer AUTHENTICATION_FAILED. Set "
         "gateways[branch].endpoints[0].remote.identifier of hq to {type: domain-name, value: filial.example}, or "
         "gateways[hq].endpoints[0].local.identifier of branch to {type: domain-name, value: branch.example}.",
         "gateways[branch].endpoints[0].remote.identifier", "gateways[hq].endpoints[0].local.identifier",
         ({"branch gateways.0.endpoints.0.local.identifier.value": "Branch.EXAMPLE"},)),
    Case("identity-does-not-mirror", {"branch gateways.0.endpoints.0.local.identifier": {
        "type": "x500-name", "value": "CN=branch, O=Example"}},
         "gateway hq<->branch: phase 1 identifier: hq expects branch.example (domain-name), branch presents CN=branch, "
         "O=Example (x500-name): they do not mirror; hq would answer AUTHENTICATION_FAILED. Set "
         "gateways[branch].endpoints[0].remote.identifier of hq to {type: x500-name, value: \"CN=branch, O=Example\"}, "
         "or gateways[hq].endpoints[0].local.identifier of branch to {type: domain-name, value: branch.example}.",
         "gateways[branch].endpoints[0].remote.identifier", "gateways[hq].endpoints[0].local.identifier",
         ({"hq gateways.0.endpoints.0.remote.identifier": {"type": "x500-name", "value": "CN=branch, O=Example"},
           "branch gateways.0.endpoints.0.local.identifier": {"type": "x500-name", "value": "CN=branch, O=Example"}},
          )),
    Case("endpoint-address-does-not-mirror", {"hq gateways.0.endpoints.0.remote.address": "198.51.100.10"},
         "gateway hq<->branch: endpoint address: hq reaches for 198.51.100.10, branch has 198.51.100.1: they do not "
         "mirror, so the peers never meet. Set gateways[branch].endpoints[0].remote.address of hq to 198.51.100.1, or "
         "gateways[hq].endpoints[0].local.address of branch to 198.51.100.10.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         ({"branch gateways.0.endpoints.0.local.address": "dynamic"},
          {"branch gateways.0.endpoints.0.local.address": "10.9.0.1"})),
    Case("endpoint-address-does-not-mirror", {"hq gateways.0.endpoints.0.remote.address": "10.9.0.10",
                                              "branch gateways.0.endpoints.0.local.address": "10.9.0.1"},
         "gateway hq<->branch: endpoint address: hq reaches for 10.9.0.10, branch has 10.9.0.1: they do not mirror, so "
         "the peers never meet. Set gateways[branch].endpoints[0].remote.address of hq to 10.9.0.1, or "
         "gateways[hq].endpoints[0].local.address of branch to 10.9.0.10.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         ({"hq gateways.0.endpoints.0.remote.address": "10.9.0.10",
           "branch gateways.0.endpoints.0.local.address": "192.168.7.2"},)),
    Case("endpoint-behind-nat", {"branch gateways.0.endpoints.0.local.address": "10.9.0.1"},
         "gateway hq<->branch: endpoint address: hq reaches for 198.51.100.1, branch has 10.9.0.1: that is right only "
         "if a NAT translates the one to the other. Check that UDP ports 500 and 4500 of 198.51.100.1 lead to "
         "branch, and set gateways[hq].endpoints[0].local.public_address to 198.51.100.1 there.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         ({}, {"branch gateways.0.endpoints.0.local.address": "dynamic"})),
    Case("endpoint-behind-nat", {"hq gateways.0.endpoints.0.remote.address": "10.9.0.9",
                                 "branch gateways.0.endpoints.0.local.address": "192.168.7.2"},
         "gateway hq<->branch: endpoint address: hq reaches for 10.9.0.9, branch has 192.168.7.2: that is right only "
         "if a NAT translates the one to the other. Check that UDP ports 500 and 4500 of 10.9.0.9 lead to branch, and "
         "set gateways[hq].endpoints[0].local.public_address to 10.9.0.9 there.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         ({"hq gateways.0.endpoints.0.remote.address": "10.9.0.9",
           "branch gateways.0.endpoints.0.local.address": "10.9.0.1"},)),
    Case("endpoint-behind-nat", {"hq gateways.0.endpoints.0.remote.address": "2001:db8::9",
                                 "branch gateways.0.endpoints.0.local.address": "fd00::2"},
         "gateway hq<->branch: endpoint address: hq reaches for 2001:db8::9, branch has fd00::2: that is right only "
         "if a NAT translates the one to the other. Check that UDP ports 500 and 4500 of 2001:db8::9 lead to branch, "
         "and set gateways[hq].endpoints[0].local.public_address to 2001:db8::9 there.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         ({"hq gateways.0.endpoints.0.remote.address": "2001:db8::9",
           "branch gateways.0.endpoints.0.local.address": "2001:db8::2"},)),
    Case("ah-through-nat", {**AH, "branch gateways.0.endpoints.0.local.address": "10.9.0.1",
                            "branch gateways.0.endpoints.0.remote.address": "dynamic"},
         "gateway hq<->branch: phase 2 protocol: hq reaches for 198.51.100.1 with AH in tunnel lan, branch has "
         "10.9.0.1: AH protects the addresses that the NAT between them changes. Set protocol to ESP in the proposals "
         "of both ends.",
         "gateways[branch].endpoints[0].remote.address", "gateways[hq].endpoints[0].local.address",
         (AH, {**AH, "branch gateways.0.endpoints.0.local.address": "10.9.0.1"},
          {"branch gateways.0.endpoints.0.local.address": "10.9.0.1",
           "branch gateways.0.endpoints.0.remote.address": "dynamic"})),
    Case("endpoint-pairs-differ", {"hq gateways.0.endpoints.+": FIRST["hq"]},
         "gateway hq<->branch: endpoints: hq has 2 pairs, branch has 1: failover needs the same pairs in the same "
         "order at both ends. Add the missing pairs at branch.",
         "gateways[branch].endpoints", "gateways[hq].endpoints",
         ({"hq gateways.0.endpoints.+": FIRST["hq"], "branch gateways.0.endpoints.+": FIRST["branch"]},)),
    Case("endpoint-order-differs", {"hq gateways.0.endpoints": [FIRST["hq"], SECOND["hq"]],
                                    "branch gateways.0.endpoints": [SECOND["branch"], FIRST["branch"]]},
         "gateway hq<->branch: endpoints: hq has 192.0.2.2<->198.51.100.2 as number 1, branch has "
         "198.51.100.1<->192.0.2.1: failover needs the same pairs in the same order at both ends. Order "
         "gateways[hq].endpoints of branch as hq has them: 198.51.100.2<->192.0.2.2, 198.51.100.1<->192.0.2.1.",
         "gateways[branch].endpoints[0]", "gateways[hq].endpoints[0]",
         ({"hq gateways.0.endpoints": [FIRST["hq"], SECOND["hq"]],
           "branch gateways.0.endpoints": [FIRST["branch"], SECOND["branch"]]},)),
    Case("endpoint-order-differs", {
        "hq gateways.0.endpoints": [endpoints(local, "hq.example", "203.0.113.1", "branch.example")
                                    for local in ("192.0.2.1", "192.0.2.2")],
        "branch gateways.0.endpoints": [endpoints("10.0.0.2", "branch.example", remote, "hq.example")
                                        for remote in ("192.0.2.2", "192.0.2.1")]},
         "gateway hq<->branch: endpoints: hq has 192.0.2.1<->203.0.113.1 as number 1, branch has 10.0.0.2<->192.0.2.2: "
         "failover needs the same pairs in the same order at both ends. Order gateways[hq].endpoints of branch as hq "
         "has them: 10.0.0.2<->192.0.2.1, 10.0.0.2<->192.0.2.2.",
         "gateways[branch].endpoints[0]", "gateways[hq].endpoints[0]",
         ({"hq gateways.0.endpoints": [endpoints(local, "hq.example", "203.0.113.1", "branch.example")
                                       for local in ("192.0.2.1", "192.0.2.2")],
           "branch gateways.0.endpoints": [endpoints("10.0.0.2", "branch.example", remote, "hq.example")
                                           for remote in ("192.0.2.1", "192.0.2.2")]},
          {"hq gateways.0.endpoints": [FIRST["hq"], SECOND["hq"]],
           "branch gateways.0.endpoints": [SECOND["branch"], {**FIRST["branch"], "local": {"address": "198.51.100.9"}}],
           })),
    Case("endpoint-order-differs", {
        "hq gateways.0.endpoints": [FIRST["hq"], endpoints("192.0.2.2", "hq.example", "dynamic", "branch.example")],
        "branch gateways.0.endpoints": [endpoints("dynamic", "branch.example", "192.0.2.2", "hq.example"),
                                        FIRST["branch"]]},
         "gateway hq<->branch: endpoints: hq has 192.0.2.2<->198.51.100.2 as number 1, branch has dynamic<->192.0.2.2: "
         "failover needs the same pairs in the same order at both ends. Order gateways[hq].endpoints of branch as hq "
         "has them: 198.51.100.2<->192.0.2.2, dynamic<->192.0.2.2.",
         "gateways[branch].endpoints[0]", "gateways[hq].endpoints[0]", ({},)),
    Case("nobody-initiates", {"both gateways.0.start": "answer"},
         "gateway hq<->branch: start: hq only answers, branch only answers: nobody initiates, so the tunnel never "
         "comes up. Set gateways[branch].start of hq to boot, with a static remote address.",
         "gateways[branch].start", "gateways[hq].start",
         ({"hq gateways.0.start": "answer"}, {"branch gateways.0.start": "answer", "hq gateways.0.start": "traffic"},
          {"hq gateways.0.endpoints.0.remote.address": "dynamic"})),
    Case("gateway-without-tunnel", {"both tunnels": []},
         "gateway hq<->branch: tunnel: hq declares none, branch declares none: the gateway carries nothing. Add a "
         "tunnel under gateways[branch] of hq and its mirror under gateways[hq] of branch, or remove both gateways.",
         "gateways[branch]", "gateways[hq]", ({"hq tunnels": []}, {"branch tunnels": []})),
    Case("tunnel-without-counterpart", {"hq tunnels.+": VOICE},
         "gateway hq<->branch: tunnel: hq declares tunnel voice, branch declares no counterpart: branch would answer "
         "TS_UNACCEPTABLE. Add a tunnel to branch under gateway hq with routes {local: 10.2.9.0/24, remote: "
         "10.1.9.0/24}, or remove tunnels[voice] from hq.",
         "tunnels[voice]", "gateways[hq]",
         ({"hq tunnels.+": VOICE, "branch tunnels.+": {
             "name": "telephones", "gateway": "hq", "proposals": ["p2"],
             "routes": [{"local": "10.2.9.0/24", "remote": "10.1.9.0/24"}]}},)),
    Case("tunnel-without-counterpart", {"branch tunnels.+": {
        "name": "voice", "gateway": "hq", "proposals": ["p2"],
        "routes": [{"local": "10.2.9.0/24", "remote": "10.1.9.0/24", "direction": "local-to-remote"},
                   {"local": "fd00:2::/64", "remote": "::/0"}]}},
         "gateway hq<->branch: tunnel: hq declares no counterpart, branch declares tunnel voice: hq would answer "
         "TS_UNACCEPTABLE. Add a tunnel to hq under gateway branch with routes {local: 10.1.9.0/24, remote: "
         "10.2.9.0/24, direction: remote-to-local} and {local: \"::/0\", remote: \"fd00:2::/64\"}, or remove "
         "tunnels[voice] from branch.",
         "gateways[branch]", "tunnels[voice]", ({},)),
    Case("tunnel-without-counterpart", {**DEALT_OUT, "branch tunnels.1.routes.+": {
        "local": "10.2.8.0/24", "remote": "10.1.8.0/24"}},
         "gateway hq<->branch: tunnel: hq declares no counterpart, branch declares tunnel voice: hq would answer "
         "TS_UNACCEPTABLE. Add a tunnel to hq under gateway branch with routes {local: 10.1.8.0/24, remote: "
         "10.2.8.0/24}, or remove tunnels[voice] from branch.",
         "gateways[branch]", "tunnels[voice]", (DEALT_OUT,)),
    Case("route-in-another-tunnel", DEALT_OUT,
         "gateway hq<->branch: tunnel routes: hq has 10.1.9.0/24 <-> 10.2.9.0/24 in tunnel lan, branch has 10.2.9.0/24 "
         "<-> 10.1.9.0/24 in tunnel voice: what the ends agree on is compared tunnel by tunnel. Move {local: "
         "10.1.9.0/24, remote: 10.2.9.0/24} of hq from tunnels[lan] to a tunnel of its own, or {local: 10.2.9.0/24, "
         "remote: 10.1.9.0/24} of branch from tunnels[voice] to tunnels[lan].",
         "tunnels[lan].routes[1]", "tunnels[voice].routes[0]",
         ({"hq tunnels.+": VOICE, "branch tunnels.+": FAR_VOICE},)),
    Case("route-in-another-tunnel", {
        "hq tunnels.0.routes.+": {"local": "10.1.8.0/24", "remote": "10.2.8.0/24"},
        "hq tunnels.+": VOICE, "branch tunnels.+": FAR_VOICE,
        "branch tunnels.1.routes.+": {"local": "10.2.8.0/24", "remote": "10.1.8.0/24"}},
         "gateway hq<->branch: tunnel routes: hq has 10.1.8.0/24 <-> 10.2.8.0/24 in tunnel lan, branch has 10.2.8.0/24 "
         "<-> 10.1.8.0/24 in tunnel voice: what the ends agree on is compared tunnel by tunnel. Move {local: "
         "10.1.8.0/24, remote: 10.2.8.0/24} of hq from tunnels[lan] to tunnels[voice], or {local: 10.2.8.0/24, "
         "remote: 10.1.8.0/24} of branch from tunnels[voice] to tunnels[lan].",
         "tunnels[lan].routes[1]", "tunnels[voice].routes[1]",
         ({"both tunnels.0.routes.+": {"local": "10.1.8.0/24", "remote": "10.2.8.0/24"}},)),
)
