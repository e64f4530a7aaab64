# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names between text and DER, with the library's reading of DER as the other opinion."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.asn1 import der, names
from ikeengine.asn1.der import DerError, Tag
from ikeengine.vpn import identities
from ikeengine.vpn.model import IdentityKind

CN, O, C, E, DC = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.COUNTRY_NAME,  # noqa: E741
                   NameOID.EMAIL_ADDRESS, NameOID.DOMAIN_COMPONENT)


def name(*parts: tuple[x509.ObjectIdentifier, str, str]) -> bytes:
    return x509.Name([x509.NameAttribute(oid, value, _ASN1Type[kind]) for oid, value, kind in parts]).public_bytes()


@pytest.mark.parametrize(("text", "parts"), [
    ("CN=hq", [(CN, "hq", "PrintableString")]),
    ("C=DE, O=Example, CN=hq", [(C, "DE", "PrintableString"), (O, "Example", "PrintableString"),
                                (CN, "hq", "PrintableString")]),
    ("/C=DE/O=Example, Inc./CN=hq", [(C, "DE", "PrintableString"), (O, "Example, Inc.", "PrintableString"),
                                     (CN, "hq", "PrintableString")]),
    (r"O=Example\, Inc.", [(O, "Example, Inc.", "PrintableString")]),
    ("CN=Zürich", [(CN, "Zürich", "UTF8String")]), ("CN=a_b*", [(CN, "a_b*", "UTF8String")]),
    ("emailAddress=a@b.example", [(E, "a@b.example", "IA5String")]), ("DC=example", [(DC, "example", "IA5String")]),
    ("2.5.4.3=hq", [(CN, "hq", "PrintableString")]), ("CN=#0c026869", [(CN, "hi", "UTF8String")]),
])
def test_text_becomes_the_name_that_a_certificate_has(text, parts):
    assert names.encode(text) == name(*parts)


def test_several_attributes_at_one_place_are_a_set():
    both = x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(CN, "a", _ASN1Type.PrintableString),
                                                      x509.NameAttribute(O, "b", _ASN1Type.PrintableString)])])
    assert names.encode("CN=a+O=b") == names.encode("O=b + CN=a") == both.public_bytes()


@pytest.mark.parametrize(("left", "right"), [
    (name((CN, "hq", "PrintableString")), name((CN, "HQ", "UTF8String"))),
    (name((CN, "hq", "PrintableString")), name((CN, "hq", "BMPString"))),
    (name((CN, "hq", "PrintableString")), name((CN, "hq", "T61String"))),
    (name((O, "Big  Blue ", "UTF8String")), name((O, "big blue", "PrintableString"))),
    (name((E, "A@b.example", "IA5String")), name((E, "a@B.example", "UTF8String"))),
    (name((CN, "Zürich", "UTF8String")), name((CN, "zu\u0308rich", "UTF8String"))),
])
def test_types_of_strings_case_and_spaces_make_no_difference(left, right):
    assert names.same(left, right) and names.folded(left) == names.folded(right)


@pytest.mark.parametrize(("left", "right"), [
    (name((CN, "hq", "UTF8String")), name((O, "hq", "UTF8String"))),
    (name((CN, "hq", "UTF8String")), name((CN, "hq", "UTF8String"), (O, "x", "UTF8String"))),
    (name((CN, "hq", "UTF8String"), (O, "x", "UTF8String")), name((O, "x", "UTF8String"), (CN, "hq", "UTF8String"))),
    (name((CN, "big blue", "UTF8String")), name((CN, "bigblue", "UTF8String"))),
    (name((CN, "hq", "UTF8String")), b""), (name((CN, "hq", "UTF8String")), b"\x30\x00"),
])
def test_names_that_differ(left, right):
    assert not names.same(left, right)


def test_a_name_is_below_what_it_begins_with():
    inner, outer = names.encode("C=DE, O=Example, CN=hq"), names.encode("C=de, O=EXAMPLE")
    assert names.is_below(inner, outer) and names.is_below(outer, outer) and names.is_below(inner, names.encode("C=DE"))
    assert not names.is_below(outer, inner) and not names.is_below(inner, names.encode("O=Example"))


@pytest.mark.parametrize("text", ["C=DE, O=Example, CN=hq", r"O=Example\, Inc., CN=a\+b", r"CN=\#x", "CN=a + O=b",
                                  "E=a@b.example", r"CN=x\0Ay", "2.999.1=z", r"CN=\"q\"", "CN=A/S"])
def test_text_of_a_name_is_read_back_as_it(text):
    encoded = names.encode(text)
    assert names.text(encoded) == text
    assert names.encode(names.text(encoded)) == encoded


def test_control_characters_of_a_peer_are_shown_escaped():
    assert names.text(name((CN, "a\x1b[31m\n", "UTF8String"))) == r"CN=a\1B[31m\0A"


@given(st.lists(st.tuples(st.sampled_from(["CN", "O", "OU", "E", "2.5.4.99"]), st.text("aBü ,+\\#\"<=;>/*", min_size=1)
                          .filter(str.strip)), min_size=1, max_size=4))
def test_what_the_text_side_calls_the_same_is_the_same_on_the_wire(parts):
    def escaped(value: str) -> str:
        return "".join(f"\\{octet:02X}" for octet in value.encode())

    one = ", ".join(f"{kind}={escaped(value)}" for kind, value in parts)
    other = ",".join(f"{kind.lower()}={escaped(value.upper().lower())}" for kind, value in parts)
    alike = identities.same(*(identities.parse(IdentityKind.X500_NAME, text) for text in (one, other)))
    assert names.same(names.encode(one), names.encode(other)) is alike is True


@given(st.binary(max_size=48))
def test_any_octets_are_a_name_or_refused(octets):
    try:
        names.folded(octets)
        names.text(octets)
    except DerError:
        assert not names.same(octets, names.encode("CN=hq"))


@pytest.mark.parametrize("octets", [
    "300531033001ff", "300431023000", der.sequence([der.encode(Tag.SET, der.sequence([
        der.encode(Tag.OBJECT_IDENTIFIER, b"\xff" * 2500 + b"\x01"), der.encode(Tag.UTF8_STRING, b"hq")]))]).hex(),
    names.encode("CN=hq").hex() + "00", "30827530" + "3100" * 15000,
], ids=["no type", "no attribute", "a type without end", "more than a name", "longer than any name"])
def test_what_is_no_name_is_the_same_as_none(octets):
    octets = bytes.fromhex(octets)
    assert not names.same(octets, names.encode("CN=hq")) and not names.same(names.encode("CN=hq"), octets)
    with pytest.raises(DerError):
        names.text(octets)
