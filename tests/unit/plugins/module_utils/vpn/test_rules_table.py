# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of rules in the documentation, and where findings stand."""

from pathlib import Path

from ikeengine.vpn import declaration, rules
from ikeengine.vpn.rules.book import CHAPTERS

ROOT = Path(__file__).parents[5]


def test_the_documented_table_is_the_registered_rules():
    documented = (ROOT / "docs/rules.md").read_text()
    assert documented.partition("\n## ")[2] == rules.table().removeprefix("## ")


def test_every_rule_has_a_code_of_its_own_a_sentence_and_a_source():
    every = [rule for chapter in CHAPTERS for rule in chapter.rules]
    assert len({rule.code for rule in every}) == len(every) > 40
    assert all(rule.summary and rule.source for rule in every)


def test_a_rules_member_is_a_field_of_the_language():
    fields = {*declaration.GATEWAY, *declaration.TUNNEL, "site", "transforms", "proposals", "gateways", "tunnels"}
    members = {rule.member.partition(".")[0] for chapter in CHAPTERS for rule in chapter.rules}
    assert members - fields <= {""}


def test_every_finding_between_two_ends_has_a_path_at_each(branch, findings):
    branch["transforms"][0]["encryption"] = "AES-128"
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    assert {finding.code: dict(zip(finding.sites, finding.paths, strict=True)) for finding in findings()} == {
        "phase1-no-common-transform": {"hq": "gateways[branch].transforms", "branch": "gateways[hq].transforms"},
        "pfs-group-differs": {"hq": "tunnels[lan].pfs.key_group", "branch": "tunnels[lan].pfs.key_group"}}
