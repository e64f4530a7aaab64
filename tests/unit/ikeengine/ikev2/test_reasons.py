# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two ends do not agree, each says what differs, and no secret with it."""

from __future__ import annotations

import itertools

import pytest
from ikeengine.vpn import declaration

from tests.support.virtual_network import PROPOSAL, PSK, TRANSFORM, agree, branch, hq, pair

OTHER_PSK = "quite another secret 4212"
CASES = {
    "psk": ({}, {"psk": OTHER_PSK}, "another pre-shared key: set the same one at both ends", "AUTHENTICATION_FAILED"),
    "phase 1": ({"transforms": ({**TRANSFORM, "encryption": "AES-128"},)}, {},
                "encryption: the peer offers AES-128, we have AES-256", "NO_PROPOSAL_CHOSEN"),
    "phase 1 hash": ({"transforms": ({**TRANSFORM, "authentication": "SHA1"},)}, {},
                     "authentication: the peer offers SHA1, we have SHA2-256", "NO_PROPOSAL_CHOSEN"),
    "phase 1 group": ({"transforms": ({**TRANSFORM, "key_group": 14},)}, {},
                      "key group: the peer offers group 14, we have group 31", "NO_PROPOSAL_CHOSEN"),
    "phase 2": ({"proposals": ({**PROPOSAL, "encryption": "AES-256", "authentication": "SHA2-256"},)}, {},
                "phase 2: no common transform", "check the Phase 2 proposals at both ends"),
    "routes": ({"routes": (("10.1.0.0/24", "10.9.0.0/24"),)}, {},
               "the peer proposes 10.9.0.0/24 here and 10.1.0.0/24 there; declared are 10.2.0.0/24 <-> 10.1.0.0/24",
               "check that the tunnel routes mirror each other"),
    "identifiers": ({"identifiers": ("hq.example.net", "branch.example.net")},
                    {"identifiers": ("headquarters.example.net", "branch.example.net")},
                    "sent domain-name hq.example.net for itself and domain-name branch.example.net for us; declared is "
                    "domain-name headquarters.example.net for itself", "AUTHENTICATION_FAILED"),
}


@pytest.mark.parametrize("case", CASES)
def test_both_ends_say_why(case):
    left, right, responder_says, initiator_says = CASES[case]
    network, one, other = pair(hq(**left), branch(start="answer", **right))
    network.start()
    network.run(5)
    assert not one.inbound and not other.inbound
    assert any(responder_says in reason for reason in other.reasons), other.reasons
    assert any(initiator_says in reason for reason in one.reasons), one.reasons
    everything = repr(one.events) + repr(other.events) + str(one.manager.gateways()) + str(other.manager.tunnels())
    assert PSK not in everything and OTHER_PSK not in everything


def test_different_pfs_shows_at_the_first_rekey_and_the_tunnel_goes_on():
    network, one, other = pair(hq(pfs={"enabled": True, "key_group": 14}),
                               branch(start="answer", pfs={"enabled": True, "key_group": 31}))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    one.manager.rekey_child("lan", network.now)
    network.run(3)
    assert "check the Phase 2 proposals and PFS at both ends" in one.reasons[-1]
    assert "key group: the peer offers group 14, we have group 31" in other.reasons[-1]
    agree(one, other, routes=1)


def test_the_peer_picks_its_group_from_those_offered():
    """INVALID_KE_PAYLOAD: the initiator guessed the first of its groups, the responder has only the second."""
    both = ({**TRANSFORM, "key_group": 14}, {**TRANSFORM, "name": "p1b", "key_group": 31})
    network, one, other = pair(hq(transforms=both), branch(start="answer"))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert len(network.sent) == 6  # one round trip more than without the correction
    assert one.manager.gateways()[0].ike[0].suite.endswith("group 31")


def test_an_unknown_peer_is_refused_and_counted():
    network, _one, other = pair(hq(), branch(start="answer", gateway={"endpoints": [
        {"local": {"address": "198.51.100.2"}, "remote": {"address": "203.0.113.9"}}]}))
    network.start()
    network.run(0.5)
    assert other.manager.counters["refused"] == 1
    assert "no gateway is declared, or up to answer, between 198.51.100.2 and 192.0.2.2" in other.reasons[0]


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
    assert ("phase 1: AES-256/SHA2-256/group 31 was chosen before the peer 192.0.2.2:500 said which of to-hq, to-other "
            "it is, and to-hq does not have it: give them the same transforms") in other.reasons
    assert not any("identifiers" in reason for reason in other.reasons)


def test_a_failed_negotiation_is_tried_again_ever_more_seldom():
    network, _one, _other = pair(hq(psk=OTHER_PSK), branch(start="answer"))
    network.start()
    network.run(600)
    begun = [time for time, datagram in network.sent
             if datagram.data[18] == 34 and str(datagram.local.address) == "192.0.2.2"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert 10 <= len(begun) <= 20
    assert pauses[0] < 2 and 45 <= pauses[-1] <= 75
