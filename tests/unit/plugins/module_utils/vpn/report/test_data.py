# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for programs."""

import json

from ikeengine.vpn.report import Judgement, Position, render


def test_it_holds_every_part_of_a_finding(branch, judgement):
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    report = json.loads(render("json", judgement(), lambda site, path: {"hq": Position("hq.yml", 3, 5)}.get(site)))
    assert report["summary"] == {"sites": 2, "gateways": 1, "tunnels": 1, "agreeing": 0, "errors": 1, "warnings": 0}
    assert report["tunnels"] == [{"left": "hq", "right": "branch", "tunnel": "lan", "agrees": False}]
    fix = "Set tunnels[lan].pfs.key_group of branch to 14, or tunnels[lan].pfs.key_group of hq to 19"
    assert report["findings"] == [{
        "code": "pfs-group-differs", "severity": "error", "where": "tunnel lan of hq<->branch",
        "field": "PFS key group", "left": "hq has group 14", "right": "branch has group 19",
        "left_path": "tunnels[lan].pfs.key_group", "right_path": "tunnels[lan].pfs.key_group",
        "source": "WatchGuard, About IPSec VPN Negotiations; RFC 7296 §1.2",
        "rule": "the tunnel would come up and fail at its first rekey", "fix": fix,
        "sites": ["hq", "branch"], "paths": ["tunnels[lan].pfs.key_group"] * 2,
        "positions": [{"file": "hq.yml", "line": 3, "column": 5}, None],
        "message": "tunnel lan of hq<->branch: PFS key group: hq has group 14, branch has group 19: the tunnel would "
                   f"come up and fail at its first rekey. {fix}."}]


def test_a_report_of_nothing():
    assert json.loads(render("json", Judgement((), 0, ())))["findings"] == []


def test_a_huge_fleet_is_cut_and_the_summary_counts_all(huge):
    report = json.loads(render("json", huge))
    assert len(report["findings"]) == 10_000
    assert report["findings"][0]["code"] == "psk-differs"
    assert (report["summary"]["errors"], report["summary"]["warnings"]) == (1, 499_499)
