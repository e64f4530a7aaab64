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
