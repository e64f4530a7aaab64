# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IKE header, RFC 7296 §3.1."""

from __future__ import annotations

import pytest
from ikeengine.wire.constants import ExchangeType, HeaderFlag
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.header import HEADER_SIZE, Header, decode_header

OCTETS = bytes.fromhex(
    "0102030405060708"  # IKE SA initiator's SPI
    "1112131415161718"  # IKE SA responder's SPI
    "2e 20 25 28"  # next payload, version, exchange type, flags
    "00000007"  # message ID
    "0000001c"  # length
)
VALUE = Header(bytes(range(1, 9)), bytes(range(0x11, 0x19)), 46, ExchangeType.INFORMATIONAL, 0x28, 7, 28)


def test_layout():
    assert HEADER_SIZE == 28
    assert decode_header(OCTETS) == VALUE
    assert VALUE.encode() == OCTETS


@pytest.mark.parametrize(
    ("flags", "is_initiator", "is_response"), [(0x00, False, False), (0x08, True, False), (0x20, False, True)]
)
def test_flags(flags, is_initiator, is_response):
    header = Header(bytes(8), bytes(8), 0, 34, flags | HeaderFlag.HIGHER_VERSION, 0, 28)
    assert (header.is_initiator, header.is_response) == (is_initiator, is_response)


@pytest.mark.parametrize("size", range(HEADER_SIZE))
def test_too_short(size):
    with pytest.raises(MalformedMessage, match=f"{size} octets are too few"):
        decode_header(OCTETS[:size])


@pytest.mark.parametrize("data", [OCTETS + b"\0", OCTETS[:-1] + b"\x1d", OCTETS[:-4] + b"\xff\xff\xff\xff"])
def test_length_has_to_be_the_messages(data):
    with pytest.raises(MalformedMessage, match="the IKE header says"):
        decode_header(data)


def test_another_major_version_is_left_to_the_caller():
    header = decode_header(OCTETS[:17] + b"\x3f" + OCTETS[18:])
    assert (header.major, header.minor) == (3, 15)
