# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ikectl explain` says of a peer: two daemons on the virtual clock, and the page that an operator reads."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from ikeengine.ike.account import Accounts
from ikeengine.vpn import explained
from ikeengine.wire.constants import ExchangeType
from ikeengine.wire.header import decode_header

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, PROPOSAL, PSK, TRANSFORM, End, branch, hq, pair

KINDS = {"ikev2": (virtual_network, {}), "main": (ikev1, {"mode": "main"}),
         "aggressive": (ikev1, {"mode": "aggressive"})}
OTHER_PSK = "quite another secret 4212"
HOUR = 1_700_000_000.0


def explanation(end: End, name: str = "peer") -> dict[str, Any]:
    """As it comes over the control socket; the virtual clock's second 1000 is `HOUR`."""
    return json.loads(json.dumps(end.manager.overview.explain(name, lambda moment: moment - 1000 + HOUR)))


def last(end: End) -> dict[str, Any]:
    return explanation(end)["negotiations"][0]


def after(left: dict[str, Any], right: dict[str, Any], seconds: float = 5.0) -> tuple[Any, End, End]:
    network, one, other = pair(hq(**left), branch(start="answer", **right))
    network.start()
    network.run(seconds)
    return network, one, other


def test_a_quick_answer_when_all_is_well():
    offered = ({**TRANSFORM, "name": "strange", "encryption": "AES-128"}, {**TRANSFORM, "name": "p2"})
    _network, one, other = after({"transforms": offered}, {})
    assert explanation(other)["summary"] == ("AES-256/SHA2-256/group 31, as responder: chosen is proposal 2 of the "
                                             "peer, the first of its 2 that has all of our transform p1")
    assert explanation(one)["summary"] == "AES-256/SHA2-256/group 31, as initiator: the peer chose our transform p2"
    page = list(explained.lines(explanation(other), HOUR + 3700))
    assert page[0].startswith("gateway peer: established since 20") and page[0].endswith("(1 h ago)")
    assert page[page.index("") + 1:] == [
        "declared: IKEv2, pre-shared key, start answer",
        "    local       198.51.100.2 as 198.51.100.2 (ip-address)",
        "    remote      192.0.2.2 as 192.0.2.2 (ip-address)",
        "    transform   p1: AES-256/SHA2-256/group 31",
        "    tunnel      lan, up: 10.2.0.0/24 <-> 10.1.0.0/24; ESP AES-GCM-128, PFS group 31"]


def test_both_offers_side_by_side_in_either_role():
    _network, one, other = after({}, {"transforms": ({**TRANSFORM, "key_group": 14},)})
    ours, theirs = (f"AES-256, PRF SHA2-256, SHA2-256, group {group}" for group in (31, 14))
    as_initiator, as_responder = last(one), last(other)
    assert as_responder["phase1"] == {"theirs": [{"label": "proposal 1", "offers": ours}],
                                      "ours": [{"label": "transform p1", "offers": theirs}],
                                      "result": "no common transform"}
    assert as_initiator["phase1"] == {"theirs": [], "ours": [{"label": "transform p1", "offers": ours}], "result": ""}
    for end, row in ((one, as_initiator), (other, as_responder)):
        assert (row["outcome"], row["reached"]) == ("failed", "IKE_SA_INIT")
        assert row["failure"]["message"] == end.reasons[0] == explanation(end)["summary"]
        assert row["failure"]["notify"] == "NO_PROPOSAL_CHOSEN"
    assert (as_responder["failure"]["field"], as_responder["failure"]["path"]) == (
        "phase 1 key group", "transforms[p1].key_group")
    assert (as_initiator["local"], as_initiator["remote"]) == ("192.0.2.2:500", "198.51.100.2:500")
    page = "\n".join(explained.lines(explanation(other), HOUR + 60))
    assert """
    failed      for what is said above (NO_PROPOSAL_CHOSEN)
    phase 1     the peer offers                                     we have
                proposal 1: AES-256, PRF SHA2-256, SHA2-256,        transform p1: AES-256, PRF SHA2-256, SHA2-256,
                  group 31                                            group 14
                no common transform""" in page


def test_identifiers_received_and_expected():
    _network, one, other = after({"identifiers": ("hq.example.net", "branch.example.net")},
                                 {"identifiers": ("headquarters.example.net", "branch.example.net")})
    assert last(other)["reached"] == "IKE_AUTH"
    assert last(other)["identifiers"] == {
        "presented": "hq.example.net (domain-name)", "expected": "headquarters.example.net (domain-name)",
        "asked": "branch.example.net (domain-name)", "ours": "branch.example.net (domain-name)"}
    assert last(one)["identifiers"]["presented"] is None  # the peer only refused


def test_which_credential_check_failed_and_no_key():
    _network, one, other = after({}, {"psk": OTHER_PSK})
    assert last(other)["credential"] == "the proof is not that of our pre-shared key"
    assert last(one)["credential"] is None
    said = json.dumps([explanation(one), explanation(other)]) + repr(one.manager.overview.explain("peer", float))
    assert PSK not in said and OTHER_PSK not in said


@pytest.mark.parametrize(("left", "right", "tunnel", "theirs", "ours"), [
    ({"proposals": ({**PROPOSAL, "encryption": "AES-GCM-256"},)}, {}, "lan",
     ["ESP, AES-GCM-256, group 31, extended sequence numbers off"],
     ["ESP, AES-GCM-128, group 31, extended sequence numbers off"]),
    ({"routes": (("10.1.0.0/24", "10.9.0.0/24"),)}, {}, None,
     ["ESP, AES-GCM-128, group 31, extended sequence numbers off"], [])])
def test_phase_2_is_explained_tunnel_by_tunnel(left, right, tunnel, theirs, ours):
    _network, one, other = after(left, right)
    assert explanation(other)["state"] == "established" == last(other)["outcome"]
    [child] = last(other)["children"]
    assert (child["tunnel"], child["role"]) == (tunnel, "responder")
    assert [[row["offers"] for row in child["phase2"][end]] for end in ("theirs", "ours")] == [theirs, ours]
    remote = left.get("routes", (("10.1.0.0/24", "10.2.0.0/24"),))[0]
    assert child["selectors"] == {"theirs": f"{remote[1]} <-> {remote[0]}", "ours": ["10.2.0.0/24 <-> 10.1.0.0/24"]}
    assert child["failure"]["message"] == other.reasons[-1]
    [child] = last(one)["children"]
    assert child["failure"]["message"] == one.reasons[-1] and child["phase2"]["theirs"] == []


def test_what_failed_is_forgotten_once_it_works():
    network, one, other = after({}, {"psk": OTHER_PSK})
    assert last(one)["outcome"] == "failed"
    other.manager.reload(branch(start="answer"), network.now)
    network.run(120)
    for end in (one, other):
        assert explanation(end)["state"] == "established" and last(end)["failure"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_attempt_beside_what_is_up_is_told_at_both_ends_until_one_succeeds(kind):
    (support, gateway), wrong = KINDS[kind], {"credential": {"method": "psk", "psk": OTHER_PSK}}
    network, *ends = pair(support.hq(gateway=gateway), support.branch(gateway=gateway, start="answer"))
    network.start()
    network.run(100)
    assert [explanation(end)["failed_attempt"] for end in ends] == [None, None]
    ends[1].manager._adopt(support.branch(gateway={**gateway, **wrong}, start="answer"))  # and proves nothing by itself
    ends[0].manager.replace("peer", network.now)
    network.run(100)
    for end, role in zip(ends, ("initiator", "responder"), strict=True):
        found = explanation(end)
        assert (found["state"], found["failed_attempt"]["role"]) == ("established", role)
        # Of Aggressive Mode only the initiator can know.
        assert ("pre-shared key" in found["failed_attempt"]["message"]) is ((kind, role) != ("aggressive", "responder"))
        page = " ".join(line.strip() for line in explained.lines(found, HOUR + 161))
        assert f"the last attempt to make it anew failed, as {role}, " in page and "(1 min ago): " in page
        assert page.count(found["failed_attempt"]["message"]) == 1 and "last negotiation" not in page
        page = " ".join(line.strip() for line in explained.lines(found, HOUR + 161, everything=True))
        assert page.count(found["failed_attempt"]["message"]) == 1 and "for what is said above" in page
    network.cut(HQ, BRANCH)
    ends[0].manager.replace("peer", network.now)
    network.run(3)
    assert last(ends[0])["outcome"] == "under way" and explanation(ends[0])["failed_attempt"] is not None
    network.mend(HQ, BRANCH)
    ends[1].manager._adopt(support.branch(gateway=gateway, start="answer"))
    network.run(100)
    assert [explanation(end)["failed_attempt"] for end in ends] == [None, None]


def test_a_rekey_after_a_failed_attempt_shows_that_all_is_well():
    network, one, _other = after({}, {}, seconds=100)
    init = ExchangeType.IKE_SA_INIT
    network.tamper = lambda datagram: None if decode_header(datagram.data).exchange == init else datagram
    one.manager.replace("peer", network.now)
    network.run(300)
    assert "silent" in explanation(one)["failed_attempt"]["message"]
    one.manager.rekey_ike("peer", network.now)
    network.run(1)
    assert explanation(one)["failed_attempt"] is None


def test_a_peer_that_is_no_gateway_is_explained_by_its_address():
    elsewhere = {"endpoints": [{"local": {"address": "198.51.100.2"}, "remote": {"address": "203.0.113.9"}}]}
    _network, _one, other = after({}, {"gateway": elsewhere}, seconds=0.5)
    [found] = other.manager.overview.explain_address(ip_address("192.0.2.2"), float)
    assert found["gateway"] is None and found["summary"] == other.reasons[0]
    assert found["negotiations"][0]["phase1"]["theirs"] == [
        {"label": "proposal 1", "offers": "AES-256, PRF SHA2-256, SHA2-256, group 31"}]
    assert other.manager.overview.explain_address(ip_address("192.0.2.77"), float) == []
    (met,) = other.manager.overview.explain_address(ip_address("203.0.113.9"), float)
    assert met["gateway"] == "peer"


def test_only_so_many_strangers_are_remembered():
    accounts, (_network, one, _other) = Accounts(), after({}, {})
    account = one.manager._accounts.of("peer")[0]
    for number in range(100):
        account.remote = type(account.remote)(ip_address("203.0.113.0") + number, 500)
        accounts.remember(account, "")
    assert len(accounts.strangers) == Accounts.MOST_STRANGERS
    assert str(list(accounts.strangers)[-1]) == "203.0.113.99"


@pytest.mark.parametrize(("start", "summary"), [
    ("answer", "it comes up when the peer asks for it"), ("traffic", "it comes up when traffic wants it")])
def test_a_gateway_that_nobody_tried_yet(start, summary):
    _network, _one, other = pair(hq(start="answer"), branch(start=start))
    assert explanation(other) | {"declared": {}} == {
        "gateway": "peer", "state": "down", "since": None, "summary": summary, "failed_attempt": None, "declared": {},
        "negotiations": []}


def test_what_failed_while_there_were_tunnels_hides_not_that_there_are_none():
    network, one, _other = after({}, {"psk": OTHER_PSK})
    one.manager.reload(replace(hq(), tunnels=()), network.now)
    assert explanation(one)["summary"] == "no tunnel is declared under it, so there is nothing to bring up"


def test_why_the_only_pair_failed_is_said_once():
    _network, one, _other = after({}, {"psk": OTHER_PSK})
    page = " ".join(line.strip() for line in explained.lines(explanation(one), HOUR))
    assert page.count("it expects another pre-shared key, or other identifiers") == 1


def test_a_gateway_that_an_operator_took_down():
    network, one, _other = after({}, {})
    one.manager.terminate("peer", network.now)
    network.run(1)
    assert explanation(one)["summary"] == "taken down by an operator, until ikectl up peer"
