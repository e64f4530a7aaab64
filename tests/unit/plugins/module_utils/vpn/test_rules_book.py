# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the book: what breaks it, what an operator then reads, and what only nearly breaks it."""

from itertools import chain

import pytest
from ikeengine.vpn.rules.book import CERTIFICATES, CHAPTERS, HOST, LIBRARY

from tests.unit.plugins.module_utils.vpn.rule_cases import (
    both_gateways,
    both_tunnels,
    one_gateway,
    one_machine,
    one_tunnel,
    ppk,
    sites,
)
from tests.unit.plugins.module_utils.vpn.rule_cases.case import KEY, Case, found, found_after_clean_ones

CASES: tuple[Case, ...] = tuple(chain.from_iterable(
    chapter.CASES for chapter in (one_gateway, one_tunnel, one_machine, both_gateways, both_tunnels, ppk, sites)))
RULES = {rule.code: rule for chapter in CHAPTERS if chapter not in (HOST, LIBRARY, CERTIFICATES)
         for rule in chapter.rules}
"""What a host says that it can do, and what certificates say, is not declared in words of ours: test_rules_one_host,
test_daemon_declared and test_daemon_certificates have these chapters."""


def named(case: Case) -> str:
    return f"{case.code}: {', '.join(case.bends)}"


def test_every_rule_has_a_case_and_a_near_miss():
    assert {case.code for case in CASES} == set(RULES)
    assert all(case.near for case in CASES)


def test_the_plain_sites_break_no_rule():
    assert found({}) == found_after_clean_ones({}) == ()


@pytest.mark.parametrize("case", CASES, ids=named)
def test_it_is_found_and_says_what_where_why_and_how_to_mend_it(case):
    findings = [finding for finding in found(case.bends) if finding.code == case.code]
    finding = next((finding for finding in findings if finding.message == case.message), None)
    assert finding, [finding.message for finding in findings]
    rule = RULES[case.code]
    assert (finding.left_path, finding.right_path) == (case.left_path, case.right_path)
    assert (finding.severity, finding.source) == (rule.severity, rule.source)
    assert finding.left and finding.left in finding.message and finding.right in finding.message
    assert finding.as_dict() | {"left_path": case.left_path, "right_path": case.right_path,
                                "source": rule.source} == finding.as_dict()
    assert KEY not in str(finding.as_dict())


@pytest.mark.parametrize("case", CASES, ids=named)
def test_it_is_found_beside_others_that_are_alike_and_clean(case):
    assert case.message in [finding.message for finding in found_after_clean_ones(case.bends)]


@pytest.mark.parametrize(("case", "bends"), [(case, bends) for case in CASES for bends in case.near],
                         ids=lambda part: named(part) if isinstance(part, Case) else ", ".join(part))
def test_a_near_miss_is_not_found(case, bends):
    where = case.message.partition(": ")[0]
    assert [finding.message for finding in found(bends) if finding.code == case.code and finding.where == where] == []
