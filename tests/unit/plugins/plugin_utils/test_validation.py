# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns of a judgement, and the files it writes."""

import copy
import os
from pathlib import Path

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.findings import Finding, Severity
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.report import Judgement, render
from ansible_collections.tandem.vpn.plugins.plugin_utils import validation
from ansible_collections.tandem.vpn.plugins.plugin_utils.origins import Origins


def test_nothing_is_compared_where_one_side_cannot_be_read(declared):
    broken = copy.deepcopy(declared) | {"site": {"name": "other"}, "tunnels": [{"name": "lan"}]}
    judgement = validation.judge({"hq": declared, "other": broken})
    assert not judgement.compared
    assert {finding.code for finding in judgement.findings} == {"declaration-missing-field"}
    assert validation.as_result(judgement)["summary"]["sites"] == 2


def test_hosts_that_yaml_takes_for_numbers_are_named_like_others(declared):
    broken = validation.judge({"hq": 5, 5: {"site": []}})
    assert [finding.sites for finding in broken.findings] == [("5",), ("hq",)]
    assert render("sarif", broken, Origins({5: {"site": []}}).locate)
    assert validation.judge({5: declared | {"site": {}}}).findings[0].sites[0] == "5"


@pytest.mark.parametrize(("severity", "kept"), [(Severity.ERROR, 1000), (Severity.WARNING, 101)])
def test_a_result_is_cut_and_the_summary_counts_all(severity, kept):
    finding = Finding("pfs-off", severity, "PFS", "it is off", "", "rule", "Fix", "tunnel a/b", ("a",), ("tunnels[b]",))
    result = validation.as_result(Judgement([finding] * 5000, 1, ()))
    name = f"{severity.value}s"
    assert (result["summary"][name], len(result[name]), len(result["findings"])) == (5000, kept, 1000)


def test_few_sentences_are_printed_and_the_rest_is_counted():
    assert validation.sentences(["a"] * 100, "error") == ["a"] * 100
    assert validation.sentences(["a"] * 101, "error")[100:] == ["1 more error; a report has more of them."]


def test_a_report_is_written_once_and_in_its_folder(tmp_path: Path):
    target = tmp_path / "reports" / "ipsec.md"
    assert validation.write(target, "first", check_mode=True)
    assert not target.parent.exists()
    assert validation.write(target, "first")
    assert not validation.write(target, "first")
    assert validation.write(target, "second\udc80")
    assert (target.read_text(), os.listdir(target.parent)) == ("second\\udc80", ["ipsec.md"])
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    target = tmp_path / "ipsec.md"
    target.mkdir()
    with pytest.raises(OSError):
        validation.write(target, "text")
    assert os.listdir(tmp_path) == ["ipsec.md"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
