# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 identifiers of the four kinds."""

import pytest
from ikeengine.vpn import identities
from ikeengine.vpn.model import IdentityKind

ADDRESS, DOMAIN, USER, X500 = (IdentityKind.IP_ADDRESS, IdentityKind.DOMAIN_NAME, IdentityKind.DOMAIN_INFORMATION,
                               IdentityKind.X500_NAME)


@pytest.mark.parametrize(("kind", "text", "value"), [
    (ADDRESS, "192.0.2.1", "192.0.2.1"), (ADDRESS, "2001:DB8:0::1", "2001:db8::1"), (DOMAIN, "hq.example.net",
                                                                                    "hq.example.net"),
    (DOMAIN, "hq", "hq"), (USER, "admin@example.net", "admin@example.net"),
    (X500, "CN=hq, O=Example, C=DE", "CN=hq, O=Example, C=DE"), (X500, "2.5.4.3=hq", "2.5.4.3=hq"),
    (X500, r"O=Example\, Inc., CN=hq", r"O=Example\, Inc., CN=hq"),
    (X500, "/C=DK/O=Example, Inc.", "/C=DK/O=Example, Inc."),
    (X500, "CN=a=b", "CN=a=b"), (X500, "O=A/S", "O=A/S"), (X500, "CN=#04024869", "CN=#04024869"),
])
def test_identifiers_that_fit_their_kind(kind, text, value):
    assert identities.parse(kind, text).value == value


@pytest.mark.parametrize(("kind", "text", "sentence"), [
    (ADDRESS, "hq.example.net", "it is no IPv4 or IPv6 address"),
    (ADDRESS, "fe80::1%eth0", "an address with a scope means nothing to the peer"),
    (DOMAIN, "192.0.2.1", "an address is an identifier of type ip-address, not a domain name"),
    (DOMAIN, "-hq.example", "a domain name is ASCII labels"), (DOMAIN, "hq..example", "a domain name is ASCII labels"),
    (DOMAIN, "*.example", "a domain name is ASCII labels"), (DOMAIN, "bücher.example", "a domain name is ASCII labels"),
    (DOMAIN, "a" * 64, "a domain name is ASCII labels"), (DOMAIN, ".".join(["a" * 60] * 5), "a domain name is ASCII"),
    (USER, "example.net", "domain information has the form user@domain"),
    (USER, "a b@example.net", "domain information has the form user@domain"),
    (X500, "hq", "an X500 name has the form"), (X500, "CN=hq,,O=x", "an X500 name has the form"),
    (X500, "CN=", "an X500 name has the form"), (X500, "/", "an X500 name has the form"),
    (X500, "CN=hq,", "an X500 name has the form"), (X500, "CN=hq, O=Example, Inc.", "an X500 name has the form"),
    (X500, 'O="Example, Inc."', "an X500 name has the form"), (X500, "CN=hq; O=x", "an X500 name has the form"),
    (X500, "CN=h\\q", "an X500 name has the form"), (X500, "CN=hq\\", "an X500 name has the form"),
    (X500, "CN=#xyz", "an X500 name has the form"), (X500, "CN=a++OU=b", "an X500 name has the form"),
    (X500, "XY=hq", "XY is no attribute type of an X500 name"), (X500, "SN=1", "SN is no attribute type"),
    (X500, "3.1=hq", "3.1 is no attribute type"), (X500, "1.40.1=hq", "1.40.1 is no attribute type"),
    (X500, "CN=#0402", "the encoding of a value, as a whole"), (X500, "CN=#04", "the encoding of a value, as a whole"),
    (X500, r"CN=\FF", "the escaped octets of an X500 name are UTF-8"),
])
def test_identifiers_that_do_not_fit(kind, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        identities.parse(kind, text)


def test_domains_ignore_case_and_users_do_not():
    parse, same = identities.parse, identities.same
    assert same(parse(DOMAIN, "HQ.example"), parse(DOMAIN, "hq.EXAMPLE"))
    assert same(parse(USER, "admin@HQ.example"), parse(USER, "admin@hq.example"))
    assert not same(parse(USER, "Admin@hq.example"), parse(USER, "admin@hq.example"))
    assert not same(parse(DOMAIN, "hq"), parse(X500, "CN=hq"))


@pytest.mark.parametrize(("left", "right"), [
    ("CN=hq, O=Example", "CN=hq,O=Example"), ("CN=hq, O=Example", "cn=HQ , o = example"),
    ("CN=hq, O=Example", "/CN=hq/O=Example"), ("CN=hq, O=Example", "2.5.4.3=hq,2.5.4.10=Example"),
    ("O=Big  Blue   Box", "O=big blue box"), (r"O=Example\, Inc.", r"O=Example\2c Inc."),
    (r"O=Example\, Inc.,C=US", "/O=Example, Inc./C=US"), (r"O=A\/S", "O=A/S"), (r"/O=A\/S", "O=A/S"),
    ("CN=a+OU=b", "OU=B + CN=A"), ("O=Bücher", r"O=B\C3\BCcher"), ("O=BÜCHER", "o=bücher"),
    (r"O=a\\, CN=b", r"O=a\5C,CN=b"),
    (r"CN=\ hq\20, O=x", "CN=hq,O=x"), (r"CN=a\+b", r"CN=a\2Bb"), ("CN=#0402AB69", "CN=#0402ab69"),
    ("emailAddress=a@b.example", "E=A@b.example"),
])
def test_distinguished_names_are_the_same_however_they_are_written(left, right):
    assert identities.same(identities.parse(X500, left), identities.parse(X500, right))


@pytest.mark.parametrize(("left", "right"), [
    ("CN=hq, O=Example", "O=Example, CN=hq"), ("CN=hq, O=Example", "CN=hq+O=Example"), ("CN=hq", "OU=hq"),
    ("CN=big blue", "CN=bigblue"), (r"O=a\, CN=b", "O=a, CN=b"), (r"CN=a\+OU=b", "CN=a+OU=b"),
    ("CN=hq", "CN=hq, O=Example"), (r"CN=\#04024869", "CN=#04024869"),
])
def test_distinguished_names_differ_in_types_values_and_order(left, right):
    assert not identities.same(identities.parse(X500, left), identities.parse(X500, right))
