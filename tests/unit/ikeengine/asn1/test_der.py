# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DER against the library's own, and against octets that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.asn1 import der
from ikeengine.asn1.der import DerError, Tag


@pytest.mark.parametrize(("text", "octets"), [
    ("2.5.4.3", "0603550403"), ("1.2.840.113549.1.1.11", "06092a864886f70d01010b"), ("1.3.101.112", "06032b6570"),
    ("2.999.3", "0603883703"), ("0.9.2342.19200300.100.1.25", "060a0992268993f22c640119"),
])
def test_object_identifiers(text, octets):
    assert der.encode_oid(text).hex() == octets
    assert der.oid(der.element(bytes.fromhex(octets))) == text


@pytest.mark.parametrize(("number", "octets"), [
    (0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (-1, "0201ff")])
def test_integers(number, octets):
    assert der.encode_integer(number).hex() == octets
    assert der.integer(der.element(bytes.fromhex(octets))) == number


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65536])
def test_lengths_are_the_shortest(size):
    encoded = der.encode(Tag.SEQUENCE, bytes(size))
    assert der.element(encoded) == (Tag.SEQUENCE, bytes(size), encoded)


@pytest.mark.parametrize(("octets", "sentence"), [
    ("", "it ends early"), ("30", "it ends early"), ("3002", "it ends early"), ("308101ff", "not the shortest"),
    ("30820001ff", "not the shortest"), ("3080", "not the shortest"), ("1f0100", "a tag of several octets"),
    ("050000", "1 octets too many"), ("30847fffffff", "it ends early"),
])
def test_what_is_no_der(octets, sentence):
    with pytest.raises(DerError, match=sentence):
        der.element(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["0600", "060180", "06028003", "0602802a", "0603550481"])
def test_what_is_no_object_identifier(octets):
    with pytest.raises(DerError):
        der.oid(der.element(bytes.fromhex(octets)))


@pytest.mark.parametrize("size", [129, 2500, 60000])
def test_numbers_without_end_are_no_object_identifier_nor_integer(size):
    with pytest.raises(DerError):
        der.oid(der.element(der.encode(Tag.OBJECT_IDENTIFIER, b"\xff" * (size - 1) + b"\x01")))
    with pytest.raises(DerError):
        der.integer(der.element(der.encode(Tag.INTEGER, b"\x7f" * size)))


def test_a_member_too_many_or_too_few_is_an_error():
    two = der.element(der.sequence([der.encode(Tag.NULL)] * 2))
    assert len(two.members(number=2)) == len(two.members()) == 2
    for number in (1, 3):
        with pytest.raises(DerError, match=f"{number} members expected, 2 found"):
            two.members(number=number)


@pytest.mark.parametrize("text", ["", "2", "3.1", "1.40", "a.b", "1..2"])
def test_what_is_no_object_identifier_in_text(text):
    with pytest.raises(DerError):
        der.encode_oid(text)


@given(st.binary(max_size=64))
def test_any_octets_are_read_or_refused(octets):
    try:
        found = der.elements(octets)
    except DerError:
        return
    assert b"".join(row.whole for row in found) == octets
    for row in found:
        assert der.encode(row.tag, row.body) == row.whole
