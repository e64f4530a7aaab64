# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one gateway at one end."""

from .case import BLOCK, CERTIFICATE, IKEV1, REMOVED, Case

WEAK_IKEV1 = {**IKEV1, "both gateways.0.mode": "aggressive"}
BEHIND_NAT = {"hq gateways.0.endpoints.0.local.address": "10.9.0.1"}
V6 = {"hq gateways.0.endpoints.0.local.address": "2001:db8::1", "branch gateways.0.endpoints.0.remote.address":
      "2001:db8::1"}

CASES = (
    Case("psk-missing", {"hq gateways.0.credential.psk": REMOVED},
         "gateway hq/branch: credential: hq declares no pre-shared key: the method psk needs one. Set "
         "gateways[branch].credential.psk.",
         "gateways[branch].credential.psk", "",
         ({}, {"both gateways.0.credential": CERTIFICATE})),
    Case("psk-short", {"hq gateways.0.credential.psk": "nineteen-characters"},
         "gateway hq/branch: credential: hq's pre-shared key has fewer than 20 characters: a short key can be guessed "
         "from a recorded exchange. Set a random key of 20 characters or more.",
         "gateways[branch].credential.psk", "",
         ({"hq gateways.0.credential.psk": "twenty-characters-xx"},
          {"hq gateways.0.credential": {"method": "hex-psk", "psk": "ab" * 16}},
          {"hq gateways.0.credential": CERTIFICATE})),
    Case("psk-surrounding-space", {"hq gateways.0.credential.psk": "a-key-that-came-from-a-file\n"},
         "gateway hq/branch: credential: hq's pre-shared key begins or ends with white space: every octet counts, also "
         "a line's end that came with a file. Remove it, or keep it at both ends.",
         "gateways[branch].credential.psk", "",
         ({"hq gateways.0.credential.psk": "a key with spaces in it only"},)),
    Case("certificate-missing", {"hq gateways.0.credential": {**CERTIFICATE, "certificate": None}},
         "gateway hq/branch: credential: hq declares no certificate: the method certificate needs one. Set "
         "gateways[branch].credential.certificate to its PEM text.",
         "gateways[branch].credential.certificate", "",
         ({"hq gateways.0.credential": CERTIFICATE},
          {"hq gateways.0.credential": {"method": "certificate"}, "hq site.managed": False})),
    Case("private-key-missing", {"hq gateways.0.credential": {**CERTIFICATE, "private_key": None}},
         "gateway hq/branch: credential: hq declares no private key: the method certificate needs one. Set "
         "gateways[branch].credential.private_key to its PEM text.",
         "gateways[branch].credential.private_key", "",
         ({"hq gateways.0.credential": CERTIFICATE},
          {"hq gateways.0.credential": {"method": "certificate"}, "hq site.managed": False})),
    Case("ca-missing", {"hq gateways.0.credential": {**CERTIFICATE, "ca": None}},
         "gateway hq/branch: credential: hq declares no authority: the peer's certificate must come from one. Set "
         "gateways[branch].credential.ca to the PEM text of the authority that signed the peer's certificate.",
         "gateways[branch].credential.ca", "",
         ({"hq gateways.0.credential": CERTIFICATE},
          {"hq gateways.0.credential": {**CERTIFICATE, "chain": [BLOCK.format("CERTIFICATE")]}})),
    Case("x500-needs-certificate", {
        "hq gateways.0.endpoints.0.local.identifier": {"type": "x500-name", "value": "CN=hq, O=Example"}},
         "gateway hq/branch: phase 1 identifier: the local one is the X500 name CN=hq, O=Example with method psk: an "
         "X500 name is the subject of a certificate. Set gateways[branch].credential.method to certificate, or "
         "gateways[branch].endpoints[0].local.identifier to another type.",
         "gateways[branch].endpoints[0].local.identifier", "",
         ({"hq gateways.0.endpoints.0.local.identifier": {"type": "x500-name", "value": "CN=hq, O=Example"},
           "hq gateways.0.credential": CERTIFICATE}, {})),
    Case("phase1-aead-needs-ikev2", {**IKEV1, "hq transforms.0.encryption": "AES-GCM-256"},
         "gateway hq/branch: phase 1 encryption: transform p1 has AES-GCM-256: IKEv1 has no authenticated encryption "
         "in phase 1. Set gateways[branch].ike_version to 2 at both ends, with no mode, or choose AES-256.",
         "transforms[p1].encryption", "",
         ({"hq transforms.0.encryption": "ChaCha20-Poly1305"}, {**IKEV1, "hq transforms.0.encryption": "AES-128"})),
    Case("phase1-key-group-needs-ikev2", {**IKEV1, "hq transforms.0.key_group": 32},
         "gateway hq/branch: phase 1 key group: transform p1 has group 32: IKEv1 has no such group. Set "
         "gateways[branch].ike_version to 2 at both ends, with no mode, or transforms[p1].key_group to 14.",
         "transforms[p1].key_group", "",
         ({"hq transforms.0.key_group": 31}, {**IKEV1, "hq transforms.0.key_group": 21})),
    Case("phase1-additional-key-exchange-needs-ikev2", {
        **IKEV1, "hq transforms.0.additional_key_exchange": "ML-KEM-768"},
         "gateway hq/branch: phase 1 additional key exchange: transform p1 has ML-KEM-768: IKEv1 has one key exchange "
         "only. Set gateways[branch].ike_version to 2 at both ends, with no mode, or remove "
         "transforms[p1].additional_key_exchange.",
         "transforms[p1].additional_key_exchange", "",
         ({"hq transforms.0.additional_key_exchange": "ML-KEM-768"},
          {**IKEV1, "hq transforms.0.additional_key_exchange": "none"})),
    Case("keep-alive-needs-ikev1", {"hq gateways.0.ike_keep_alive": {"enabled": True}},
         "gateway hq/branch: IKE keep-alive: it is on: IKEv2 has no IKE keep-alive; dead peer detection does its work. "
         "Remove gateways[branch].ike_keep_alive.",
         "gateways[branch].ike_keep_alive", "",
         ({"hq gateways.0.ike_keep_alive": {"enabled": False}},
          {**IKEV1, "both gateways.0.ike_keep_alive": {"enabled": True}})),
    Case("mode-needs-ikev1", {"hq gateways.0.mode": "main"},
         "gateway hq/branch: mode: it is main: IKEv2 has no modes. Remove gateways[branch].mode.",
         "gateways[branch].mode", "", ({**IKEV1, "hq gateways.0.mode": "main"},)),
    Case("nat-traversal-always-on", {"hq gateways.0.nat_traversal.enabled": False},
         "gateway hq/branch: NAT traversal: it is off: IKEv2 always has it. Set "
         "gateways[branch].nat_traversal.enabled to true.",
         "gateways[branch].nat_traversal.enabled", "", ({**IKEV1, "hq gateways.0.nat_traversal.enabled": False},)),
    Case("dead-peer-detection-always-on", {"hq gateways.0.dead_peer_detection.enabled": False},
         "gateway hq/branch: dead peer detection: it is off: IKEv2 always has it. Set "
         "gateways[branch].dead_peer_detection.enabled to true.",
         "gateways[branch].dead_peer_detection.enabled", "",
         ({**IKEV1, "hq gateways.0.dead_peer_detection.enabled": False},)),
    Case("main-mode-needs-static-peer", {
        **IKEV1, "hq gateways.0.endpoints.0.remote.address": "dynamic", "hq gateways.0.credential": CERTIFICATE},
         "gateway hq/branch: mode: it is main with a dynamic remote address: Main Mode needs static addresses at both "
         "ends. Set gateways[branch].ike_version to 2 at both ends, with no mode, or mode to aggressive at both "
         "ends.",
         "gateways[branch].mode", "",
         (IKEV1, {**WEAK_IKEV1, "hq gateways.0.endpoints.0.remote.address": "dynamic"},
          {"hq gateways.0.endpoints.0.remote.address": "dynamic"},
          {**IKEV1, "both gateways.0.mode": "main-fallback-aggressive",
           "hq gateways.0.endpoints.0.remote.address": "dynamic"})),
    Case("aggressive-mode-one-group", {
        **WEAK_IKEV1, "hq transforms.+": {"name": "other", "key_group": 19},
        "hq gateways.0.transforms": ["p1", "other"]},
         "gateway hq/branch: phase 1 key group: the transforms have groups 14, 19: Aggressive Mode sends its public "
         "value first, so it cannot negotiate the group. Give all transforms of gateways[branch] one key_group.",
         "gateways[branch].transforms", "",
         ({**IKEV1, "hq transforms.+": {"name": "other", "key_group": 19},
           "hq gateways.0.transforms": ["p1", "other"]},
          {**WEAK_IKEV1, "hq transforms.+": {"name": "other", "encryption": "AES-128"},
           "hq gateways.0.transforms": ["p1", "other"]})),
    Case("aggressive-mode-one-group", {
        **IKEV1, "hq gateways.0.mode": "main-fallback-aggressive",
        "hq transforms.+": {"name": "other", "key_group": 19}, "hq gateways.0.transforms": ["p1", "other"]},
         "gateway hq/branch: phase 1 key group: the transforms have groups 14, 19: Aggressive Mode sends its public "
         "value first, so it cannot negotiate the group. Give all transforms of gateways[branch] one key_group.",
         "gateways[branch].transforms", "",
         ({**IKEV1, "hq gateways.0.mode": "main-fallback-aggressive"},)),
    Case("ikev1-historic", IKEV1,
         "gateway hq/branch: IKE version: it is 1: IKEv1 is Historic. Set gateways[branch].ike_version to 2 at both "
         "ends, with no mode.",
         "gateways[branch].ike_version", "", ({}, {**IKEV1, "hq policy": "strict"})),
    Case("policy-ikev1", {**IKEV1, "hq policy": "strict"},
         "gateway hq/branch: IKE version: it is 1, hq's policy is strict: IKEv1 is Historic. Set "
         "gateways[branch].ike_version to 2 at both ends, with no mode.",
         "gateways[branch].ike_version", "policy", (IKEV1, {"hq policy": "strict"})),
    Case("aggressive-mode-psk", WEAK_IKEV1,
         "gateway hq/branch: mode: it is aggressive with a pre-shared key: who asks for one exchange can guess the "
         "key offline. Set gateways[branch].ike_version to 2 at both ends, with no mode, or "
         "gateways[branch].credential.method to certificate at both ends.",
         "gateways[branch].mode", "",
         (IKEV1, {**WEAK_IKEV1, "both gateways.0.credential": CERTIFICATE}, {**WEAK_IKEV1, "hq policy": "strict"})),
    Case("policy-aggressive-mode-psk", {
        **IKEV1, "both gateways.0.mode": "main-fallback-aggressive", "hq policy": "strict"},
         "gateway hq/branch: mode: it is main-fallback-aggressive with a pre-shared key, hq's policy is strict: who "
         "asks for one exchange can guess the key offline. Set gateways[branch].ike_version to 2 at both ends, with "
         "no mode, or gateways[branch].credential.method to certificate at both ends.",
         "gateways[branch].mode", "policy",
         (WEAK_IKEV1, {**WEAK_IKEV1, "branch policy": "strict", "hq gateways.0.mode": "main"})),
    Case("endpoints-mixed-families", {"hq gateways.0.endpoints.0.local.address": "2001:db8::1"},
         "gateway hq/branch: endpoints: local is 2001:db8::1, remote is 198.51.100.1: they are of different address "
         "families and cannot reach each other. Set gateways[branch].endpoints[0] to two of one family.",
         "gateways[branch].endpoints[0].local.address", "gateways[branch].endpoints[0].remote.address",
         ({"hq gateways.0.endpoints.0.local.address": "dynamic"},)),
    Case("endpoints-same-address", {"hq gateways.0.endpoints.0.remote.address": "192.0.2.1"},
         "gateway hq/branch: endpoints: local and remote are 192.0.2.1: a gateway is not its own peer. Set "
         "gateways[branch].endpoints[0].remote.address to the peer's.",
         "gateways[branch].endpoints[0].local.address", "gateways[branch].endpoints[0].remote.address",
         ({"hq gateways.0.endpoints.0.remote.address": "192.0.2.2"},
          {"hq gateways.0.endpoints.0.local.address": "dynamic",
           "hq gateways.0.endpoints.0.remote.address": "dynamic"})),
    Case("endpoint-pair-twice", {"hq gateways.0.endpoints.+": {
        "local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}},
         "gateway hq/branch: endpoints: pair 0 joins 192.0.2.1 and 198.51.100.1, pair 1 joins them again: it could "
         "take over from no other. Remove gateways[branch].endpoints[1].",
         "gateways[branch].endpoints[0]", "gateways[branch].endpoints[1]",
         ({"hq gateways.0.endpoints.+": {"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.1"}}},)),
    Case("keep-alive-with-dead-peer-detection", {**IKEV1, "both gateways.0.ike_keep_alive": {"enabled": True}},
         "gateway hq/branch: IKE keep-alive: it is on, dead peer detection is on: either is enough, and both close "
         "what only one would have kept. Remove gateways[branch].ike_keep_alive at both ends.",
         "gateways[branch].ike_keep_alive", "gateways[branch].dead_peer_detection",
         ({**IKEV1, "both gateways.0.ike_keep_alive": {"enabled": True},
           "both gateways.0.dead_peer_detection": {"enabled": False}}, IKEV1)),
    Case("nat-keep-alive-without-nat-traversal", {
        **IKEV1, "both gateways.0.nat_traversal": {"enabled": False, "keep_alive": "30s"}},
         "gateway hq/branch: NAT keep-alive: it is 30s, NAT traversal is off: no mapping is kept alive then. Set "
         "gateways[branch].nat_traversal.enabled to true at both ends, or remove "
         "gateways[branch].nat_traversal.keep_alive.",
         "gateways[branch].nat_traversal.keep_alive", "gateways[branch].nat_traversal.enabled",
         ({**IKEV1, "both gateways.0.nat_traversal": {"enabled": False}},
          {**IKEV1, "both gateways.0.nat_traversal": {"keep_alive": "30s"}})),
    Case("nat-traversal-off-behind-nat", {**IKEV1, **BEHIND_NAT, "both gateways.0.nat_traversal.enabled": False},
         "gateway hq/branch: NAT traversal: it is off, the endpoints are 10.9.0.1 and 198.51.100.1: a NAT lies between "
         "the two, and ESP does not pass it without. Set gateways[branch].nat_traversal.enabled to true at both ends.",
         "gateways[branch].nat_traversal.enabled", "gateways[branch].endpoints[0].local.address",
         ({**IKEV1, **BEHIND_NAT}, {**IKEV1, "both gateways.0.nat_traversal.enabled": False},
          {**IKEV1, **BEHIND_NAT, "both gateways.0.nat_traversal.enabled": False,
           "hq gateways.0.endpoints.0.remote.address": "10.9.1.1"})),
    Case("phase1-weak", {"hq transforms.0": {"name": "p1", "encryption": "3DES", "authentication": "MD5",
                                             "key_group": 2}},
         "gateway hq/branch: phase 1 transform: transform p1 has 3DES, MD5, group 2: that is weak today. Choose "
         "AES-256, SHA2-256 and group 14 or better at both ends.",
         "transforms[p1]", "",
         ({"hq transforms.0.encryption": "AES-128"},
          {"hq policy": "strict", "hq transforms.0.encryption": "3DES"},
          {"hq transforms.+": {"name": "unused", "encryption": "DES"}})),
    Case("policy-phase1-weak", {"hq policy": "strict", "hq transforms.0.authentication": "SHA1"},
         "gateway hq/branch: phase 1 transform: transform p1 has SHA1, hq's policy is strict: that is weak today. "
         "Choose AES-256, SHA2-256 and group 14 or better at both ends.",
         "transforms[p1]", "policy",
         ({"hq transforms.0.authentication": "SHA1"}, {"hq policy": "strict"},
          {"branch policy": "strict", "hq transforms.0.authentication": "SHA1"})),
)
