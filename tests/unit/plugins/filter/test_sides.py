# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet unfolded inside an expression."""

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tandem.vpn.plugins.filter.sides import sides
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import declaration, rules

FLEET = {"sites": {"hq": {"address": "192.0.2.2", "networks": ["10.1.0.0/24"]},
                   "branch": {"address": "198.51.100.2", "networks": ["10.2.0.0/24"]}},
         "links": [{"pair": ["hq", "branch"]}]}
KEYS = {"branch<->hq": "a key of the pipeline's own"}


def test_it_gives_declarations_that_agree():
    unfolded = sides(FLEET, KEYS)
    assert list(unfolded) == ["hq", "branch"]
    assert unfolded["branch"]["gateways"][0]["credential"] == {"method": "psk", "psk": KEYS["branch<->hq"]}
    assert rules.validate([declaration.read(fields) for fields in unfolded.values()]).findings == ()


def test_it_gives_one_sites_alone():
    assert sides(FLEET, KEYS, "hq") == sides(FLEET, KEYS)["hq"]
    assert sides(FLEET, site="hq")["gateways"][0]["credential"] == {"method": "psk"}


def test_what_cannot_be_unfolded_is_an_error_with_every_finding():
    with pytest.raises(AnsibleFilterError, match=r"(?s)ipsec_fleet.lnks is unknown.*ipsec_fleet.sites is missing"):
        sides({"lnks": []})
    with pytest.raises(AnsibleFilterError, match="the fleet has no site hp; its sites are hq, branch"):
        sides(FLEET, site="hp")


@pytest.mark.parametrize(("keys", "message"), [
    ({"hq<->branch": "marker"},
     "keys has 'hq<->branch': the names of a pair stand in order, so that no site would have that key. Rename it "
     "branch<->hq."),
    ({"hq<->branch": "marker"} | KEYS, "keys has 'hq<->branch' beside branch<->hq: a pair has one key"),
    (["marker"], "keys is a list: a mapping of pairs' names to their keys is needed here"),
    ("marker", "keys is text: a mapping of pairs' names to their keys is needed here"),
    ({"branch<->hq": ["marker"]}, "keys has something else than text for branch<->hq"),
    ({"branch<->hq": 5}, "keys has something else than text for branch<->hq"),
])
def test_keys_that_no_site_could_have_are_an_error_that_shows_none(keys, message):
    with pytest.raises(AnsibleFilterError) as caught:
        sides(FLEET, keys)
    assert str(caught.value).startswith(message) and "marker" not in str(caught.value)


def test_a_site_that_yaml_takes_for_a_number_is_meant_and_what_is_no_name_an_error():
    numbered = FLEET | {"sites": {5: FLEET["sites"]["hq"], "branch": FLEET["sites"]["branch"]},
                        "links": [{"pair": [5, "branch"]}]}
    assert sides(numbered, site=5)["site"]["name"] == "5"
    with pytest.raises(AnsibleFilterError, match="site is a list: text is needed here"):
        sides(FLEET, site=["hq"])
