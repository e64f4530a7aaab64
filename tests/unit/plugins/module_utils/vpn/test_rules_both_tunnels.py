# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads when the two ends of a tunnel do not fit."""

import pytest


def routes(*pairs, direction="both"):
    return [{"local": local, "remote": remote, "direction": direction} for local, remote in pairs]


def test_phase2_encryption_differs(branch, messages):
    branch["proposals"][0]["encryption"] = "AES-128"
    assert messages("phase2-no-common-proposal") == [
        "tunnel lan of hq<->branch: phase 2 encryption: hq offers AES-256, branch offers AES-128: no common proposal; "
        "the peers would answer NO_PROPOSAL_CHOSEN. Set encryption to AES-256 in branch's proposal p2, or "
        "encryption to AES-128 in hq's proposal p2."]


def test_one_common_proposal_is_enough(branch, findings):
    branch["proposals"].append({"name": "gcm", "encryption": "AES-GCM-256"})
    branch["tunnels"][0]["proposals"] = ["gcm", "p2"]
    assert findings() == ()


def test_protocol_differs(branch, messages):
    branch["site"]["managed"] = False
    branch["proposals"][0].update(protocol="AH", encryption="none")
    assert messages("phase2-protocol-differs") == [
        "tunnel lan of hq<->branch: phase 2 protocol: hq has ESP, branch has AH: no common protocol; the peers would "
        "answer NO_PROPOSAL_CHOSEN. Set protocol to ESP and encryption to AES-256 in branch's proposal p2."]
    assert messages("phase2-no-common-proposal") == []


def test_key_expiration_differs(branch, messages):
    branch["proposals"][0]["force_key_expiration"] = {"time": "8h"}
    assert messages("phase2-key-expiration-differs") == [
        "tunnel lan of hq<->branch: phase 2 force key expiration: hq's proposal p2 has {time: 8h, traffic: 128000 kB}, "
        "branch's proposal p2 has {time: 8h}: proposals must match exactly, and IKEv2 does not negotiate "
        "lifetimes. Set force_key_expiration to {time: 8h, traffic: 128000 kB} in branch's proposal p2, or to {time: "
        "8h} in hq's proposal p2."]


def test_the_same_key_expiration_in_other_units_is_no_difference(branch, findings):
    branch["proposals"][0]["force_key_expiration"] = {"time": "480 min", "traffic": "125 MB"}
    assert findings() == ()


def test_pfs_on_and_off(branch, messages):
    branch["tunnels"][0]["pfs"] = {"enabled": False}
    assert messages("pfs-differs") == [
        "tunnel lan of hq<->branch: PFS: hq has it on, branch has it off: the tunnel would come up and fail at "
        "its first rekey. Set tunnels[lan].pfs of branch to {enabled: true, key_group: 14}."]
    assert messages("pfs-group-differs") == []


def test_pfs_off_at_both_ends_warns_only(hq, branch, findings):
    for side in (hq, branch):
        side["tunnels"][0]["pfs"] = {"enabled": "no"}
    assert [(finding.code, finding.is_error) for finding in findings()] == [("pfs-off", False)] * 2


def test_pfs_groups_differ(branch, messages):
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    assert messages("pfs-group-differs") == [
        "tunnel lan of hq<->branch: PFS key group: hq has group 14, branch has group 19: the tunnel would come up and "
        "fail at its first rekey. Set tunnels[lan].pfs.key_group of branch to 14, or tunnels[lan].pfs.key_group of hq "
        "to 19."]


def test_pfs_group_may_differ_from_phase1(hq, branch, findings):
    for side in (hq, branch):
        side["tunnels"][0]["pfs"] = {"key_group": 31}
    assert findings() == ()


def test_a_route_without_mirror(hq, messages):
    hq["tunnels"][0]["routes"] += routes(("10.1.9.0/24", "10.2.9.0/24"))
    assert messages("route-missing-mirror") == [
        "tunnel lan of hq<->branch: tunnel route: hq has 10.1.9.0/24 <-> 10.2.9.0/24, branch has no mirror of "
        "it: branch would answer TS_UNACCEPTABLE. Add {local: 10.2.9.0/24, remote: 10.1.9.0/24} to the routes of "
        "branch's tunnel lan, or remove {local: 10.1.9.0/24, remote: 10.2.9.0/24} from hq's tunnel lan."]


def test_a_route_missing_at_the_left_end(branch, messages):
    branch["tunnels"][0]["routes"] += routes(("10.2.9.0/24", "10.1.9.0/24"))
    assert messages("route-missing-mirror")[0].startswith(
        "tunnel lan of hq<->branch: tunnel route: hq has no mirror, branch has 10.2.9.0/24 <-> 10.1.9.0/24: "
        "hq would answer TS_UNACCEPTABLE")


@pytest.mark.parametrize("name", ["lan", "to-headquarters"])
def test_nobody_is_told_to_mirror_a_route_that_is_wrong_by_itself(hq, branch, findings, name):
    hq["tunnels"][0]["routes"] = routes(("fd00::/64", "10.2.0.0/24"))
    branch["tunnels"][0]["name"] = name
    branch["tunnels"][0]["routes"] = routes(("10.2.0.0/24", "10.1.0.0/24"))
    assert [finding.code for finding in findings()] == ["route-mixed-families"]


def test_beside_a_route_that_is_wrong_another_still_lacks_its_mirror(hq, messages):
    hq["tunnels"][0]["routes"] = routes(("fd00::/64", "10.2.0.0/24"), ("10.1.9.0/24", "10.2.9.0/24"))
    [message] = messages("route-missing-mirror")
    assert "hq has 10.1.9.0/24 <-> 10.2.9.0/24, branch has no mirror of it" in message


@pytest.mark.parametrize(("theirs", "code", "relation"), [
    ("10.1.0.0/25", "route-narrower", "branch's is narrower, so the rest of hq's traffic would find no tunnel"),
    ("10.1.0.0/16", "route-narrower", "hq's is narrower, so the rest of branch's traffic would find no tunnel"),
    ("10.1.0.128-10.1.1.127", "route-overlaps",
     "they only overlap, so the rest of either's traffic would find no tunnel"),
])
def test_routes_that_do_not_mirror_exactly(branch, messages, theirs, code, relation):
    branch["tunnels"][0]["routes"] = routes(("10.2.0.0/24", theirs))
    (message,) = messages(code)
    assert message == (
        f"tunnel lan of hq<->branch: tunnel route: hq has 10.1.0.0/24 <-> 10.2.0.0/24, branch has 10.2.0.0/24 <-> "
        f"{theirs}: {relation}. Set the route of branch's tunnel lan to {{local: 10.2.0.0/24, remote: "
        f"10.1.0.0/24}}, or that of hq's tunnel lan to {{local: {theirs}, remote: 10.2.0.0/24}}.")


def test_a_range_mirrors_the_network_of_the_same_addresses(branch, findings):
    branch["tunnels"][0]["routes"] = routes(("10.2.0.0-10.2.0.255", "10.1.0.0/24"))
    assert findings() == ()


def test_direction_does_not_mirror(hq, branch, messages):
    hq["tunnels"][0]["routes"] = routes(("10.1.0.0/24", "10.2.0.0/24"), direction="local-to-remote")
    assert messages("route-direction-does-not-mirror") == [
        "tunnel lan of hq<->branch: tunnel route: hq has 10.1.0.0/24 -> 10.2.0.0/24 (local-to-remote), branch has "
        "10.2.0.0/24 <-> 10.1.0.0/24 (both): the directions do not mirror, so one end drops what the other sends. Set "
        "the direction of branch's route to remote-to-local."]
    branch["tunnels"][0]["routes"] = routes(("10.2.0.0/24", "10.1.0.0/24"), direction="remote-to-local")
    assert messages("route-direction-does-not-mirror") == []


def test_tunnels_of_different_names_are_one_by_their_routes(branch, findings):
    branch["tunnels"][0]["name"] = "to-headquarters"
    assert findings() == ()
