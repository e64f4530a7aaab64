# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of rules in the documentation, and reports of findings."""

import json
from pathlib import Path

from ikeengine.vpn import report, rules
from ikeengine.vpn.rules.book import CHAPTERS

ROOT = Path(__file__).parents[5]


def test_the_documented_table_is_the_registered_rules():
    documented = (ROOT / "docs/rules.md").read_text()
    assert documented.partition("\n## ")[2] == rules.table().removeprefix("## ")


def test_every_rule_has_a_code_of_its_own_a_sentence_and_a_source():
    every = [rule for chapter in CHAPTERS for rule in chapter.rules]
    assert len({rule.code for rule in every}) == len(every) > 40
    assert all(rule.summary and rule.source for rule in every)


def test_a_text_report_has_errors_first_and_a_count(hq, findings):
    hq["gateways"][0]["credential"]["psk"] = "short"
    lines = report.text(findings()).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["error", "warning"]
    assert lines[0].endswith("[psk-differs]")
    assert lines[-1] == "1 error, 1 warning"


def test_a_report_of_nothing():
    assert report.text(()) == "0 errors, 0 warnings"
    assert json.loads(report.as_json(())) == []


def test_a_json_report_holds_every_part_of_a_finding(branch, findings):
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    (entry,) = json.loads(report.as_json(findings()))
    assert entry == {
        "code": "pfs-group-differs", "severity": "error", "where": "tunnel lan of hq<->branch", "field": "PFS "
        "key group",
        "left": "hq has group 14", "right": "branch has group 19",
        "rule": "the tunnel would come up and fail at its first rekey",
        "fix": "Set tunnels[lan].pfs.key_group of branch to 14, or tunnels[lan].pfs.key_group of hq to 19",
        "sites": ["hq", "branch"], "paths": ["tunnels[lan]", "tunnels[lan]"],
        "message": "tunnel lan of hq<->branch: PFS key group: hq has group 14, branch has group 19: the tunnel "
        "would come "
                   "up and fail at its first rekey. Set tunnels[lan].pfs.key_group of branch to 14, or "
                   "tunnels[lan].pfs.key_group of hq to 19."}
