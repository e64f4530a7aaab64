# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts and verdicts."""

import copy

from ikeengine.vpn.report import Judgement

from .conftest import judged


def test_two_ends_that_agree(judgement):
    assert judgement().counts == {"sites": 2, "gateways": 1, "tunnels": 1, "agreeing": 1, "errors": 0, "warnings": 0}
    assert [verdict.as_dict() for verdict in judgement().tunnels] == [
        {"left": "hq", "right": "branch", "tunnel": "lan", "agrees": True}]
    assert judgement().scope == "2 sites, 1 gateway and 1 tunnel were held against each other"


def test_a_tunnel_that_differs_leaves_the_others_of_its_gateway_alone(hq, branch, judgement):
    for site, local, remote in ((hq, "10.1.1.0/24", "10.2.1.0/24"), (branch, "10.2.1.0/24", "10.1.1.0/24")):
        site["tunnels"].append(copy.deepcopy(site["tunnels"][0])
                               | {"name": "dmz", "routes": [{"local": local, "remote": remote}]})
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    assert [(verdict.tunnel, verdict.agrees) for verdict in judgement().tunnels] == [("lan", False), ("dmz", True)]


def test_a_gateway_that_differs_takes_all_its_tunnels_with_it(branch, judgement):
    branch["gateways"][0]["credential"]["psk"] = "another key of twenty and more"
    assert [verdict.agrees for verdict in judgement().tunnels] == [False]


def test_a_tunnel_of_one_end_alone_disagrees_and_no_other(hq, judgement):
    hq["tunnels"].append({"name": "dmz", "gateway": "branch", "routes": [{"local": "10.9.0.0/24",
                                                                         "remote": "10.8.0.0/24"}]})
    assert {verdict.tunnel: verdict.agrees for verdict in judgement().tunnels} == {"lan": True, "dmz": False}


def test_two_tunnels_that_are_in_each_others_way_disagree_and_no_other(hq, branch, judgement):
    for name, net in (("again", 0), ("dmz", 9)):
        for site, local, remote in ((hq, f"10.1.{net}.0/24", f"10.2.{net}.0/24"),
                                    (branch, f"10.2.{net}.0/24", f"10.1.{net}.0/24")):
            site["tunnels"].append(copy.deepcopy(site["tunnels"][0])
                                   | {"name": name, "routes": [{"local": local, "remote": remote}]})
    assert {verdict.tunnel: verdict.agrees for verdict in judgement().tunnels} == {
        "lan": False, "again": False, "dmz": True}


def test_warnings_leave_a_tunnel_in_agreement(hq, branch, judgement):
    hq["tunnels"][0]["pfs"] = branch["tunnels"][0]["pfs"] = {"enabled": False}
    assert judgement().counts | {"sites": 0} == {"sites": 0, "gateways": 1, "tunnels": 1, "agreeing": 1, "errors": 0,
                                                 "warnings": 2}


def test_errors_come_first_and_the_order_of_the_sites_does_not_matter(hq, branch):
    branch["gateways"][0]["credential"]["psk"] = "short"
    hq["tunnels"][0]["pfs"] = {"key_group": 19}
    forth, back = judged(hq, branch), judged(branch, hq)
    assert [finding.severity.value for finding in forth.findings] == ["error", "error", "warning"]
    assert [finding.code for finding in forth.findings] == [finding.code for finding in back.findings]


def test_what_cannot_be_read_is_compared_with_nothing(hq):
    unread = Judgement((), 2, None)
    assert unread.scope == "A declaration cannot be read, so nothing was held against each other"
    assert unread.counts["tunnels"] == 0
