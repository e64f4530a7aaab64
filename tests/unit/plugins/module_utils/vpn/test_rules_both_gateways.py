# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads when the two ends of a gateway do not fit."""

import pytest
from ikeengine.vpn import declaration, rules


def both(hq, branch, section, **fields):
    for side in (hq, branch):
        side[section][0].update(fields)


def test_two_sides_that_mirror_each_other_have_no_finding(findings):
    assert findings() == ()


def test_default_declarations_have_no_finding(hq, branch, findings):
    for side in (hq, branch):
        for field in ("transforms", "proposals"):
            del side[field]
        del side["gateways"][0]["transforms"], side["tunnels"][0]["proposals"]
    assert findings() == ()


def test_phase1_encryption_differs(branch, messages):
    branch["transforms"][0]["encryption"] = "3DES"
    branch["site"]["managed"] = False
    assert messages("phase1-no-common-transform") == [
        "gateway hq<->branch: phase 1 encryption: hq offers AES-256, branch offers 3DES: no common transform; "
        "the peers would answer NO_PROPOSAL_CHOSEN. Set encryption to AES-256 in branch's transform p1."]


def test_the_weak_end_is_the_one_to_change(hq, messages):
    hq["transforms"][0]["encryption"] = "DES"
    assert messages("phase1-no-common-transform")[0].endswith(
        "no common transform; the peers would answer NO_PROPOSAL_CHOSEN. Set encryption to AES-256 in hq's "
        "transform p1.")


def test_of_several_transforms_the_nearest_is_named(hq, branch, messages):
    hq["transforms"] += [{"name": "p1-gcm", "encryption": "AES-GCM-128", "authentication": "SHA2-384", "key_group": 31}]
    hq["gateways"][0]["transforms"] = ["p1-gcm", "p1"]
    branch["transforms"] = [{"name": "gcm", "encryption": "AES-GCM-128", "authentication": "SHA2-384", "key_group": 20}]
    branch["gateways"][0]["transforms"] = ["gcm"]
    assert messages("phase1-no-common-transform") == [
        "gateway hq<->branch: phase 1 key group: hq offers group 31, branch offers group 20: no common transform; the "
        "peers would answer NO_PROPOSAL_CHOSEN. Set key_group to 31 in branch's transform gcm, or key_group to 20 in "
        "hq's transform p1-gcm."]


def test_one_common_transform_of_several_is_enough(hq, findings):
    hq["transforms"] += [{"name": "other", "key_group": 31}]
    hq["gateways"][0]["transforms"] = ["other", "p1"]
    assert findings() == ()


def test_several_members_that_differ_are_all_named(branch, messages):
    branch["transforms"][0].update(encryption="AES-128", key_group=19)
    assert messages("phase1-no-common-transform")[0].startswith(
        "gateway hq<->branch: phase 1 encryption and key group: hq offers AES-256 and group 14, "
        "branch offers AES-128 and group 19: no common transform")


def test_only_the_sa_life_differs(branch, messages):
    branch["transforms"][0]["sa_life"] = "8h"
    assert messages("phase1-no-common-transform") == []
    assert messages("phase1-sa-life-differs") == [
        "gateway hq<->branch: phase 1 SA life: hq's transform p1 has 24h, branch's transform p1 has 8h: "
        "transforms must match exactly, and IKEv2 does not negotiate lifetimes. Set sa_life to 24h in branch's "
        "transform p1, or to 8h in hq's transform p1."]


def test_the_same_sa_life_in_another_unit_is_no_difference(branch, findings):
    branch["transforms"][0]["sa_life"] = "86400"
    assert findings() == ()


def test_keys_differ(branch, messages, findings):
    branch["gateways"][0]["credential"]["psk"] = "another-planted-marker-of-good-length"
    assert messages("psk-differs") == [
        "gateway hq<->branch: credential: hq has one pre-shared key, branch has another: the keys must be equal; the "
        "peers would answer AUTHENTICATION_FAILED. Set the same psk in gateways[branch].credential of hq and "
        "gateways[hq].credential of branch."]
    assert [finding.code for finding in findings()] == ["psk-differs"]


def test_hex_keys_are_compared_as_octets(hq, branch, findings):
    hq["gateways"][0]["credential"] = {"method": "hex-psk", "psk": "0x" + "AB" * 16}
    branch["gateways"][0]["credential"] = {"method": "hex-psk", "psk": "ab" * 16}
    assert findings() == ()


def test_credential_method_differs(branch, messages):
    branch["gateways"][0]["credential"] = {"method": "hex-psk", "psk": "ab" * 16}
    assert messages("psk-differs") == []
    assert messages("credential-method-differs") == [
        "gateway hq<->branch: credential: hq has method psk, branch has hex-psk: both ends need the same method; the "
        "peers would answer AUTHENTICATION_FAILED. Set gateways[hq].credential.method of branch to psk, or "
        "gateways[branch].credential.method of hq to hex-psk."]


def test_ike_version_differs(branch, messages):
    branch["gateways"][0]["ike_version"] = 1
    assert messages("ike-version-differs") == [
        "gateway hq<->branch: IKE version: hq has IKEv2, branch has IKEv1: a peer does not answer the other version. "
        "Set ike_version to 2 at both ends, with no mode."]


def test_mode_differs(hq, branch, messages):
    both(hq, branch, "gateways", ike_version=1)
    assert messages("mode-differs") == []
    branch["gateways"][0]["mode"] = "aggressive"
    assert messages("mode-differs") == [
        "gateway hq<->branch: mode: hq has main, branch has aggressive: a responder refuses a mode that it is not set "
        "up for. Set mode to main at both ends, or ike_version to 2 at both ends, with no mode."]


def test_identities_do_not_mirror(branch, messages, findings):
    branch["gateways"][0]["endpoints"][0]["local"]["identifier"]["value"] = "filial.example"
    assert messages("identity-does-not-mirror") == [
        "gateway hq<->branch: phase 1 identifier: hq expects branch.example (domain-name), branch presents "
        "filial.example (domain-name): they do not mirror; hq would answer AUTHENTICATION_FAILED. Set "
        "gateways[branch].endpoints[0].remote.identifier of hq to {type: domain-name, value: filial.example}, or "
        "gateways[hq].endpoints[0].local.identifier of branch to {type: domain-name, value: branch.example}."]
    assert len(findings()) == 1


def test_domain_names_mirror_whatever_their_case(branch, findings):
    branch["gateways"][0]["endpoints"][0]["local"]["identifier"]["value"] = "Branch.Example"
    assert findings() == ()


def test_a_default_identity_behind_nat_does_not_mirror(branch, messages):
    branch["gateways"][0]["endpoints"][0]["local"] = {"address": "10.9.0.1"}
    assert messages("identity-does-not-mirror")[0].startswith(
        "gateway hq<->branch: phase 1 identifier: hq expects branch.example (domain-name), "
        "branch presents 10.9.0.1 (ip-address)")


def test_endpoint_addresses_do_not_mirror(hq, messages, findings):
    hq["gateways"][0]["endpoints"][0]["remote"]["address"] = "198.51.100.10"
    assert messages("endpoint-address-does-not-mirror") == [
        "gateway hq<->branch: endpoint address: hq reaches for 198.51.100.10, branch has 198.51.100.1: they do not "
        "mirror, so the peers never meet. Set gateways[branch].endpoints[0].remote.address of hq to 198.51.100.1, or "
        "gateways[hq].endpoints[0].local.address of branch to 198.51.100.10."]
    assert len(findings()) == 1


def test_a_private_address_behind_a_public_one_warns_only(branch, findings):
    branch["gateways"][0]["endpoints"][0]["local"]["address"] = "10.9.0.1"
    (finding,) = findings()
    assert (finding.code, finding.is_error) == ("endpoint-behind-nat", False)
    assert finding.message == (
        "gateway hq<->branch: endpoint address: hq reaches for 198.51.100.1, branch has 10.9.0.1: that is right "
        "only if a NAT translates the one to the other. Check that UDP ports 500 and 4500 of 198.51.100.1 lead to "
        "branch, and set gateways[hq].endpoints[0].local.public_address to 198.51.100.1 there.")


def test_endpoint_pairs_differ(hq, messages):
    hq["gateways"][0]["endpoints"].append({"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.2"}})
    assert messages("endpoint-pairs-differ") == [
        "gateway hq<->branch: endpoints: hq has 2 pairs, branch has 1: failover needs the same pairs in the same order "
        "at both ends. Add the missing pairs at branch."]


@pytest.mark.parametrize("starts", [("boot", "answer"), ("answer", "traffic"), ("boot", "boot")])
def test_one_end_that_initiates_is_enough(hq, branch, findings, starts):
    hq["gateways"][0]["start"], branch["gateways"][0]["start"] = starts
    assert findings() == ()


def test_nobody_initiates(hq, branch, messages):
    both(hq, branch, "gateways", start="answer")
    assert messages("nobody-initiates") == [
        "gateway hq<->branch: start: hq only answers, branch only answers: nobody initiates, so the tunnel never comes "
        "up. Set gateways[branch].start of hq to boot, with a static remote address."]


def test_a_peer_of_a_dynamic_address_must_initiate(hq, branch, messages):
    hq["gateways"][0]["endpoints"][0]["remote"]["address"] = "dynamic"
    branch["gateways"][0]["start"] = "answer"
    assert messages("nobody-initiates") == [
        "gateway hq<->branch: start: hq knows no address to reach, branch only answers: nobody initiates, so "
        "the tunnel never comes up. Set gateways[hq].start of branch to boot, with a static remote address."]
    branch["gateways"][0]["start"] = "boot"
    assert messages("nobody-initiates") == []


def test_a_tunnel_without_counterpart(hq, messages):
    hq["tunnels"].append({"name": "voice", "gateway": "branch", "proposals": ["p2"],
                          "routes": [{"local": "10.1.9.0/24", "remote": "10.2.9.0/24"}]})
    assert messages("tunnel-without-counterpart") == [
        "gateway hq<->branch: tunnel: hq declares tunnel voice, branch declares no counterpart: branch would answer "
        "TS_UNACCEPTABLE. Add a tunnel to branch under gateway hq with routes {local: 10.2.9.0/24, remote: "
        "10.1.9.0/24}, or remove tunnels[voice] from hq."]


def test_gateways_with_names_of_their_own_are_told_apart(hq, branch, messages):
    branch["gateways"][0]["name"] = branch["tunnels"][0]["gateway"] = "uplink"
    branch["gateways"][0]["ike_version"] = 1
    assert messages("ike-version-differs")[0].startswith("gateway hq<->branch/uplink: IKE version")


def test_a_far_end_that_is_declared_nowhere_warns(hq):
    validation = rules.validate([declaration.read(hq)])
    assert validation.ok
    assert [finding.message for finding in validation.warnings] == [
        "gateway hq/branch: far end: hq reaches for 198.51.100.1, no declared site has it: only one end is known, so "
        "nothing can be held against the other. Declare the far end too, with managed: false where somebody else "
        "configures it."]


def test_a_declared_far_end_without_a_gateway_back(hq, branch, messages):
    hq["gateways"].append({"name": "branch-2", "credential": {"method": "certificate"}, "endpoints": [
        {"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.1"}}]})
    assert messages("far-end-has-no-gateway") == [
        "gateway hq/branch-2: far end: hq reaches for 198.51.100.1, that is branch, which has no gateway back: branch "
        "would answer AUTHENTICATION_FAILED. Add a gateway to branch with remote address 192.0.2.2."]


def test_two_sites_of_one_name(hq, branch, messages):
    branch["site"]["name"] = "hq"
    assert messages("site-declared-twice") == [
        "all sites: site.name: 2 sites are called hq: findings could not tell them apart. Give each site its own name."]
