# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mends a mismatch is nothing that the site it is asked of cannot do, and nothing weak where it need not be."""

import pytest
from ikeengine.vpn import rules

from tests.unit.plugins.module_utils.vpn.rule_cases.case import IKEV1, gateway, read

UNMANAGED = {"both site.managed": False}


def firebox(model="Firebox T45", firmware="12.10", managed=False):
    return {"branch site": {"name": "branch", "platform": model, "firmware": firmware, "managed": managed}}


def fixes(code, bends):
    return [finding.fix for finding in rules.validate(read(bends)).findings if finding.code == code]


@pytest.mark.parametrize(("code", "bends", "fix"), [
    ("phase1-no-common-transform",
     {**firebox("XTM 505", "12.1"), "branch transforms.0.authentication": "SHA1"},
     "Set authentication to SHA1 in hq's transform p1"),
    ("phase2-no-common-proposal",
     {**firebox("XTM 505", "12.1"), "branch proposals.0.authentication": "SHA1"},
     "Set authentication to SHA1 in hq's proposal p2"),
    ("phase1-no-common-transform",
     {**firebox(), "hq transforms.0.key_group": 31}, "Set key_group to 14 in hq's transform p1"),
    ("phase1-no-common-transform",
     {**firebox(firmware="12.1"), "hq transforms.0.encryption": "AES-GCM-256"},
     "Set encryption to AES-256 in hq's transform p1"),
    ("phase2-no-common-proposal",
     {**firebox(), "hq proposals.0": {"name": "p2", "encryption": "ChaCha20-Poly1305"}},
     "Set encryption to AES-256 and authentication to SHA2-256 in hq's proposal p2"),
    ("pfs-group-differs",
     {**firebox(), "hq tunnels.0.pfs.key_group": 31}, "Set tunnels[lan].pfs.key_group of hq to 14"),
    ("pfs-group-differs",
     {**UNMANAGED, "both policy": "strict", "hq tunnels.0.pfs.key_group": 2},
     "Set tunnels[lan].pfs.key_group of hq to 14"),
    ("pfs-group-differs",
     {**UNMANAGED, "hq tunnels.0.pfs.key_group": 2}, "Set tunnels[lan].pfs.key_group of hq to 14"),
    ("pfs-differs",
     {**UNMANAGED, "hq tunnels.0.pfs": {"enabled": False},
      "branch tunnels.0.pfs.additional_key_exchange": "ML-KEM-768"},
     "Set tunnels[lan].pfs of hq to {enabled: true, key_group: 14, additional_key_exchange: ML-KEM-768}"),
    ("phase2-protocol-differs",
     {**UNMANAGED, "hq proposals.0.protocol": "AH", "hq proposals.0.encryption": "none"},
     "Set protocol to ESP and encryption to AES-256 in hq's proposal p2"),
    ("ike-version-differs",
     {**firebox("XTM 330", "11.9"), "branch gateways.0.ike_version": 1, "hq site.managed": False},
     "Set ike_version to 1 at both ends"),
    ("ike-version-differs",
     {**firebox("XTM 330", "11.9"), "branch gateways.0.ike_version": 1, "hq site.managed": False,
      "branch gateways.0.mode": "aggressive", "branch gateways.0.nat_traversal.enabled": False},
     "Set ike_version to 1 at both ends, with mode as branch has it and nat_traversal.enabled as branch has it"),
    ("ike-version-differs",
     {**firebox("XTM 330", "11.9"), "branch gateways.0.ike_version": 1},
     "Set ike_version to 1 at both ends"),
    ("ike-version-differs",
     {"branch gateways.0.ike_version": 1, "branch gateways.0.mode": "aggressive",
      "branch gateways.0.dead_peer_detection": {"enabled": False}, "branch gateways.0.ike_keep_alive.enabled": True,
      "branch gateways.0.nat_traversal.enabled": False, **UNMANAGED},
     "Set ike_version to 2 at both ends, with no mode, no ike_keep_alive, nat_traversal.enabled true and "
     "dead_peer_detection.enabled true"),
    ("mode-differs",
     {**IKEV1, "hq gateways.0.mode": "aggressive", "hq gateways.0.endpoints.0.remote.address": "dynamic"},
     "Set ike_version to 2 at both ends, with no mode"),
    ("credential-method-differs",
     {**firebox(firmware="12.5"), "hq gateways.0.credential": {"method": "hex-psk", "psk": "ab" * 16}},
     "Set gateways[branch].credential.method of hq to psk"),
])
def test_only_what_the_other_end_can_do_is_offered(code, bends, fix):
    assert fixes(code, bends) == [fix]


def test_of_several_offers_the_nearest_that_can_be_made_equal_is_named():
    bends = {**firebox(), "hq transforms": [{"name": "new", "key_group": 31}, {"name": "old", "key_group": 15,
                                                                            "encryption": "AES-128"}],
             "hq gateways.0.transforms": ["new", "old"], "hq site.managed": False}
    assert fixes("phase1-no-common-transform", bends) == ["Set key_group to 14 in hq's transform new"]
    assert rules.validate(read({**bends, "hq transforms.0.key_group": 14})).errors == ()


def hub(**fields):
    """A second gateway of hq's with the same transform, to a peer that is declared nowhere."""
    return gateway("annex", **fields)


@pytest.mark.parametrize(("bends", "fix"), [
    ({"hq gateways.+": hub(), "branch transforms.0.encryption": "AES-128"},
     "Set encryption to AES-256 in branch's transform p1"),
    ({"both gateways.+": hub(), "branch transforms.0.encryption": "AES-128"},
     "Set encryption to AES-256 in branch's transform p1, or encryption to AES-128 in hq's transform p1"),
    ({**UNMANAGED, "hq gateways.+": hub(ike_version=1), "branch transforms.0.encryption": "AES-GCM-256"},
     "Set encryption to AES-256 in branch's transform p1"),
    ({**UNMANAGED, "branch transforms.0": {"name": "p1", "encryption": "AES-128", "sa_life": "8h"}},
     "Set encryption to AES-256 and sa_life to 24h in branch's transform p1, or encryption to AES-128 and sa_life to "
     "8h in hq's transform p1"),
])
def test_what_others_use_too_is_changed_only_where_nothing_else_mends(bends, fix):
    assert fixes("phase1-no-common-transform", bends) == [fix]


def test_a_proposal_that_another_tunnel_uses_stays():
    voice = {"name": "voice", "gateway": "branch", "proposals": ["p2"],
             "routes": [{"local": "10.1.9.0/24", "remote": "10.2.9.0/24"}]}
    bends = {"hq tunnels.+": voice, "branch proposals.0.encryption": "AES-128"}
    assert fixes("phase2-no-common-proposal", bends) == ["Set encryption to AES-256 in branch's proposal p2"]


def test_gateways_that_share_their_transforms_are_judged_together():
    moving = {"remote": {"address": "dynamic", "identifier": {"type": "domain-name", "value": "annex.example"}},
              "local": {"address": "192.0.2.1", "identifier": {"type": "domain-name", "value": "hq.example"}}}
    bends = {**UNMANAGED, "hq transforms.+": {"name": "p9", "key_group": 19},
             "hq gateways.0.endpoints.0.remote.address": "dynamic", "hq gateways.0.ike_version": 1,
             "hq gateways.0.mode": "aggressive", "hq gateways.+": hub(endpoints=[moving], transforms=["p9"])}
    assert fixes("ike-version-differs", bends) == ["Set ike_version to 1 at both ends, with mode as hq has it"]


@pytest.mark.parametrize("order", [["p1", "q"], ["q", "p1"]])
def test_lives_are_compared_of_the_transform_that_either_end_would_choose(order):
    second = {"name": "q", "encryption": "AES-128"}
    bends = {"both transforms.+": second, "both gateways.0.transforms": ["p1", "q"],
             "branch gateways.0.transforms": order, "branch transforms.0.sa_life": "8h"}
    (found,) = rules.validate(read(bends)).errors
    assert found.code == "phase1-sa-life-differs" and found.left == "hq's transform p1 has 24h"


def test_lives_of_a_transform_that_is_never_chosen_may_differ():
    bends = {"both transforms.+": {"name": "q", "encryption": "AES-128"}, "both gateways.0.transforms": ["p1", "q"],
             "branch transforms.1.sa_life": "8h"}
    assert rules.validate(read(bends)).findings == ()


def test_key_expiration_is_compared_of_the_proposal_that_either_end_would_choose():
    second = {"name": "q", "encryption": "AES-128"}
    bends = {"both proposals.+": second, "both tunnels.0.proposals": ["p2", "q"],
             "branch proposals.0.force_key_expiration": {"time": "1h"}}
    assert [finding.code for finding in rules.validate(read(bends)).errors] == ["phase2-key-expiration-differs"]


