# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout and the limits of the smaller payloads, RFC 7296 §3.4 to §3.16."""

from __future__ import annotations

import pytest
from ikeengine.wire.authentication import Authentication
from ikeengine.wire.certificate import Certificate, CertificateRequest
from ikeengine.wire.configuration import Configuration, ConfigurationAttribute
from ikeengine.wire.delete import Delete
from ikeengine.wire.eap import Eap
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.identification import IdentificationInitiator, IdentificationResponder
from ikeengine.wire.key_exchange import KeyExchange
from ikeengine.wire.nonce import Nonce
from ikeengine.wire.notify import Notify
from ikeengine.wire.vendor_id import VendorId

LAYOUTS = [
    (KeyExchange(31, b"public"), "001f 0000 7075626c6963"),
    (IdentificationInitiator(2, b"hq.example.net"), "02 000000 68712e6578616d706c652e6e6574"),
    (IdentificationResponder(1, bytes((192, 0, 2, 1))), "01 000000 c0000201"),
    (IdentificationResponder(5, bytes(16)), "05 000000" + "00" * 16),
    (Certificate(4, b"DER"), "04 444552"),
    (CertificateRequest(4, b""), "04"),
    (Authentication(2, b"proof"), "02 000000 70726f6f66"),
    (Nonce(bytes(range(16))), "000102030405060708090a0b0c0d0e0f"),
    (Notify(16388, b"digest"), "00 00 4004 646967657374"),
    (Notify(16393, b"", 3, bytes.fromhex("c0ffee01")), "03 04 4009 c0ffee01"),
    (Notify(17, bytes.fromhex("0013")), "00 00 0011 0013"),
    (Delete(1), "01 00 0000"),
    (Delete(3, (bytes.fromhex("c0ffee01"), bytes.fromhex("c0ffee02"))), "03 04 0002 c0ffee01 c0ffee02"),
    (VendorId(b"tandem"), "74616e64656d"),
    (VendorId(b""), ""),
    (
        Configuration(1, (ConfigurationAttribute(1), ConfigurationAttribute(3, bytes((9, 9, 9, 9))))),
        "01 000000 0001 0000 0003 0004 09090909",
    ),
    (Eap(bytes.fromhex("03010004")), "03010004"),
]


@pytest.mark.parametrize(("value", "octets"), LAYOUTS, ids=lambda value: type(value).__name__)
def test_layout(value, octets):
    data = bytes.fromhex(octets)
    assert value.encode_body() == data
    assert type(value).decode_body(data) == value
    assert type(value).decode_body(memoryview(data)) == value


@pytest.mark.parametrize(
    ("cls", "octets", "message"),
    [
        (KeyExchange, "001f00", "3 octets, at least 4"),
        (IdentificationInitiator, "020000", "3 octets, at least 4"),
        (IdentificationInitiator, "01 000000 c00002", "an address of 3 octets for identification type 1"),
        (IdentificationResponder, "05 000000 c0000201", "an address of 4 octets for identification type 5"),
        (Certificate, "", "CERT payload: it is empty"),
        (CertificateRequest, "", "CERTREQ payload: it is empty"),
        (Authentication, "020000", "3 octets, at least 4"),
        (Nonce, "00" * 15, "15 octets, 16 to 256 expected"),
        (Nonce, "00" * 257, "257 octets, 16 to 256 expected"),
        (Notify, "000040", "3 octets, at least 4"),
        (Notify, "03 04 4009 c0ffee", "an SPI of 4 octets does not fit"),
        (Delete, "010000", "3 octets, at least 4"),
        (Delete, "03 00 0001", "SPIs of 0 octets for protocol 3"),
        (Delete, "01 08 0001 0102030405060708", "SPIs of 8 octets for protocol 1"),
        (Delete, "07 04 0001 c0ffee01", "SPIs of 4 octets for protocol 7"),
        (Delete, "03 04 0002 c0ffee01", "2 SPIs of 4 octets are not 8 octets"),
        (Delete, "03 04 ffff", "65535 SPIs of 4 octets"),
        (Configuration, "010000", "3 octets, at least 4"),
        (Configuration, "01 000000 0001 00", "an attribute is cut short at octet 4"),
        (Configuration, "01 000000 0001 0002 09", "an attribute of 2 octets does not fit"),
    ],
)
def test_malformed(cls, octets, message):
    with pytest.raises(MalformedMessage, match=message):
        cls.decode_body(bytes.fromhex(octets))


def test_identification_keeps_what_auth_was_computed_over():
    data = bytes.fromhex("02 a1b2c3 6871")
    identification = IdentificationInitiator.decode_body(data)
    assert identification == IdentificationInitiator(2, b"hq")
    assert identification.encode_body() == data


def test_configuration_ignores_the_reserved_bit():
    assert Configuration.decode_body(bytes.fromhex("02 000000 8001 0000")).attributes == (ConfigurationAttribute(1),)


def test_proofs_stay_out_of_logs():
    assert "proof" not in repr(Authentication(2, b"proof"))
    assert "password" not in repr(Eap(b"password"))
