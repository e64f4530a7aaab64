# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two ends do not agree, each says what differs, and no secret with it."""

from __future__ import annotations

import itertools

import pytest
from ikeengine.ike.refusal import Refusal
from ikeengine.ikev2 import rekey_ike
from ikeengine.vpn import declaration, rules
from ikeengine.wire.constants import NotifyType

from tests.support.virtual_network import PROPOSAL, PSK, TRANSFORM, agree, branch, hq, pair

OTHER_PSK = "quite another secret 4212"
KNOWS = "its log names what differs, and so does ikectl explain where it is ikeengine."
LOOK_AT_TRANSFORMS = (": it has no transform like these, or its gateway for us is taken down or not declared between "
                      "these addresses. Hold gateways[peer].transforms and gateways[peer].endpoints against the "
                      "peer's: " + KNOWS)
ANSWERED = "the peer 198.51.100.2 answered"
NEAREST = "no common transform; proposal 1 of the peer and our transform p1 are nearest."
NEAREST_PROPOSAL = "no common proposal; proposal 1 of the peer and our proposal p2 are nearest."


def transforms(*changes):
    return {"transforms": tuple({**TRANSFORM, "name": f"p{number}" if number > 1 else "p1", **change}
                                for number, change in enumerate(changes, 1))}


def proposals(**changes):
    return {"proposals": ({**PROPOSAL, **changes},)}


def identifiers(hq_is, branch_is):
    return {"identifiers": (hq_is, branch_is)}


def phase1(offered):
    return f"gateway peer: phase 1 transform: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered {offered}{LOOK_AT_TRANSFORMS}"


def phase2(offered):
    return (f"tunnel lan of peer: phase 2 proposal: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered {offered}: it has no "
            f"proposal like these. Hold tunnels[lan].proposals against the peer's: {KNOWS}")


def refused(present, expect):
    return (f"gateway peer: credential or phase 1 identifier: {ANSWERED} AUTHENTICATION_FAILED, we present {present} "
            f"and expect {expect}: it expects another pre-shared key, or other identifiers. Hold "
            f"gateways[peer].credential and the identifiers of gateways[peer].endpoints[0] against the peer's: {KNOWS}")


# What the initiator has, what the responder has; what the initiator says, what the responder says.
CASES = {
    "psk": (
        {}, {"psk": OTHER_PSK}, refused("192.0.2.2 (ip-address)", "198.51.100.2 (ip-address)"),
        "gateway peer: credential: the peer 192.0.2.2 has one pre-shared key, we have another: the keys must be equal, "
        "so the answer is AUTHENTICATION_FAILED. Set the same psk in gateways[peer].credential and at the peer."),
    "phase 1 encryption": (
        transforms({"encryption": "AES-128"}), {}, phase1("AES-128/SHA2-256/group 31"),
        f"gateway peer: phase 1 encryption: the peer 192.0.2.2 offers AES-128, we have AES-256: {NEAREST} Set "
        "transforms[p1].encryption to AES-128, or have the peer offer AES-256."),
    "an AEAD has no integrity algorithm, and that is no difference of its own": (
        transforms({"encryption": "AES-GCM-256"}), {}, phase1("AES-GCM-256/SHA2-256/group 31"),
        f"gateway peer: phase 1 encryption: the peer 192.0.2.2 offers AES-GCM-256, we have AES-256: {NEAREST} Set "
        "transforms[p1].encryption to AES-GCM-256, or have the peer offer AES-256."),
    "what is weak is not recommended": (
        transforms({"authentication": "SHA1"}), {}, phase1("AES-256/SHA1/group 31"),
        f"gateway peer: phase 1 authentication: the peer 192.0.2.2 offers SHA1, we have SHA2-256: {NEAREST} Have the "
        "peer offer SHA2-256."),
    "what is weak is to go": (
        {}, transforms({"authentication": "SHA1"}), phase1("AES-256/SHA2-256/group 31"),
        f"gateway peer: phase 1 authentication: the peer 192.0.2.2 offers SHA2-256, we have SHA1: {NEAREST} Set "
        "transforms[p1].authentication to SHA2-256."),
    "an AEAD's hash is its PRF": (
        transforms({"encryption": "AES-GCM-256", "authentication": "SHA2-384"}),
        transforms({"encryption": "AES-GCM-256"}), phase1("AES-GCM-256/SHA2-384/group 31"),
        f"gateway peer: phase 1 authentication: the peer 192.0.2.2 offers SHA2-384, we have SHA2-256: {NEAREST} Set "
        "transforms[p1].authentication to SHA2-384, or have the peer offer SHA2-256."),
    "phase 1 key group": (
        transforms({"key_group": 14}), {}, phase1("AES-256/SHA2-256/group 14"),
        f"gateway peer: phase 1 key group: the peer 192.0.2.2 offers group 14, we have group 31: {NEAREST} Set "
        "transforms[p1].key_group to 14, or have the peer offer group 31."),
    "several members": (
        transforms({"key_group": 14, "encryption": "AES-128"}), {}, phase1("AES-128/SHA2-256/group 14"),
        "gateway peer: phase 1 encryption and key group: the peer 192.0.2.2 offers AES-128 and group 14, we have "
        f"AES-256 and group 31: {NEAREST} Set encryption to AES-128 and key_group to 14 in transforms[p1], or have the "
        "peer offer AES-256 and group 31."),
    "the nearest of several": (
        transforms({"key_group": 14, "encryption": "AES-128", "authentication": "SHA2-512"}, {"encryption": "AES-192"}),
        transforms({"key_group": 19, "authentication": "SHA1"}, {}),
        phase1("AES-128/SHA2-512/group 14 or AES-192/SHA2-256/group 31"),
        "gateway peer: phase 1 encryption: the peer 192.0.2.2 offers AES-192, we have AES-256: no common transform; "
        "proposal 2 of the peer and our transform p2 are nearest. Set transforms[p2].encryption to AES-192, or have "
        "the peer offer AES-256."),
    "phase 2 encryption": (
        proposals(encryption="AES-GCM-256"), {}, phase2("ESP AES-GCM-256"),
        "tunnel lan of peer: phase 2 encryption: the peer 192.0.2.2 offers AES-GCM-256, we have AES-GCM-128: "
        f"{NEAREST_PROPOSAL} Set proposals[p2].encryption to AES-GCM-256, or have the peer offer AES-GCM-128."),
    "phase 2 encryption and authentication": (
        proposals(encryption="AES-256", authentication="SHA2-256"), {}, phase2("ESP AES-256/SHA2-256"),
        "tunnel lan of peer: phase 2 encryption and authentication: the peer 192.0.2.2 offers AES-256 and SHA2-256, we "
        f"have AES-GCM-128 and no authentication: {NEAREST_PROPOSAL} Set encryption to AES-256 and authentication to "
        "SHA2-256 in proposals[p2], or have the peer offer AES-GCM-128 and no authentication."),
    "the other way round": (
        {}, proposals(encryption="AES-256", authentication="SHA2-256"), phase2("ESP AES-GCM-128"),
        "tunnel lan of peer: phase 2 encryption and authentication: the peer 192.0.2.2 offers AES-GCM-128 and no "
        f"authentication, we have AES-256 and SHA2-256: {NEAREST_PROPOSAL} Set encryption to AES-GCM-128 and remove "
        "authentication in proposals[p2], or have the peer offer AES-256 and SHA2-256."),
    "phase 2 authentication": (
        proposals(encryption="AES-256", authentication="SHA2-512"),
        proposals(encryption="AES-256", authentication="SHA2-256"), phase2("ESP AES-256/SHA2-512"),
        "tunnel lan of peer: phase 2 authentication: the peer 192.0.2.2 offers SHA2-512, we have SHA2-256: "
        f"{NEAREST_PROPOSAL} Set proposals[p2].authentication to SHA2-512, or have the peer offer SHA2-256."),
    "tunnel route": (
        {"routes": (("10.1.0.0/24", "10.9.0.0/24"),)}, {},
        f"tunnel lan of peer: tunnel route: {ANSWERED} TS_UNACCEPTABLE, we proposed 10.1.0.0/24 <-> 10.9.0.0/24: it "
        "has no mirror of that. Add {local: 10.9.0.0/24, remote: 10.1.0.0/24} to the routes at the peer, or remove "
        "{local: 10.1.0.0/24, remote: 10.9.0.0/24} from tunnels[lan].routes.",
        "gateway peer: tunnel route: the peer 192.0.2.2 proposes 10.9.0.0/24 <-> 10.1.0.0/24, we have 10.2.0.0/24 <-> "
        "10.1.0.0/24: no traffic is common to both, so the answer is TS_UNACCEPTABLE. Add {local: 10.9.0.0/24, remote: "
        "10.1.0.0/24} to tunnels[lan].routes, or have the peer propose {local: 10.1.0.0/24, remote: 10.2.0.0/24}."),
    "what the peer presents": (
        identifiers("hq.example.net", "branch.example.net"),
        identifiers("headquarters.example.net", "branch.example.net"),
        refused("hq.example.net (domain-name)", "branch.example.net (domain-name)"),
        "gateway peer: phase 1 identifier: the peer 192.0.2.2 presents hq.example.net (domain-name), we expect "
        "headquarters.example.net (domain-name): they do not mirror, so the answer is AUTHENTICATION_FAILED. Set "
        "gateways[peer].endpoints[0].remote.identifier to {type: domain-name, value: hq.example.net}, or have the peer "
        "present {type: domain-name, value: headquarters.example.net}."),
    "what the peer presents is of another type": (
        {}, identifiers("hq.example.net", "branch.example.net"),
        refused("192.0.2.2 (ip-address)", "198.51.100.2 (ip-address)"),
        "gateway peer: phase 1 identifier: the peer 192.0.2.2 presents 192.0.2.2 (ip-address), we expect "
        "hq.example.net (domain-name): they do not mirror, so the answer is AUTHENTICATION_FAILED. Set "
        "gateways[peer].endpoints[0].remote.identifier to {type: ip-address, value: 192.0.2.2}, or have the peer "
        "present {type: domain-name, value: hq.example.net}."),
    "what the peer expects": (
        identifiers("hq.example.net", "branch.example.net"), identifiers("hq.example.net", "filiale.example.net"),
        refused("hq.example.net (domain-name)", "branch.example.net (domain-name)"),
        "gateway peer: phase 1 identifier: the peer 192.0.2.2 expects branch.example.net (domain-name), we present "
        "filiale.example.net (domain-name): they do not mirror, so the answer is AUTHENTICATION_FAILED. Set "
        "gateways[peer].endpoints[0].local.identifier to {type: domain-name, value: branch.example.net}, or have the "
        "peer expect {type: domain-name, value: filiale.example.net}."),
}


@pytest.mark.parametrize("case", CASES)
def test_both_ends_say_why(case):
    left, right, initiator_says, responder_says = CASES[case]
    network, one, other = pair(hq(**left), branch(start="answer", **right))
    network.start()
    network.run(5)
    assert not one.inbound and not other.inbound
    assert one.reasons[0] == initiator_says
    assert other.reasons[0] == responder_says
    everything = (repr(one.events) + repr(other.events) + str(one.manager.overview.gateways())
                  + str(other.manager.overview.tunnels()))
    assert PSK not in everything and OTHER_PSK not in everything


@pytest.mark.parametrize(("case", "code"), [
    ("psk", "psk-differs"), ("phase 1 encryption", "phase1-no-common-transform"),
    ("an AEAD's hash is its PRF", "phase1-no-common-transform"), ("several members", "phase1-no-common-transform"),
    ("the nearest of several", "phase1-no-common-transform"),
    ("phase 2 encryption and authentication", "phase2-no-common-proposal"),
    ("phase 2 authentication", "phase2-no-common-proposal"), ("tunnel route", "route-missing-mirror"),
    ("what the peer presents", "identity-does-not-mirror"), ("what the peer expects", "identity-does-not-mirror")])
def test_the_responder_calls_the_field_as_validation_does(case, code):
    left, right, _initiator_says, responder_says = CASES[case]
    found = rules.validate([hq(**left), branch(start="answer", **right)]).findings
    assert {finding.field for finding in found if finding.code == code} == {responder_says.split(": ")[1]}


def test_proposals_of_a_tunnel_that_the_peer_may_not_mean_are_told_with_the_route():
    """An interface of the peer's proposes everything, and a tunnel of ours has a part of everything."""
    network, _one, other = pair(hq(routes=(("0.0.0.0/0", "0.0.0.0/0"),)),
                                branch(start="answer", **proposals(encryption="AES-GCM-256")))
    network.start()
    network.run(1)
    assert other.reasons[0].startswith("tunnel lan of peer: phase 2 encryption: the peer 192.0.2.2 offers AES-GCM-128")
    assert ("; and the tunnel route that the peer proposes, 0.0.0.0/0 <-> 0.0.0.0/0, is only in part one of tunnel "
            "lan. Set ") in other.reasons[0]


def test_different_pfs_shows_at_the_first_rekey_and_the_tunnel_goes_on():
    network, one, other = pair(hq(pfs={"enabled": True, "key_group": 14}),
                               branch(start="answer", pfs={"enabled": True, "key_group": 31}))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    one.manager.rekey_child("lan", network.now)
    network.run(3)
    assert one.reasons[-1] == (
        f"tunnel lan of peer: phase 2 proposal or PFS: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered ESP AES-GCM-128, PFS "
        "group 14: it has no proposal like these with that PFS. Hold tunnels[lan].proposals and tunnels[lan].pfs "
        f"against the peer's: {KNOWS}")
    assert other.reasons[-1] == (
        "tunnel lan of peer: PFS key group: the peer 192.0.2.2 has group 14, we have group 31: both ends need the "
        "same. Set tunnels[lan].pfs.key_group to 14, or have the peer offer group 31.")
    agree(one, other, routes=1)


@pytest.mark.parametrize(("ours", "theirs", "sentence"), [
    ({"enabled": True, "key_group": 14}, {"enabled": False},
     "tunnel lan of peer: PFS: the peer 192.0.2.2 has it on, we have it off: PFS is on at both ends or at none. Set "
     "tunnels[lan].pfs to {enabled: true, key_group: 14}, or have the peer use no PFS."),
    ({"enabled": False}, {"enabled": True, "key_group": 14},
     "tunnel lan of peer: PFS: the peer 192.0.2.2 has it off, we have it on: PFS is on at both ends or at none. Have "
     "the peer use PFS with group 14.")])
def test_pfs_at_one_end_only(ours, theirs, sentence):
    network, one, other = pair(hq(pfs=ours), branch(start="answer", pfs=theirs))
    network.start()
    network.run(1)
    one.manager.rekey_child("lan", network.now)
    network.run(3)
    assert other.reasons[-1] == sentence


def test_the_peer_picks_its_group_from_those_offered():
    """INVALID_KE_PAYLOAD: the initiator guessed the first of its groups, the responder has only the second."""
    both = ({**TRANSFORM, "key_group": 14}, {**TRANSFORM, "name": "p1b", "key_group": 31})
    network, one, other = pair(hq(transforms=both), branch(start="answer"))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert len(network.sent) == 6  # one round trip more than without the correction
    assert one.manager.overview.gateways()[0].ike[0].suite.endswith("group 31")


def test_an_unknown_peer_is_refused_and_counted():
    network, _one, other = pair(hq(), branch(start="answer", gateway={"endpoints": [
        {"local": {"address": "198.51.100.2"}, "remote": {"address": "203.0.113.9"}}]}))
    network.start()
    network.run(0.5)
    assert other.manager.counters["refused"] == 1
    assert other.reasons[0] == (
        "peer 192.0.2.2: endpoint address: the peer 192.0.2.2 asks for 198.51.100.2, we expect nobody there: no "
        "gateway is declared, or up to answer, between these addresses. Declare one with endpoints {local: {address: "
        "198.51.100.2}, remote: {address: 192.0.2.2}}, or bring up the one that was taken down.")


def test_a_peer_that_its_operator_took_down_is_named_beside_a_mismatch():
    network, one, other = pair(hq(), branch(start="answer"))
    other.manager.terminate("peer", network.now)
    network.start()
    network.run(0.5)
    assert one.reasons[0] == phase1("AES-256/SHA2-256/group 31")
    assert other.reasons[0].endswith(", or bring up the one that was taken down.")


def test_a_refused_rekey_is_of_a_gateway_that_the_peer_has(monkeypatch):
    def refuse(_session):
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, "not these")

    network, one, _other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    monkeypatch.setattr(rekey_ike, "_check_time", refuse)
    one.manager.rekey_ike("peer", network.now)
    network.run(1)
    assert one.reasons[0] == (
        f"rekey of gateway peer: phase 1 transform: {ANSWERED} NO_PROPOSAL_CHOSEN, we offered "
        f"AES-256/SHA2-256/group 31: it has no transform like these. Hold gateways[peer].transforms against the "
        f"peer's: {KNOWS}")


def test_a_suite_that_only_another_gateway_between_the_same_addresses_has():
    """IKE_SA_INIT chooses before the peer says who it is; the identifiers are not what is wrong."""
    def between(left: str, right: str, transform: str) -> dict[str, object]:
        names = [{"identifier": {"type": "domain-name", "value": f"{name}.example.net"}} for name in (left, right)]
        return {"name": f"to-{right}", "credential": {"method": "psk", "psk": PSK}, "transforms": [transform],
                "endpoints": [{"local": {"address": "198.51.100.2", **names[0]},
                               "remote": {"address": "192.0.2.2", **names[1]}}]}

    right = declaration.read({
        "site": {"name": "branch"}, "transforms": [TRANSFORM, {**TRANSFORM, "name": "old", "encryption": "AES-128"}],
        "gateways": [between("branch", "hq", "old"), between("branch", "other", "p1")]})
    network, _one, other = pair(hq(identifiers=("hq.example.net", "branch.example.net"), transforms=(
        TRANSFORM, {**TRANSFORM, "name": "old", "encryption": "AES-128"})), right)
    network.start()
    network.run(0.5)
    assert other.reasons[0] == (
        "peer 192.0.2.2: phase 1 transform: the peer 192.0.2.2 has AES-256/SHA2-256/group 31, we do not have it for "
        "to-hq: it was chosen before the peer said which of to-hq, to-other it is. Give these gateways the same "
        "transforms as gateways[to-hq].transforms.")


def test_a_failed_negotiation_is_tried_again_ever_more_seldom():
    network, _one, _other = pair(hq(psk=OTHER_PSK), branch(start="answer"))
    network.start()
    network.run(600)
    begun = [time for time, datagram in network.sent
             if datagram.data[18] == 34 and str(datagram.local.address) == "192.0.2.2"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert 10 <= len(begun) <= 20
    assert pauses[0] < 2 and 45 <= pauses[-1] <= 75
