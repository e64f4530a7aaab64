# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys leave the gateways before Ansible can print them; what might be one in the wrong place is not quoted."""

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.credentials import (
    MalformedGateway,
    apart,
    check,
    check_options,
    with_key,
)

MARKER = "marker-that-must-appear-nowhere"
PEM = "-----BEGIN {0}-----\nMAA=\n-----END {0}-----\n"


def test_keys_come_out_and_go_back_in():
    gateways = [{"name": "a", "credential": {"method": "psk", "psk": MARKER}, "start": "boot"}, {"name": "b"}]
    without, keys = apart(gateways)
    assert MARKER not in repr(without)
    assert keys == {"a": {"psk": MARKER}}
    assert with_key(without[0], keys["a"]) == with_key(without[0], MARKER) == gateways[0]


def test_other_accepted_keys_go_the_same_way():
    gateways = [{"name": "a", "credential": {"method": "psk", "psk": "k", "also_accepted": [MARKER]}}]
    without, keys = apart(gateways)
    assert MARKER not in repr(without)
    assert keys == {"a": {"psk": "k", "also_accepted": [MARKER]}}
    assert with_key(without[0], keys["a"]) == gateways[0]


def test_a_private_key_goes_the_same_way():
    key = PEM.format("PRIVATE KEY")
    gateways = [{"name": "a", "credential": {"method": "certificate", "certificate": PEM.format("CERTIFICATE"),
                                             "ca": [PEM.format("CERTIFICATE")], "private_key": key}}]
    without, keys = apart(gateways)
    assert key not in repr(without)
    assert keys == {"a": {"private_key": key}}
    assert with_key(without[0], keys["a"]) == with_key(without[0], key) == gateways[0]


@pytest.mark.parametrize("gateway", [
    {"name": "a"},
    {"name": "a", "credential": {"psk": MARKER}},
    {"name": "a", "credential": {"ca": [PEM.format("CERTIFICATE")]}},
    {"name": "a", "transforms": ["of-the-host"], "start": "answer"},
    {"name": "a", "credential": None, "endpoints": None},
])
def test_what_names_only_what_changes_is_let_through(gateway):
    check(gateway, "gateways[a]")


@pytest.mark.parametrize(("gateways", "message"), [
    (f"name=a psk={MARKER}", "gateways is no list"),
    ([f"name=a psk={MARKER}"], r"gateways\[0\] is text: a mapping of fields is needed"),
    ([{"credential": {"psk": MARKER}}], r"gateways\[0\]\.name is missing"),
    ([{"name": "a", "credential": MARKER}], r"gateways\[a\]\.credential is text"),
    ([{"name": "a", "credential": {"method": "psk", "pks": MARKER}}], "credential has an unknown field.*mean psk"),
    ([{"name": "a", "credential": {"psk": [MARKER]}}], r"credential\.psk is no text"),
    ([{"name": "a", "credential": {"method": MARKER}}], r"credential\.method is not valid: it is none of psk"),
    ([{"name": "a", "credential": {"method": "psk", "ca": MARKER}}], r"credential\.ca is set: method psk has no ca"),
    ([{"name": "a", "credential": {"method": "certificate", "ca": [MARKER]}}], r"credential\.ca is not valid"),
    ([{"name": "a", "credentials": {"method": "psk", "psk": MARKER}}], r"gateways\[a\]\.credentials is unknown"),
    ([{"name": "a", "psk": MARKER}], r"gateways\[a\]\.psk is unknown"),
    ([{"name": "a", "credential": {"ppk": {"id": "x", "key": MARKER}}}], r"credential\.ppk has an unknown field"),
    ([{"name": "a", "credential": {"ppk_key": MARKER}}], r"credential\.ppk_key is set"),
    ([{"name": "a", "endpoints": [{"local": {}, "remote": {"psk": MARKER}}]}], r"remote\.psk is unknown"),
    ([{"name": "a", "endpoints": [MARKER]}], r"endpoints\[0\] is text"),
    ([{"name": "a", f"psk:{MARKER}": None}], r"gateways\[a\] has an unknown field, number 2: the fields here are"),
])
def test_a_key_in_the_wrong_place_is_refused_and_not_quoted(gateways, message):
    with pytest.raises(MalformedGateway, match=message) as caught:
        apart(gateways)
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("key", [1234567, 0o1234567, True, 3.5])
def test_a_key_that_yaml_takes_for_something_else_is_not_guessed(key):
    with pytest.raises(MalformedGateway, match=r"credential\.psk is no text: a pre-shared key is text\. Write it as "
                                               "text, in quotes"):
        check({"name": "a", "credential": {"method": "hex-psk", "psk": key}}, "")


@pytest.mark.parametrize(("given", "named"), [({f"psk:{MARKER}": None}, "number 2"), ({"psk": MARKER}, "psk")])
def test_an_option_that_is_none_is_named_only_where_it_looks_like_one(given, named):
    with pytest.raises(MalformedGateway) as caught:
        check_options("ipsec_gateway", {"name": "a", **given}, ("name", "credential"))
    assert str(caught.value) == f"ipsec_gateway has no option {named}. Remove it, or write one of credential, name"
    check_options("ipsec_gateway", {"name": "a"}, ("name", "credential"))
