# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports inside an expression."""

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tandem.vpn.plugins.filter.ipsec_report import ipsec_report


def test_each_format_says_that_one_end_is_alone(declared):
    reports = {form: ipsec_report({"hq": declared}, form) for form in ("text", "json", "markdown", "sarif")}
    assert all("far-end-declared-nowhere" in report for report in reports.values())
    assert ipsec_report({"hq": declared}) == reports["text"]
    assert json.loads(reports["json"])["summary"] == {"sites": 1, "gateways": 0, "tunnels": 0, "agreeing": 0,
                                                      "errors": 0, "warnings": 1}


def test_another_format_and_another_input_are_refused_by_name(declared):
    with pytest.raises(AnsibleFilterError, match="format is 'html': it is none of text, json, markdown, sarif"):
        ipsec_report({"hq": declared}, "html")
    with pytest.raises(AnsibleFilterError, match="mapping of declarations"):
        ipsec_report("text")
