# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys leave the gateways before Ansible can print them; what might hold one in the wrong place is not quoted."""

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.credentials import MalformedCredential, apart, inlined

MARKER = "marker-that-must-appear-nowhere"


def test_keys_come_out_and_go_back_in():
    gateways = [{"name": "a", "credential": {"method": "psk", "psk": MARKER}, "start": "boot"}, {"name": "b"}]
    without, keys = apart(gateways)
    assert MARKER not in repr(without)
    assert keys == {"a": {"psk": MARKER}}
    assert inlined(without, keys)[0] == gateways[0]
    assert inlined(without, {"a": MARKER})[0] == gateways[0]


def test_a_private_key_goes_the_same_way():
    gateways = [{"name": "a", "credential": {"method": "certificate", "certificate": "PEM", "ca": ["PEM"],
                                             "private_key": MARKER}}]
    without, keys = apart(gateways)
    assert MARKER not in repr(without)
    assert keys == {"a": {"private_key": MARKER}}
    assert inlined(without, keys) == inlined(without, {"a": MARKER}) == gateways


@pytest.mark.parametrize(("gateways", "message"), [
    (f"name=a psk={MARKER}", "gateways is no list"),
    ([f"name=a psk={MARKER}"], r"gateways\[0\] is no mapping"),
    ([{"credential": {"psk": MARKER}}], r"gateways\[0\]\.name is missing"),
    ([{"name": "a", "credential": MARKER}], r"gateways\[a\]\.credential is no mapping"),
    ([{"name": "a", "credential": {"method": "psk", "pks": MARKER}}], "credential has an unknown field"),
    ([{"name": "a", "credential": {"psk": [MARKER]}}], "all but ca, chain, crl are text"),
])
def test_a_key_in_the_wrong_place_is_refused_and_not_quoted(gateways, message):
    with pytest.raises(MalformedCredential, match=message) as caught:
        apart(gateways)
    assert MARKER not in str(caught.value)
