# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation in a pipeline: no host can be reached, and the reports say where in the inventory what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.testbed import CHECKOUT

from .conftest import MARKER, Site
from .examples import snippets

FORMATS = {"text": "ipsec.txt", "json": "ipsec.json", "markdown": "ipsec.md", "sarif": "ipsec.sarif"}
REPORTS = [{"format": form, "path": f"reports/{name}"} for form, name in FORMATS.items()]


def other_identity(hq, branch):
    branch["ipsec_gateways"][0]["endpoints"][0]["local"]["identifier"]["value"] = "other.example.net"


def weak(hq, branch):
    for side in (hq, branch):
        side["ipsec_tunnels"][0]["pfs"] = {"enabled": False}


@pytest.fixture
def unreachable(tmp_path: Path, collections: Path) -> Site:
    """Two hosts that nothing may touch, in a checkout."""
    site = Site(tmp_path / "site", collections, None)
    (site.folder / ".git").mkdir()
    return site


def files(site: Site) -> dict[str, str]:
    return {form: (site.folder / "reports" / name).read_text() for form, name in FORMATS.items()}


def line_of(site: Site, host: str, pattern: str) -> int:
    lines = (site.folder / "host_vars" / f"{host}.yml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if re.search(pattern, line))


def test_two_sides_that_fit_are_reported_once_and_the_second_run_changes_nothing(unreachable: Site):
    first = unreachable.task("ipsec_validate", {"reports": REPORTS})
    assert (first.returncode, "changed=1" in first.stdout) == (0, True), first.stdout
    reports = files(unreachable)
    assert "✅ the ends agree" in reports["markdown"]
    assert json.loads(reports["json"])["summary"] == {"sites": 2, "gateways": 1, "tunnels": 1, "agreeing": 1,
                                                      "errors": 0, "warnings": 0}
    second = unreachable.task("ipsec_validate", {"reports": REPORTS})
    assert (second.returncode, "changed=0" in second.stdout) == (0, True), second.stdout
    assert files(unreachable) == reports


def test_what_is_wrong_fails_the_task_and_stands_at_its_lines(unreachable: Site):
    unreachable.edit(other_identity)
    done = unreachable.task("ipsec_validate", {"reports": REPORTS})
    assert done.returncode == 2
    assert "no host was touched" in done.stdout
    assert "/no/host/may/be/touched" not in done.stdout
    reports = files(unreachable)
    (run,) = json.loads(reports["sarif"])["runs"]
    places = {(place["artifactLocation"]["uri"], place["region"]["startLine"])
              for result in run["results"] for location in (*result["locations"], *result.get("relatedLocations", []))
              for place in [location["physicalLocation"]]}
    assert places == {(f"host_vars/{host}.yml", line_of(unreachable, host, "^ +endpoints:"))
                      for host in ("hq", "branch")}
    for report in reports.values():
        assert "other.example.net" in report
        assert MARKER not in report


def test_check_mode_judges_and_writes_nothing(unreachable: Site):
    unreachable.edit(other_identity)
    done = unreachable.task("ipsec_validate", {"reports": REPORTS}, "--check", "--diff")
    assert done.returncode == 2
    assert "other.example.net" in done.stdout
    assert not (unreachable.folder / "reports").exists()


def test_findings_are_returned_where_they_do_not_fail_the_task(unreachable: Site):
    unreachable.edit(weak)
    done = unreachable.task("ipsec_validate", {"fail_on_findings": True}, "-v")
    assert done.returncode == 0
    counts = {"agreeing": 1, "errors": 0, "gateways": 1, "sites": 2, "tunnels": 1, "warnings": 2}
    assert f'"summary": {json.dumps(counts)}' in done.stdout
    assert '"tunnels": [{"agrees": true, "left": "hq", "right": "branch", "tunnel": "lan"}]' in done.stdout
    unreachable.edit(other_identity)
    done = unreachable.task("ipsec_validate", {"fail_on_findings": False}, "-v")
    assert (done.returncode, '"agrees": false' in done.stdout) == (0, True)


@pytest.mark.parametrize(("report", "words"), [
    ({"format": "html", "path": "x"}, "reports[0].format is 'html': it is none of text, json, markdown, sarif."),
    ({"format": "text"}, "reports[0].path is missing: this field is required."),
    ({"format": "text", "path": "/proc/ipsec.txt"}, "reports[0].path /proc/ipsec.txt cannot be written: "),
])
def test_a_report_that_cannot_be_is_refused_by_name(report, words, unreachable: Site):
    done = unreachable.task("ipsec_validate", {"reports": [report]})
    assert done.returncode == 2
    assert words in done.stdout + done.stderr


def test_what_a_fleet_has_wrong_stands_at_the_fleets_lines(unreachable: Site):
    """An error of the definition at its field; what it makes of a site at that site."""
    for host in ("hq", "branch"):
        (unreachable.folder / "host_vars" / f"{host}.yml").write_text("{}\n")
    group = unreachable.folder / "group_vars" / "gateways.yml"
    fleet = {"sites": {"hq": {"address": "192.0.2.2", "networks": ["10.1.0.0/24"]},
                       "branch": {"address": "198.51.100.2", "networks": ["10.2.0.0/24"]}},
             "gateway": {"credential": {"method": "psk", "psk": MARKER}},
             "tunnel": {"pfs": {"enabled": False}}}
    places: dict[str, set[str]] = {}
    for peer in ("branch", "brnch"):
        defined = fleet | {"links": [{"pair": ["hq", peer]}]}
        group.write_text(yaml.safe_dump({"ipsec_fleet": defined}, sort_keys=False))
        done = unreachable.task("ipsec_validate", {"reports": REPORTS, "fail_on_findings": False})
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = json.loads(files(unreachable)["sarif"])["runs"]
        lines = group.read_text().splitlines()
        for result in run["results"]:
            place = result["locations"][0]["physicalLocation"]
            assert place["artifactLocation"]["uri"] == "group_vars/gateways.yml"
            places.setdefault(result["ruleId"], set()).add(lines[place["region"]["startLine"] - 1].strip())
    assert places == {"pfs-off": {"hq:", "branch:"}, "declaration-unknown-reference": {"- brnch"}}


def test_the_playbook_of_the_page_runs_and_writes_what_it_says(unreachable: Site):
    (play,) = [snippet for snippet in snippets(CHECKOUT / "docs" / "validation.md") if isinstance(snippet, list)]
    (unreachable.folder / "validate.yml").write_text(yaml.safe_dump(play, sort_keys=False))
    done = unreachable.play(playbook="validate.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (unreachable.folder / "reports").iterdir()} == set(FORMATS.values())
    assert "✅ the ends agree" in files(unreachable)["markdown"]
