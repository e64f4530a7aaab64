# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ESP packets against published ones, and as an attacker would change them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ikeengine.crypto.ciphers import CbcDecryptor, CbcEncryptor
from ikeengine.crypto.errors import IntegrityError, UnsupportedAlgorithm
from ikeengine.crypto.esp_cipher import EspOpener, EspSealer, spi_and_sequence_of
from ikeengine.crypto.prf import prf
from ikeengine.security_association import DirectionKeys
from ikeengine.vpn.algorithms import ENCRYPTIONS, Encryption, authentication, encryption

VECTORS = Path(__file__).parents[4] / "tests/vectors"
AEAD = json.loads((VECTORS / "esp_aead.json").read_text())["cases"]
RFC3602 = json.loads((VECTORS / "esp_cbc_rfc3602.json").read_text())["cases"]
SHA256 = authentication("SHA2-256")
SPI = 0xC0FFEE01
IPV4 = 4
EVERY = pytest.mark.parametrize("row", ENCRYPTIONS, ids=lambda row: row.name)
HIGH = pytest.mark.parametrize("high", [None, 0, 5], ids=["32-bit", "extended from 0", "extended"])


def keys(row: Encryption) -> DirectionKeys:
    return DirectionKeys(bytes(range(1, row.keying_size + 1)), b"" if row.aead else b"a" * 32)


def pair(row: Encryption) -> tuple[EspSealer, EspOpener]:
    integrity = None if row.aead else SHA256
    return EspSealer(row, integrity, keys(row), SPI), EspOpener(row, integrity, keys(row))


@pytest.mark.parametrize("case", AEAD, ids=lambda case: f"{case['encryption']}-{case['packet'][:8]}")
def test_published_aead_packets_open(case: dict) -> None:
    row, packet = encryption(case["encryption"]), bytes.fromhex(case["packet"])
    opener = EspOpener(row, None, DirectionKeys(bytes.fromhex(case["key"] + case["salt"]), b""))
    high = int(case["sequence_high"], 16) if case["sequence_high"] else None
    payload, next_header = opener.open(packet, high)
    plaintext = bytes.fromhex(case["plaintext"])
    assert payload == plaintext[: len(plaintext) - 2 - plaintext[-2]]
    assert next_header == plaintext[-1]
    with pytest.raises(IntegrityError):
        opener.open(packet, 77)


@pytest.mark.parametrize("case", RFC3602, ids=lambda case: f"case {case['case']}")
def test_the_packets_of_rfc_3602(case: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no ICV, so each gets one of ours."""
    row, packet, key = encryption("AES-128"), bytes.fromhex(case["packet"]), bytes.fromhex(case["key"])
    packet += prf(SHA256, b"a" * 32, packet)[:16]
    direction = DirectionKeys(key, b"a" * 32)
    payload, next_header = EspOpener(row, SHA256, direction).open(packet)
    assert (payload.hex(), next_header) == (case["payload"], case["next_header"])
    assert spi_and_sequence_of(packet) == (int(case["spi"], 16), case["sequence"])
    first = CbcDecryptor(row, key).decrypt(bytes(16) + packet[8:24])
    monkeypatch.setattr("ikeengine.crypto.ciphers.os.urandom", lambda size: first[:size])
    sealer = EspSealer(row, SHA256, direction, int(case["spi"], 16))
    assert sealer.seal(case["sequence"], payload, next_header) == packet


def test_aead_packets_are_what_rfc_4106_says() -> None:
    row = encryption("AES-GCM-128")
    key, salt = keys(row).encryption[:16], keys(row).encryption[16:]
    header, iv = SPI.to_bytes(4, "big") + b"\0\0\0\x09", b"\0\0\0\0\0\0\0\x09"
    expected = header + iv + AESGCM(key).encrypt(salt + iv, b"hello\x01\x01\x04", header)
    assert pair(row)[0].seal(9, b"hello", IPV4) == expected
    iv, associated = b"\0\0\0\x02\0\0\0\x09", header[:4] + b"\0\0\0\x02\0\0\0\x09"
    expected = header + iv + AESGCM(key).encrypt(salt + iv, b"hello\x01\x01\x04", associated)
    assert pair(row)[0].seal(9, b"hello", IPV4, 2) == expected


@EVERY
@HIGH
def test_packets_of_every_size_come_back(row: Encryption, high: int | None) -> None:
    sealer, opener = pair(row)
    for size in (*range(40), 1500, 65000):
        payload = bytes(n % 251 for n in range(size))
        packet = sealer.seal(size + 1, memoryview(payload), IPV4, high)
        assert spi_and_sequence_of(packet) == (SPI, size + 1)
        body = len(packet) - 8 - row.iv_size - (row.icv_size or SHA256.icv_size)
        assert body % max(row.block_size, 4) == 0
        assert body - size <= max(row.block_size, 4) + 1
        assert opener.open(packet, high) == opener.open(memoryview(packet), high) == (payload, IPV4)


@EVERY
@HIGH
def test_any_changed_octet_is_found(row: Encryption, high: int | None) -> None:
    sealer, opener = pair(row)
    packet = sealer.seal(1, b"an inner packet", IPV4, high)
    for position in range(len(packet)):
        changed = bytearray(packet)
        changed[position] ^= 1
        with pytest.raises(IntegrityError):
            opener.open(bytes(changed), high)
    assert opener.open(packet, high) == (b"an inner packet", IPV4)


@EVERY
def test_any_other_length_is_found(row: Encryption) -> None:
    sealer, opener = pair(row)
    packet = sealer.seal(1, b"an inner packet", IPV4)
    for changed in (*(packet[:size] for size in range(len(packet))), packet + b"\0"):
        with pytest.raises(IntegrityError):
            opener.open(changed)


@EVERY
def test_the_high_half_of_the_sequence_number_is_authenticated(row: Encryption) -> None:
    sealer, opener = pair(row)
    packet = sealer.seal(1, b"an inner packet", IPV4, 3)
    for high in (None, 0, 2, 4):
        with pytest.raises(IntegrityError):
            opener.open(packet, high)


@pytest.mark.parametrize("trailer", [b"\x01\x03\x02\x04", b"\0\0\x02\x04", b"\x01\x02\xff\x04"], ids=bytes.hex)
def test_padding_that_is_not_1_2_3_is_found(trailer: bytes) -> None:
    row = encryption("AES-GCM-256")
    key, salt = keys(row).encryption[:32], keys(row).encryption[32:]
    header, iv = SPI.to_bytes(4, "big") + b"\0\0\0\x01", bytes(8)
    packet = header + iv + AESGCM(key).encrypt(salt + iv, b"payload!" + trailer, header)
    with pytest.raises(IntegrityError, match="padding"):
        pair(row)[1].open(packet)
    cbc = encryption("AES-128")
    unsigned = header + CbcEncryptor(cbc, keys(cbc).encryption).encrypt(b"12 octets...", trailer)
    with pytest.raises(IntegrityError, match="padding"):
        pair(cbc)[1].open(unsigned + prf(SHA256, b"a" * 32, unsigned)[:16])


def test_cbc_ivs_are_random_and_never_repeat() -> None:
    for row in (encryption("AES-128"), encryption("3DES")):
        ivs = {pair(row)[0].seal(1, b"same", IPV4)[8 : 8 + row.iv_size] for _ in range(300)}
        assert len(ivs) == 300


def test_a_block_cipher_alone_is_refused() -> None:
    row = encryption("AES-256")
    with pytest.raises(UnsupportedAlgorithm, match="AES-256 without an authentication algorithm"):
        EspSealer(row, None, keys(row), SPI)
    with pytest.raises(UnsupportedAlgorithm, match="AES-256 without an authentication algorithm"):
        EspOpener(row, None, keys(row))
