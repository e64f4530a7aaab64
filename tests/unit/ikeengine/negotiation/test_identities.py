# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon and the validation take the same identifiers for one another."""

import itertools

import pytest
from ikeengine.negotiation.identities import matches, to_wire
from ikeengine.vpn import identities
from ikeengine.vpn.model import Identity, IdentityKind

IDENTITIES = [Identity(kind, value) for kind, values in {
    IdentityKind.IP_ADDRESS: ("192.0.2.1", "192.0.2.2", "2001:db8::1"),
    IdentityKind.DOMAIN_NAME: ("gw.example.net", "GW.Example.NET", "example.net"),
    IdentityKind.DOMAIN_INFORMATION: ("gw@example.net", "gw@EXAMPLE.net", "GW@example.net"),
}.items() for value in values]


@pytest.mark.parametrize("declared, sent", list(itertools.product(IDENTITIES, repeat=2)))
def test_what_the_validation_calls_the_same_matches_on_the_wire(declared, sent):
    assert matches(declared, *to_wire(sent)) is identities.same(declared, sent)


def test_what_no_operator_could_declare_matches_nothing():
    name = Identity(IdentityKind.DOMAIN_NAME, "gw.example.net")
    address = Identity(IdentityKind.IP_ADDRESS, "192.0.2.1")
    assert not matches(name, 2, b"gw.example.net\0")
    assert not matches(name, 2, b"\xff\xfe")
    assert not matches(address, 1, bytes(3))
    assert not matches(Identity(IdentityKind.DOMAIN_INFORMATION, "gw@example.net"), 3, b"gw")
