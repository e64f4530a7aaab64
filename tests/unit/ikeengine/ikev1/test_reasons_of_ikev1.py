# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two ends do not agree by IKEv1, each says what differs, and no secret with it; `ikectl explain` tells of it."""

from __future__ import annotations

import json

import pytest
from ikeengine.vpn import rules

from tests.support import virtual_network
from tests.support.ikev1 import PROPOSAL, TRANSFORM, branch, hq
from tests.support.virtual_network import PSK, pair

OTHER_PSK = "quite another secret 4212"
KNOWS = "its log names what differs, and so does ikectl explain where it is ikeengine."
ANSWERED = "the peer 198.51.100.2 answered"
NEAREST = "no common transform; proposal 1 transform 1 of the peer and our transform p1 are nearest."
KEYS = ("credential: the peer {} has one pre-shared key, we have another: the keys must be equal, so the answer is "
        "AUTHENTICATION_FAILED. Set the same psk in gateways[peer].credential and at the peer.")
MAIN, AGGRESSIVE = {"mode": "main"}, {"mode": "aggressive"}
NAMES = ("hq.example.net", "branch.example.net")


def transform(**changes):
    return {"transforms": ({**TRANSFORM, **changes},)}


def phase1(offered):
    return (f"gateway peer: phase 1 transform: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered {offered}: it has no "
            "transform like these, or its gateway for us is taken down or not declared between these addresses. Hold "
            f"gateways[peer].transforms and gateways[peer].endpoints against the peer's: {KNOWS}")


def phase2(offered):
    return (f"tunnel lan of peer: phase 2 proposal or PFS: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered {offered}: it has "
            f"no proposal like these with that PFS. Hold tunnels[lan].proposals and tunnels[lan].pfs against the "
            f"peer's: {KNOWS}")


def refused(present, expect, notify="AUTHENTICATION_FAILED"):
    return (f"gateway peer: credential or phase 1 identifier: {ANSWERED} {notify}, we present {present} and expect "
            f"{expect}: it expects another pre-shared key, or other identifiers. Hold gateways[peer].credential and "
            f"the identifiers of gateways[peer].endpoints[0] against the peer's: {KNOWS}")


OTHER_NAME = (
    "gateway peer: phase 1 identifier: the peer 192.0.2.2 presents hq.example.net (domain-name), we expect "
    "headquarters.example.net (domain-name): they do not mirror, so the answer is AUTHENTICATION_FAILED. Set "
    "gateways[peer].endpoints[0].remote.identifier to {type: domain-name, value: hq.example.net}, or have the peer "
    "present {type: domain-name, value: headquarters.example.net}.")
OTHER_NAMES = ({"identifiers": NAMES}, {"identifiers": ("headquarters.example.net", NAMES[1])},
               refused("hq.example.net (domain-name)", "branch.example.net (domain-name)"), OTHER_NAME)

# What the initiator has, what the responder has; what the initiator says, what the responder says.
CASES = {
    "psk in Main Mode": (
        {}, {"psk": OTHER_PSK}, refused("192.0.2.2 (ip-address)", "198.51.100.2 (ip-address)", "PAYLOAD_MALFORMED"),
        "gateway peer: " + KEYS.format("192.0.2.2")),
    "psk in Aggressive Mode": (
        {"gateway": AGGRESSIVE}, {"gateway": AGGRESSIVE, "psk": OTHER_PSK},
        "gateway peer: " + KEYS.format("198.51.100.2"),
        "gateway peer: credential or phase 1 identifier: the peer 192.0.2.2 answered AUTHENTICATION_FAILED, we present "
        "198.51.100.2 (ip-address) and expect 192.0.2.2 (ip-address): it expects another pre-shared key, or other "
        "identifiers. Hold gateways[peer].credential and the identifiers of gateways[peer].endpoints[0] against the "
        f"peer's: {KNOWS}"),
    "phase 1 encryption": (
        transform(encryption="AES-128"), {}, phase1("AES-128/SHA2-256/group 14"),
        f"gateway peer: phase 1 encryption: the peer 192.0.2.2 offers AES-128, we have AES-256: {NEAREST} Set "
        "transforms[p1].encryption to AES-128, or have the peer offer AES-256."),
    "phase 1 authentication, which is weak": (
        transform(authentication="MD5"), {}, phase1("AES-256/MD5/group 14"),
        f"gateway peer: phase 1 authentication: the peer 192.0.2.2 offers MD5, we have SHA2-256: {NEAREST} Have the "
        "peer offer SHA2-256."),
    "phase 1 key group in Aggressive Mode": (
        {**transform(key_group=19), "gateway": AGGRESSIVE}, {"gateway": AGGRESSIVE},
        phase1("AES-256/SHA2-256/group 19"),
        f"gateway peer: phase 1 key group: the peer 192.0.2.2 offers group 19, we have group 14: {NEAREST} Set "
        "transforms[p1].key_group to 19, or have the peer offer group 14."),
    "mode": (
        {"gateway": AGGRESSIVE}, {},
        f"gateway peer: mode: {ANSWERED} UNSUPPORTED_EXCHANGE_TYPE, we begin aggressive: both ends need the same. Hold "
        "gateways[peer].mode against the peer's.",
        "gateway peer: mode: the peer 192.0.2.2 begins aggressive, we have main: a responder refuses a mode that it is "
        "not set up for. Set gateways[peer].mode to aggressive, or have the peer use main."),
    "identifier in Main Mode": OTHER_NAMES,
    "identifier in Aggressive Mode": ({**OTHER_NAMES[0], "gateway": AGGRESSIVE},
                                      {**OTHER_NAMES[1], "gateway": AGGRESSIVE}, *OTHER_NAMES[2:]),
    "phase 2 encryption": (
        {"proposals": ({**PROPOSAL, "encryption": "AES-128"},)}, {}, phase2("ESP AES-128/SHA2-256, PFS group 14"),
        "tunnel lan of peer: phase 2 encryption: the peer 192.0.2.2 offers AES-128, we have AES-256: no common "
        "proposal; proposal 1 transform 1 of the peer and our proposal p2 are nearest. Set proposals[p2].encryption to "
        "AES-128, or have the peer offer AES-256."),
    "PFS key group": (
        {"pfs": {"enabled": True, "key_group": 19}}, {}, phase2("ESP AES-256/SHA2-256, PFS group 19"),
        "tunnel lan of peer: PFS key group: the peer 192.0.2.2 has group 19, we have group 14: both ends need the "
        "same. Set tunnels[lan].pfs.key_group to 19, or have the peer offer group 14."),
    "PFS": (
        {"pfs": {"enabled": False}}, {}, phase2("ESP AES-256/SHA2-256, PFS off"),
        "tunnel lan of peer: PFS: the peer 192.0.2.2 has it off, we have it on: PFS is on at both ends or at none. "
        "Have the peer use PFS with group 14."),
    "tunnel route": (
        {"routes": (("10.1.0.0/24", "10.9.0.0/24"),)}, {},
        f"tunnel lan of peer: tunnel route: {ANSWERED} INVALID_ID_INFORMATION, we proposed 10.1.0.0/24 <-> "
        "10.9.0.0/24: it has no mirror of that. Add {local: 10.9.0.0/24, remote: 10.1.0.0/24} to the routes at the "
        "peer, or remove {local: 10.1.0.0/24, remote: 10.9.0.0/24} from tunnels[lan].routes.",
        "gateway peer: tunnel route: the peer 192.0.2.2 proposes 10.9.0.0/24 <-> 10.1.0.0/24, we have 10.2.0.0/24 <-> "
        "10.1.0.0/24: a Quick Mode is for one declared route, so the answer is INVALID_ID_INFORMATION. Add {local: "
        "10.9.0.0/24, remote: 10.1.0.0/24} to tunnels[lan].routes, or have the peer propose {local: 10.1.0.0/24, "
        "remote: 10.2.0.0/24}."),
}


def after(case):
    left, right, *_sentences = CASES[case]
    network, one, other = pair(hq(**left), branch(**right))
    network.start()
    network.run(25)
    return one, other


@pytest.mark.parametrize("case", CASES)
def test_both_ends_say_why(case):
    one, other = after(case)
    _left, _right, initiator_says, responder_says = CASES[case]
    assert not one.inbound and not other.inbound
    assert one.reasons[0] == initiator_says
    assert other.reasons[0] == responder_says
    explained = json.dumps([end.manager.overview.explain("peer", float) for end in (one, other)])
    assert one.reasons[-1] in explained.replace('\\"', '"')
    everything = repr(one.events) + repr(other.events) + explained
    assert PSK not in everything and OTHER_PSK not in everything


@pytest.mark.parametrize(("case", "code"), [
    ("psk in Main Mode", "psk-differs"), ("phase 1 encryption", "phase1-no-common-transform"), ("mode", "mode-differs"),
    ("phase 1 key group in Aggressive Mode", "phase1-no-common-transform"), ("PFS", "pfs-differs"),
    ("identifier in Main Mode", "identity-does-not-mirror"), ("phase 2 encryption", "phase2-no-common-proposal"),
    ("PFS key group", "pfs-group-differs"), ("tunnel route", "route-missing-mirror")])
def test_the_responder_calls_the_field_as_validation_does(case, code):
    left, right, _initiator_says, responder_says = CASES[case]
    found = rules.validate([hq(**left), branch(**right)]).findings
    assert {finding.field for finding in found if finding.code == code} == {responder_says.split(": ")[1]}


@pytest.mark.parametrize("mode", [MAIN, AGGRESSIVE])
def test_a_peer_that_its_operator_took_down_is_named_beside_a_mismatch(mode):
    network, one, other = pair(hq(gateway=mode), branch(gateway=mode))
    other.manager.terminate("peer", network.now)
    network.start()
    network.run(0.5)
    assert one.reasons[0] == phase1("AES-256/SHA2-256/group 14")
    assert other.reasons[0].endswith(", or bring up the one that was taken down.")


def test_the_other_version():
    network, _one, other = pair(virtual_network.hq(), branch())
    network.start()
    network.run(5)
    assert other.reasons[0] == (
        "gateway peer: IKE version: the peer 192.0.2.2 begins IKEv2, we have IKEv1: a peer does not answer the other "
        "version. Set gateways[peer].ike_version to 2, or have the peer use IKEv1.")
    field = {row.field for row in rules.validate([virtual_network.hq(), branch()]).findings
             if row.code == "ike-version-differs"}
    assert field == {"IKE version"}


@pytest.mark.parametrize(("case", "as_initiator", "as_responder"), [
    ("phase 1 encryption", None, "message 1 of Main Mode"),
    ("identifier in Main Mode", "message 4 of Main Mode", "message 5 of Main Mode"),
    ("phase 1 key group in Aggressive Mode", None, "message 1 of Aggressive Mode")])
def test_how_far_it_came_and_with_what(case, as_initiator, as_responder):
    one, other = after(case)
    (left,), (right,) = (end.manager.overview.explain("peer", float)["negotiations"] for end in (one, other))
    assert (left["reached"], right["reached"]) == (as_initiator, as_responder)
    assert (left["ike_version"], left["outcome"], right["outcome"]) == (1, "failed", "failed")
    (offered,) = right["phase1"]["theirs"]
    assert offered["label"] == "proposal 1 transform 1" and offered["offers"].endswith(", pre-shared key")
    assert [row["offers"] for row in left["phase1"]["ours"]] == [offered["offers"]]


def test_quick_modes_are_explained_tunnel_by_tunnel():
    one, other = after("phase 2 encryption")
    (left,), (right,) = (end.manager.overview.explain("peer", float)["negotiations"] for end in (one, other))
    assert (left["outcome"], right["outcome"]) == ("established", "established")
    assert right["credential"] == "the peer's proof holds"
    (ours,), (theirs,) = left["children"], right["children"]
    assert (ours["tunnel"], theirs["tunnel"]) == ("lan", "lan")
    assert [row["offers"] for row in theirs["phase2"]["theirs"]] == ["ESP, AES-128, SHA2-256, group 14, tunnel"]
    assert [row["offers"] for row in theirs["phase2"]["ours"]] == [
        "ESP, AES-256, SHA2-256, group 14, tunnel or tunnel in UDP"]
    assert theirs["selectors"] == {"theirs": "10.2.0.0/24 <-> 10.1.0.0/24", "ours": ["10.2.0.0/24 <-> 10.1.0.0/24"]}
    assert theirs["failure"]["message"] == other.reasons[-1]
