# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proposals and transforms, RFC 7296 §3.3."""

from __future__ import annotations

import pytest
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.security_association import (
    ProposalSubstructure,
    SecurityAssociation,
    TransformSubstructure,
)

TWO_PROPOSALS = bytes.fromhex(
    "02 00 0028 01 03 04 03"  # more, length 40, number 1, ESP, SPI of 4 octets, 3 transforms
    "c0ffee01"
    "03 00 000c 01 00 000c 800e 0100"  # ENCR 12, Key Length 256
    "03 00 0008 03 00 000c"  # INTEG 12
    "00 00 0008 05 00 0000"  # ESN 0
    "00 00 0020 02 03 04 02"
    "c0ffee02"
    "03 00 000c 01 00 0014 800e 0080"
    "00 00 0008 05 00 0000"
)
VALUE = SecurityAssociation(
    (
        ProposalSubstructure(
            1,
            3,
            bytes.fromhex("c0ffee01"),
            (TransformSubstructure(1, 12, 256), TransformSubstructure(3, 12), TransformSubstructure(5, 0)),
        ),
        ProposalSubstructure(
            2, 3, bytes.fromhex("c0ffee02"), (TransformSubstructure(1, 20, 128), TransformSubstructure(5, 0))
        ),
    )
)


def one_transform(attributes: str) -> bytes:
    octets = bytes.fromhex(attributes)
    transform = bytes((0, 0, 0, 8 + len(octets), 1, 0, 0, 12)) + octets
    return bytes((0, 0, 0, 8 + len(transform), 1, 1, 0, 1)) + transform


def test_layout():
    assert SecurityAssociation.decode_body(TWO_PROPOSALS) == VALUE
    assert SecurityAssociation.decode_body(memoryview(TWO_PROPOSALS)) == VALUE
    assert VALUE.encode_body() == TWO_PROPOSALS


@pytest.mark.parametrize("size", range(len(TWO_PROPOSALS)))
def test_truncation(size):
    with pytest.raises(MalformedMessage):
        SecurityAssociation.decode_body(TWO_PROPOSALS[:size])


@pytest.mark.parametrize(
    ("attributes", "key_bits", "unknown"),
    [
        ("", None, False),
        ("800e 0100", 256, False),
        ("800f 0001", None, True),
        ("800f 0001 800e 0080", 128, True),
        ("000f 0003 010203 800e 0080", 128, True),
        ("000e 0002 0080", None, True),  # Key Length never has the long form
        ("800e 0080 800e 0100", 128, True),  # which of the two is meant?
    ],
)
def test_attributes_other_than_one_key_length_mark_the_transform(attributes, key_bits, unknown):
    (proposal,) = SecurityAssociation.decode_body(one_transform(attributes)).proposals
    assert proposal.transforms == (TransformSubstructure(1, 12, key_bits, unknown),)


@pytest.mark.parametrize("attributes", ["80", "800e01", "000f 0003 0102", "000f ffff"])
def test_attributes_that_do_not_fit(attributes):
    with pytest.raises(MalformedMessage, match="attribute"):
        SecurityAssociation.decode_body(one_transform(attributes))


@pytest.mark.parametrize(
    ("octet", "value"),
    [
        pytest.param(0, 0, id="first proposal says it is the last"),
        pytest.param(0, 3, id="proposal with a transform's mark"),
        pytest.param(40, 2, id="last proposal says that more follow"),
        pytest.param(3, 39, id="proposal shorter than its transforms"),
        pytest.param(3, 4, id="proposal shorter than its own header"),
        pytest.param(6, 5, id="ESP with an SPI of 5 octets"),
        pytest.param(6, 255, id="SPI beyond the proposal"),
        pytest.param(7, 2, id="fewer transforms announced"),
        pytest.param(7, 4, id="more transforms announced"),
        pytest.param(12, 0, id="first transform says it is the last"),
        pytest.param(15, 7, id="transform shorter than its header"),
        pytest.param(15, 255, id="transform longer than its proposal"),
    ],
)
def test_inconsistencies(octet, value):
    data = bytearray(TWO_PROPOSALS)
    data[octet] = value
    with pytest.raises(MalformedMessage):
        SecurityAssociation.decode_body(bytes(data))


def test_ike_spi_is_absent_or_8_octets():
    for size in (0, 8):
        value = SecurityAssociation((ProposalSubstructure(1, 1, bytes(size), (TransformSubstructure(4, 31),)),))
        assert SecurityAssociation.decode_body(value.encode_body()) == value
    with pytest.raises(MalformedMessage, match="SPI of 4 octets for protocol 1"):
        SecurityAssociation.decode_body(SecurityAssociation((ProposalSubstructure(1, 1, bytes(4), ()),)).encode_body())


def test_an_unknown_protocol_is_for_negotiation_to_refuse():
    value = SecurityAssociation((ProposalSubstructure(1, 200, bytes(7), ()),))
    assert SecurityAssociation.decode_body(value.encode_body()) == value


def test_no_more_proposals_than_numbers_for_them():
    proposals = tuple(ProposalSubstructure(1, 1, b"", ()) for _ in range(256))
    assert len(SecurityAssociation.decode_body(SecurityAssociation(proposals[1:]).encode_body()).proposals) == 255
    with pytest.raises(MalformedMessage, match="more than 255 proposals"):
        SecurityAssociation.decode_body(SecurityAssociation(proposals).encode_body())
