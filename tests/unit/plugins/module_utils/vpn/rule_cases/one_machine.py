# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what a site's machine can do."""

from .case import Case

XTM = {"hq site": {"name": "hq", "platform": "XTM 505"}}
FIREBOX = {"hq site": {"name": "hq", "platform": "Firebox T45"}}
CISCO = {"hq site": {"name": "hq", "platform": "ISR 4331"}}


def firmware(version):
    return {"hq site": {"name": "hq", "platform": "Firebox T35", "firmware": version}}


CASES = (
    Case("managed-needs-linux", {"hq site": {"name": "hq", "platform": "Firebox T45", "managed": True}},
         "site hq: managed: it is true, platform is Firebox T45: ikeengine runs on Linux only. Set site.managed to "
         "false.",
         "site.managed", "site.platform",
         (FIREBOX, {"hq site": {"name": "hq", "platform": "Firebox T45", "managed": False}},
          {"hq site.managed": True}, {"hq site.managed": False})),
    Case("hardware-phase1-sha2", XTM,
         "gateway hq/branch: phase 1 authentication: transform p1 has SHA2-256, hq's platform is XTM 505: this model's "
         "cryptographic hardware has no SHA-2. Set transforms[p1].authentication to SHA1 at both ends.",
         "transforms[p1].authentication", "site.platform",
         ({"hq site": {"name": "hq", "platform": "XTM 330"}}, {**XTM, "hq transforms.0.authentication": "SHA1"})),
    Case("hardware-phase1-sha2", {"hq site": {"name": "hq", "platform": "XTM 21-W"}},
         "gateway hq/branch: phase 1 authentication: transform p1 has SHA2-256, hq's platform is XTM 21-W: this "
         "model's cryptographic hardware has no SHA-2. Set transforms[p1].authentication to SHA1 at both ends.",
         "transforms[p1].authentication", "site.platform", ({"hq site": {"name": "hq", "platform": "XTM 25-W"}},)),
    Case("hardware-phase2-sha2", XTM,
         "tunnel hq/lan: phase 2 authentication: proposal p2 has SHA2-256, hq's platform is XTM 505: this model's "
         "cryptographic hardware has no SHA-2. Set proposals[p2].authentication to SHA1 at both ends.",
         "proposals[p2].authentication", "site.platform",
         ({"hq site": {"name": "hq", "platform": "XTM 5"}}, {**XTM, "hq proposals.0.authentication": "SHA1"})),
    Case("appliance-phase1", {**FIREBOX, "hq transforms.0.key_group": 16},
         "gateway hq/branch: phase 1 key group: transform p1 has group 16, hq's platform is Firebox T45: Fireware does "
         "not have it. Set transforms[p1].key_group to one of 14, 15, 19, 20, 21 at both ends.",
         "transforms[p1].key_group", "site.platform",
         ({**FIREBOX, "hq transforms.0.key_group": 15}, {"hq transforms.0.key_group": 16},
          {**CISCO, "hq transforms.0.key_group": 16})),
    Case("appliance-phase1", {**FIREBOX, "hq transforms.0.encryption": "ChaCha20-Poly1305"},
         "gateway hq/branch: phase 1 encryption: transform p1 has ChaCha20-Poly1305, hq's platform is Firebox T45: "
         "Fireware does not have it. Set transforms[p1].encryption to one of AES-128, AES-192, AES-256, "
         "AES-GCM-128, AES-GCM-192, AES-GCM-256 at both ends.",
         "transforms[p1].encryption", "site.platform",
         ({**FIREBOX, "hq transforms.0.encryption": "AES-GCM-256"},)),
    Case("appliance-phase1", {**FIREBOX, "hq transforms.0.additional_key_exchange": "ML-KEM-768"},
         "gateway hq/branch: phase 1 additional key exchange: transform p1 has ML-KEM-768, hq's platform is Firebox "
         "T45: Fireware does not have it. Set transforms[p1].additional_key_exchange to none at both ends.",
         "transforms[p1].additional_key_exchange", "site.platform", (FIREBOX,)),
    Case("appliance-phase2", {**FIREBOX, "hq tunnels.0.pfs.key_group": 31},
         "tunnel hq/lan: PFS key group: it is group 31, hq's platform is Firebox T45: Fireware does not have it. Set "
         "tunnels[lan].pfs.key_group to one of 14, 15, 19, 20, 21 at both ends.",
         "tunnels[lan].pfs.key_group", "site.platform",
         ({**FIREBOX, "hq tunnels.0.pfs.key_group": 21}, {"hq tunnels.0.pfs.key_group": 31})),
    Case("appliance-phase2", {**FIREBOX, "hq proposals.0": {"name": "p2", "encryption": "ChaCha20-Poly1305"}},
         "tunnel hq/lan: phase 2 encryption: proposal p2 has ChaCha20-Poly1305, hq's platform is Firebox T45: Fireware "
         "does not have it. Set proposals[p2].encryption to one of AES-128, AES-192, AES-256, AES-GCM-128, "
         "AES-GCM-192, AES-GCM-256 at both ends.",
         "proposals[p2].encryption", "site.platform",
         ({**FIREBOX, "hq proposals.0": {"name": "p2", "encryption": "AES-GCM-128"}},)),
    Case("firmware-phase1", {**firmware("12.9"), "hq transforms.0.key_group": 21},
         "gateway hq/branch: phase 1: transforms[p1].key_group asks for key group 21, hq's Firebox T35 has firmware "
         "12.9: key group 21 came with firmware 12.10. Upgrade hq, or change transforms[p1].key_group.",
         "transforms[p1].key_group", "site.firmware",
         ({**firmware("12.10"), "hq transforms.0.key_group": 21}, {**FIREBOX, "hq transforms.0.key_group": 21},
          {**firmware("12.9"), "hq transforms.0.key_group": 20},
          {"hq site": {"name": "hq", "platform": "XTM 505", "firmware": "11.7"}, "hq gateways.0.ike_version": 1},
          {"hq site": {"name": "hq", "platform": "ISR 4331", "firmware": "3.1"}})),
    Case("firmware-ipv6-endpoints", {**firmware("12.3.1"), "hq gateways.0.endpoints.0.local.address": "2001:db8::1",
                                     "hq gateways.0.endpoints.0.remote.address": "2001:db8::2"},
         "gateway hq/branch: phase 1: gateways[branch].endpoints asks for IPv6 endpoints, hq's Firebox T35 has "
         "firmware 12.3.1: IPv6 endpoints came with firmware 12.4. Upgrade hq, or change gateways[branch].endpoints.",
         "gateways[branch].endpoints", "site.firmware",
         (firmware("12.3.1"), {**firmware("12.4"), "hq gateways.0.endpoints.0.local.address": "2001:db8::1",
                               "hq gateways.0.endpoints.0.remote.address": "2001:db8::2"})),
    Case("firmware-phase2", {**firmware("12.1"), "hq proposals.0": {"name": "p2", "encryption": "AES-GCM-256"}},
         "tunnel hq/lan: phase 2: proposals[p2].encryption asks for AES-GCM, hq's Firebox T35 has firmware 12.1: "
         "AES-GCM came with firmware 12.2. Upgrade hq, or change proposals[p2].encryption.",
         "proposals[p2].encryption", "site.firmware",
         ({**firmware("12.2"), "hq proposals.0": {"name": "p2", "encryption": "AES-GCM-256"}},
          {**firmware("12.1"), "hq proposals.0.encryption": "AES-128"},
          {"hq site": {"name": "hq", "platform": "XTM 505", "firmware": "11.7"}})),
)
