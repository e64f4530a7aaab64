# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads when one site's declaration cannot work by itself."""

import pytest


@pytest.mark.parametrize("model", ["XTM 21", "xtm505", "WatchGuard XTM-2050"])
def test_models_without_sha2(branch, messages, model):
    branch["site"]["platform"] = model
    (first,), (second,) = messages("hardware-phase1-sha2"), messages("hardware-phase2-sha2")
    assert first.startswith("gateway branch/hq: phase 1 authentication: transform p1 has SHA2-256, "
                            "branch's platform is XTM ")
    assert first.endswith(": this model's cryptographic hardware has no SHA-2. Set transforms[p1].authentication to "
                          "SHA1 at both ends.")
    assert second.startswith("tunnel branch/lan: phase 2 authentication: proposal p2 has SHA2-256")


def test_other_models_have_sha2(branch, findings):
    branch["site"]["platform"] = "XTM 330"
    assert findings() == ()


@pytest.mark.parametrize(("firmware", "change", "ability"), [
    ("11.7.4", {}, "SHA-2 came with firmware 11.8"),
    ("11.11.1", {}, "IKEv2 came with firmware 11.11.2"),
    ("12.1", {"encryption": "AES-GCM-256"}, "AES-GCM came with firmware 12.2"),
    ("12.9", {"key_group": 21}, "key group 21 came with firmware 12.10"),
])
def test_firmware_that_is_too_old(branch, messages, firmware, change, ability):
    branch["site"].update(platform="Firebox T35", firmware=firmware)
    branch["transforms"][0].update(change)
    assert any(ability in message and f"branch's Firebox T35 has firmware {firmware}" in message
               for message in messages("firmware-phase1"))


def test_firmware_that_is_new_enough(hq, branch, findings):
    branch["site"].update(platform="Firebox T35", firmware="v12.10.4")
    for side in (hq, branch):
        side["transforms"][0].update(encryption="AES-GCM-256", key_group=21)
        side["tunnels"][0]["pfs"] = {"key_group": 21}
        side["gateways"][0]["credential"] = {"method": "hex-psk", "psk": "ab" * 16}
    assert findings() == ()


def test_phase2_needs_its_firmware_too(branch, messages):
    branch["site"].update(platform="Firebox T35", firmware="12.1")
    branch["proposals"][0].update(encryption="AES-GCM-256", authentication=None)
    assert messages("firmware-phase2") == [
        "tunnel branch/lan: phase 2: proposals[p2].encryption asks for AES-GCM, branch's Firebox T35 has "
        "firmware 12.1: "
        "AES-GCM came with firmware 12.2. Upgrade branch, or change proposals[p2].encryption."]


@pytest.mark.parametrize(("code", "gateway", "transform", "message"), [
    ("keep-alive-needs-ikev1", {"ike_keep_alive": {"enabled": True}}, {},
     "IKE keep-alive: it is on: IKEv2 has no IKE keep-alive; dead peer detection does its work. Remove "
     "gateways[branch].ike_keep_alive."),
    ("mode-needs-ikev1", {"mode": "main"}, {}, "mode: it is main: IKEv2 has no modes. Remove gateways[branch].mode."),
    ("nat-traversal-always-on", {"nat_traversal": {"enabled": False}}, {},
     "NAT traversal: it is off: IKEv2 always has it. Set gateways[branch].nat_traversal.enabled to true."),
    ("dead-peer-detection-always-on", {"dead_peer_detection": {"enabled": False}}, {},
     "dead peer detection: it is off: IKEv2 always has it. Set gateways[branch].dead_peer_detection.enabled to true."),
    ("phase1-aead-needs-ikev2", {"ike_version": 1}, {"encryption": "AES-GCM-256"},
     "phase 1 encryption: transform p1 has AES-GCM-256: IKEv1 has no authenticated encryption in phase 1. Set "
     "gateways[branch].ike_version to 2 at both ends, with no mode, or choose AES-256."),
    ("psk-missing", {"credential": {"method": "psk"}}, {},
     "credential: hq declares no pre-shared key: the method psk needs one. Set gateways[branch].credential.psk."),
    ("phase1-weak", {}, {"encryption": "3DES", "authentication": "MD5", "key_group": 2},
     "phase 1 transform: transform p1 has 3DES, MD5, group 2: that is weak today. Choose AES-256, SHA2-256 and "
     "group 14 or better at both ends."),
])
def test_rules_of_one_gateway(hq, messages, code, gateway, transform, message):
    assert messages(code) == []
    hq["gateways"][0].update(gateway)
    hq["transforms"][0].update(transform)
    assert messages(code) == [f"gateway hq/branch: {message}"]


@pytest.mark.parametrize("fields", [{"ike_keep_alive": {"enabled": True}}, {"mode": "main"},
                                    {"nat_traversal": {"enabled": False}}, {"dead_peer_detection": {"enabled": False}}])
def test_what_ikev1_may_choose(hq, findings, fields):
    hq["gateways"][0].update(fields, ike_version=1)
    codes = {finding.code for finding in findings()}
    assert not codes & {"keep-alive-needs-ikev1", "mode-needs-ikev1", "nat-traversal-always-on",
                        "dead-peer-detection-always-on"}


def test_main_mode_with_a_key_and_a_dynamic_peer(hq, messages):
    hq["gateways"][0].update(ike_version=1)
    hq["gateways"][0]["endpoints"][0]["remote"]["address"] = "dynamic"
    assert messages("main-mode-needs-static-peer") == [
        "gateway hq/branch: mode: it is main with a dynamic remote address: in Main Mode the pre-shared key is chosen "
        "by the addresses. Set gateways[branch].ike_version to 2 at both ends, with no mode, or mode to "
        "aggressive at both ends."]
    hq["gateways"][0]["mode"] = "aggressive"
    assert messages("main-mode-needs-static-peer") == []


def test_aggressive_mode_with_two_groups(hq, messages):
    hq["transforms"].append({"name": "other", "key_group": 19})
    hq["gateways"][0].update(ike_version=1, mode="aggressive", transforms=["p1", "other"])
    assert messages("aggressive-mode-one-group") == [
        "gateway hq/branch: phase 1 key group: the transforms have groups 14, 19: Aggressive Mode sends its "
        "public value first, so it cannot negotiate the group. Give all transforms of gateways[branch] one key_group."]
    hq["gateways"][0]["mode"] = "main"
    assert messages("aggressive-mode-one-group") == []


@pytest.mark.parametrize(("method", "short", "long", "least"), [
    ("psk", "nineteen-characters", "twenty-characters-xx", "20 characters"),
    ("hex-psk", "ab" * 15, "ab" * 16, "16 octets"),
])
def test_short_keys_warn(hq, branch, findings, method, short, long, least):
    for side in (hq, branch):
        side["gateways"][0]["credential"] = {"method": method, "psk": short}
    assert [(finding.code, finding.is_error) for finding in findings()] == [("psk-short", False)] * 2
    assert f"has fewer than {least}" in findings()[0].message
    for side in (hq, branch):
        side["gateways"][0]["credential"]["psk"] = long
    assert findings() == ()


def test_a_key_with_a_line_end_warns(hq, messages):
    hq["gateways"][0]["credential"]["psk"] += "\n"
    assert messages("psk-surrounding-space") == [
        "gateway hq/branch: credential: hq's pre-shared key begins or ends with white space: every octet "
        "counts, also a line's end that came with a file. Remove it, or keep it at both ends."]


def test_endpoints_of_two_families(hq, messages):
    hq["gateways"][0]["endpoints"][0]["local"]["address"] = "2001:db8::1"
    assert messages("endpoints-mixed-families") == [
        "gateway hq/branch: endpoints: local is 2001:db8::1, remote is 198.51.100.1: they are of different address "
        "families and cannot reach each other. Set gateways[branch].endpoints[0] to two of one family."]


def test_a_gateway_that_is_its_own_peer(hq, messages):
    hq["gateways"][0]["endpoints"][0]["remote"]["address"] = "192.0.2.1"
    assert len(messages("endpoints-same-address")) == 1


def test_two_gateways_that_expect_the_same_identity(hq, messages):
    other = {**hq["gateways"][0], "name": "branch-2", "endpoints": [
        {"local": {"address": "192.0.2.1"},
         "remote": {"address": "203.0.113.1", "identifier": {"type": "domain-name", "value": "BRANCH.example"}}}]}
    hq["gateways"].append(other)
    assert messages("duplicate-identity") == []
    other["credential"] = {"method": "psk", "psk": "another-planted-marker-of-good-length"}
    assert messages("duplicate-identity") == [
        "site hq: remote identifier: gateways branch and branch-2 both expect BRANCH.example: a peer that presents it "
        "could be either. Give the peers different identifiers, or both gateways the same credential."]
    other["endpoints"][0]["remote"]["identifier"]["value"] = "branch-2.example"
    assert messages("duplicate-identity") == []
