# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of payloads, critical bits, the place of what is encrypted, fragments and the limits: RFC 7296 §2.5, §3.2,
§3.14, RFC 7383 §2.5."""

from __future__ import annotations

import pytest
from ikeengine.wire.constants import ExchangeType, HeaderFlag, PayloadType
from ikeengine.wire.errors import (
    MalformedMessage,
    UnsupportedCriticalPayload,
    UnsupportedMajorVersion,
    WireError,
)
from ikeengine.wire.message import (
    MAX_PAYLOADS,
    Encrypted,
    decode_message,
    decode_payloads,
    encode_encrypted_prefix,
    encode_fragment_prefix,
    encode_message,
    encode_payloads,
    find_body,
)
from ikeengine.wire.nonce import Nonce
from ikeengine.wire.notify import Notify
from ikeengine.wire.unknown import UnknownPayload
from ikeengine.wire.vendor_id import VendorId

FRAME = {
    "spi_i": bytes(range(8)),
    "spi_r": bytes(8),
    "exchange": ExchangeType.INFORMATIONAL,
    "flags": HeaderFlag.INITIATOR,
    "message_id": 2,
}


def with_header(first_payload: int, chain: bytes, version: int = 0x20) -> bytes:
    length = 28 + len(chain)
    return bytes(16) + bytes((first_payload, version, 37, 8)) + bytes(4) + length.to_bytes(4, "big") + chain


def test_chain_layout():
    payloads = (Notify(16390, b"\x0c"), VendorId(b"me"))
    chain = bytes.fromhex("2b 00 0009 00004006 0c 00 00 0006 6d65")
    assert encode_payloads(payloads) == (41, chain)
    assert decode_payloads(41, chain) == payloads
    assert decode_payloads(41, memoryview(chain)) == payloads


def test_empty_chain():
    assert encode_payloads(()) == (PayloadType.NONE, b"")
    assert decode_payloads(0, b"") == ()
    assert decode_message(encode_message(**FRAME, payloads=())).payloads == ()


@pytest.mark.parametrize("kind", [1, 32, 49, 54, 200, 255])
def test_unknown_and_critical(kind):
    with pytest.raises(UnsupportedCriticalPayload, match=f"payload type {kind} ") as raised:
        decode_payloads(kind, bytes.fromhex("00 80 0004"))
    assert raised.value.payload_type == kind


@pytest.mark.parametrize("kind", [1, 32, 49, 54, 200, 255])
def test_unknown_and_not_critical(kind):
    chain = bytes((43, 0x7F, 0, 5, 0xAA)) + bytes.fromhex("00 00 0004")
    assert decode_payloads(kind, chain) == (UnknownPayload(kind, b"\xaa"), VendorId(b""))


def test_unknown_payloads_can_be_sent():
    payloads = (UnknownPayload(200, b"x"), VendorId(b""))
    assert decode_payloads(*encode_payloads(payloads)) == payloads


def test_the_critical_bit_of_known_types_means_nothing():
    assert decode_payloads(43, bytes.fromhex("00 80 0004")) == (VendorId(b""),)
    assert decode_message(with_header(46, bytes.fromhex("29 80 0005 ff"))).encrypted == Encrypted(41, b"\xff", 32)


def test_clear_payloads_may_stand_before_the_encrypted_one():
    data = with_header(41, bytes.fromhex("2e 00 0008 00004006 23 00 0006 abcd"))
    message = decode_message(data)
    assert message.payloads == (Notify(16390),)
    assert message.encrypted == Encrypted(PayloadType.ID_I, b"\xab\xcd", 40)
    assert data[message.encrypted.offset :] == message.encrypted.body


def test_encrypted_is_the_last():
    with pytest.raises(MalformedMessage, match="has to be the last"):
        decode_message(with_header(46, bytes.fromhex("2b 00 0004 00 00 0004")))


def test_encrypted_inside_encrypted():
    with pytest.raises(MalformedMessage, match="inside another"):
        decode_payloads(46, bytes.fromhex("00 00 0004"))
    with pytest.raises(MalformedMessage, match="inside another"):
        decode_payloads(53, bytes.fromhex("00 00 0008 0001 0001"))


def test_encrypted_prefix():
    prefix = encode_encrypted_prefix(**FRAME, first_payload=42, body_size=40)
    assert prefix == bytes.fromhex("0001020304050607 0000000000000000 2e 20 25 08 00000002 00000048 2a 00 002c")
    assert decode_message(prefix + bytes(40)).encrypted == Encrypted(42, bytes(40), 32)


def test_fragment_prefix():
    prefix = encode_fragment_prefix(**FRAME, first_payload=42, body_size=40, number=1, total=3)
    assert prefix == bytes.fromhex(
        "0001020304050607 0000000000000000 35 20 25 08 00000002 0000004c 2a 00 0030 0001 0003")
    assert decode_message(prefix + bytes(40)).encrypted == Encrypted(42, bytes(40), 36, 1, 3)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("00 00 0007 000100", "an Encrypted Fragment payload of 3 octets"),
        ("00 00 0008 0000 0003", "fragment 0 of 3"),
        ("00 00 0008 0004 0003", "fragment 4 of 3"),
        ("2b 00 0008 0001 0001 00 00 0004", "has to be alone"),
    ],
)
def test_malformed_fragments(chain, message):
    with pytest.raises(MalformedMessage, match=message):
        decode_message(with_header(53, bytes.fromhex(chain)))


@pytest.mark.parametrize(
    ("first_payload", "chain", "message"),
    [
        (0, "00", "1 octets after the last payload"),
        (43, "00 00 0004 00", "1 octets after the last payload"),
        (43, "", "announced at octet 28, where the message ends"),
        (43, "000000", "announced at octet 28, where the message ends"),
        (43, "2b 00 0004", "announced at octet 32, where the message ends"),
        (43, "00 00 0003", "payload type 43 of 3 octets does not fit"),
        (43, "2b 00 0000", "payload type 43 of 0 octets does not fit"),
        (43, "00 00 0005", "payload type 43 of 5 octets does not fit"),
        (46, "00 00 ffff", "payload type 46 of 65535 octets does not fit"),
    ],
)
def test_malformed_chains(first_payload, chain, message):
    with pytest.raises(MalformedMessage, match=message):
        decode_message(with_header(first_payload, bytes.fromhex(chain)))


@pytest.mark.parametrize(("version", "major"), [(0x10, 1), (0x30, 3), (0xFF, 15)])
def test_other_major_versions(version, major):
    with pytest.raises(UnsupportedMajorVersion) as raised:
        decode_message(with_header(0, b"", version))
    assert raised.value.major == major


def test_a_higher_minor_version_is_the_same_to_us():
    assert decode_message(with_header(0, b"", 0x2F)).header.minor == 15


def test_number_of_payloads_is_bounded():
    most = (VendorId(b""),) * MAX_PAYLOADS
    assert decode_payloads(*encode_payloads(most)) == most
    with pytest.raises(MalformedMessage, match=f"more than {MAX_PAYLOADS} payloads"):
        decode_payloads(*encode_payloads((*most, UnknownPayload(200, b""))))


def test_bodies_that_do_not_fit_are_refused_before_sending():
    assert len(encode_payloads((VendorId(bytes(65531)),))[1]) == 65535
    with pytest.raises(WireError, match="65532 octets"):
        encode_payloads((VendorId(bytes(65532)),))
    with pytest.raises(WireError, match="65532 octets"):
        encode_encrypted_prefix(**FRAME, first_payload=0, body_size=65532)


def test_what_a_payload_refuses_the_message_refuses():
    with pytest.raises(MalformedMessage, match="NONCE payload: 1 octets"):
        decode_payloads(*encode_payloads((Nonce(b"x"),)))


@pytest.mark.parametrize("kind", [PayloadType.SA, PayloadType.KE, PayloadType.NONCE, PayloadType.NOTIFY])
def test_a_body_is_found_without_decoding(captured, kind):
    data = captured.init_request
    wanted = next(row for row in decode_message(data).payloads if row.type == kind)
    assert find_body(data, kind) == wanted.encode_body()
    start = data.index(wanted.encode_body())
    for size in range(28, start + len(wanted.encode_body())):
        assert find_body(data[:size], kind) is None


def test_no_body_is_found_where_there_is_none(captured):
    assert find_body(captured.init_request, PayloadType.AUTH) is None
    assert find_body(captured.auth_request, PayloadType.AUTH) is None  # it is encrypted
    endless = bytes(16) + b"\x2b" + captured.init_request[17:28] + b"\x2b\x00\x00\x04" * 1000
    assert find_body(endless, PayloadType.NONCE) is None
