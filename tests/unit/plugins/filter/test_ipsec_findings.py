# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement of all sides inside an expression."""

import copy

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tandem.vpn.plugins.filter.ipsec_findings import ipsec_findings


def test_two_ends_that_differ_are_found_by_the_filter(declared):
    other = copy.deepcopy(declared)
    other["site"]["name"] = "branch"
    (gateway,), (tunnel,) = other["gateways"], other["tunnels"]
    gateway |= {"name": "hq", "endpoints": [{"local": {"address": "198.51.100.1"}, "remote": {"address": "192.0.2.1"}}]}
    tunnel |= {"gateway": "hq", "routes": [{"local": "10.2.0.0/24", "remote": "10.1.0.0/24"}]}
    assert ipsec_findings({"hq": declared, "branch": other}) == []
    gateway["credential"] = {"method": "psk", "psk": "another key of twenty and more"}
    assert [finding["code"] for finding in ipsec_findings({"hq": declared, "branch": other})] == ["psk-differs"]


def test_anything_but_declarations_by_host_is_refused():
    with pytest.raises(AnsibleFilterError, match="mapping of declarations"):
        ipsec_findings([])
