# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finding says of itself, wherever it comes from."""

import copy
from dataclasses import replace

import pytest
from ikeengine.vpn import declaration, rules
from ikeengine.vpn.declaration import DeclarationError


def test_a_field_that_cannot_be_read_has_its_path_and_a_source(hq):
    hq["gateways"][0]["start"] = "bot"
    with pytest.raises(DeclarationError) as caught:
        declaration.read(hq)
    (finding,) = caught.value.findings
    assert finding.as_dict() == {
        "code": "declaration-invalid-value", "severity": "error", "where": "", "field": "gateways[branch].start",
        "left": "is 'bot'", "right": "", "left_path": "gateways[branch].start", "right_path": "",
        "rule": "it is none of boot, traffic, answer", "source": "tandem.vpn", "fix": "Write boot", "sites": ["hq"],
        "paths": ["gateways[branch].start"],
        "message": "hq: gateways[branch].start is 'bot': it is none of boot, traffic, answer. Write boot."}


@pytest.mark.parametrize(("section", "value"), [
    ("routes", [{"local": "10.1.0.1-ten", "remote": "10.2.0.0/24"}]),
    ("routes", [{"local": "10.1.0.0/33", "remote": "10.2.0.0/24"}]),
    ("routes", [{"local": "2001:db8::-", "remote": "2001:db8:1::/64"}]),
    ("interface", {"name": "vpn0", "addresses": ["169.254.0.1/99"]}),
    ("interface", {"name": "vpn0", "addresses": ["169.254.0.1"]}),
    ("interface", {"name": "vpn0", "addresses": ["ten/30"]}),
])
def test_malformed_addresses_are_named_in_our_words(hq, section, value):
    hq["tunnels"][0][section] = value
    with pytest.raises(DeclarationError) as caught:
        declaration.read(hq)
    (finding,) = caught.value.findings
    assert "appear" not in finding.message and finding.field.startswith(f"tunnels[lan].{section}")


def test_keys_of_as_many_octets_and_fewer_characters_are_told_apart(hq, branch, findings):
    second = {**hq["gateways"][0], "name": "second", "credential": {"method": "psk", "psk": "\U0001f511" * 10},
              "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "203.0.113.1"}}]}
    for side in (hq, branch):
        side["gateways"][0]["credential"]["psk"] = "é" * 20
    hq["gateways"].append(second)
    hq["gateways"][0]["endpoints"][0] = {"local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}
    branch["gateways"][0]["endpoints"][0] = {"local": {"address": "198.51.100.1"}, "remote": {"address": "192.0.2.1"}}
    assert [finding.where for finding in findings() if finding.code == "psk-short"] == ["gateway hq/second"]


def three(hq, branch):
    third = copy.deepcopy(branch)
    third["site"]["name"] = "third"
    third["gateways"][0]["endpoints"][0]["local"]["address"] = "198.51.100.3"
    return [declaration.read(data) for data in (hq, branch, third)]


def test_of_all_sites_the_two_that_present_one_identifier_are_named(hq, branch):
    (finding,) = [finding for finding in rules.validate(three(hq, branch)).findings
                  if finding.code == "identity-of-two-sites"]
    path = "gateways[hq].endpoints[0].local.identifier"
    assert (finding.where, finding.sites, finding.paths) == ("all sites", ("branch", "third"), (path, path))
    assert (finding.left_path, finding.right_path) == (path, path)
    assert finding.left.startswith("branch presents ")


def test_of_all_sites_the_one_that_is_declared_twice_is_named(hq, branch):
    first, second, third = three(hq, branch)
    (finding,) = [finding for finding in rules.validate([first, second, replace(third, name="branch")]).findings
                  if finding.code == "site-declared-twice"]
    assert (finding.where, finding.sites, finding.paths) == ("all sites", ("branch",), ("site.name",))
