# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Encrypted payload, as a peer sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ikeengine.crypto.ciphers import CbcDecryptor, CbcEncryptor
from ikeengine.crypto.errors import IntegrityError, UnsupportedAlgorithm
from ikeengine.crypto.ike_cipher import IkeCipher
from ikeengine.crypto.prf import prf
from ikeengine.vpn.algorithms import ENCRYPTIONS, Encryption, authentication, encryption

VECTORS = Path(__file__).parents[4] / "tests/vectors"
RFC7634 = json.loads((VECTORS / "ike_aead_rfc7634.json").read_text())
CBC = json.loads((VECTORS / "cbc_nist.json").read_text())["cases"]
SHA256 = authentication("SHA2-256")
PREFIX = bytes(range(32))  # an IKE header and the Encrypted payload's generic header
EVERY = pytest.mark.parametrize("row", ENCRYPTIONS, ids=lambda row: row.name)


def cipher(row: Encryption, key_octet: int = 7) -> IkeCipher:
    key = bytes((key_octet + n) % 256 for n in range(row.keying_size))
    return IkeCipher(row, None if row.aead else SHA256, key, b"" if row.aead else b"a" * 32)


def test_the_message_of_rfc_7634() -> None:
    message = bytes.fromhex(RFC7634["prefix"] + RFC7634["iv"] + RFC7634["ciphertext"] + RFC7634["icv"])
    ours = IkeCipher(encryption(RFC7634["encryption"]), None, bytes.fromhex(RFC7634["key"] + RFC7634["salt"]), b"")
    plaintext = bytes.fromhex(RFC7634["plaintext"])[:-1]
    assert ours.open(message, 32) == plaintext
    ours._protection._ivs = iter([int(RFC7634["iv"], 16)])
    assert ours.seal(message[:32], plaintext) == message
    assert 32 + ours.overhead(len(plaintext)) == int.from_bytes(message[24:28], "big")


@pytest.mark.parametrize("case", CBC, ids=lambda case: f"{case['encryption']}-{len(case['plaintext']) // 2}")
def test_cbc_figures(case: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    row, key = encryption(case["encryption"]), bytes.fromhex(case["key"])
    iv, plaintext, ciphertext = (bytes.fromhex(case[name]) for name in ("iv", "plaintext", "ciphertext"))
    assert CbcDecryptor(row, key).decrypt(iv + ciphertext) == plaintext
    # The octets whose encryption, first in the chain, is the published IV.
    first = CbcDecryptor(row, key).decrypt(bytes(row.block_size) + iv)
    monkeypatch.setattr("ikeengine.crypto.ciphers.os.urandom", lambda size: first[:size])
    assert CbcEncryptor(row, key).encrypt(plaintext[:5], plaintext[5:]) == iv + ciphertext


@EVERY
def test_messages_of_every_size_come_back(row: Encryption) -> None:
    sender, receiver = cipher(row), cipher(row)
    for size in (*range(40), 1500, 65000):
        plaintext = bytes(n % 251 for n in range(size))
        message = sender.seal(PREFIX, plaintext)
        assert message.startswith(PREFIX)
        assert len(message) - len(PREFIX) == sender.overhead(size)
        assert receiver.open(message, len(PREFIX)) == plaintext


@EVERY
def test_any_changed_octet_is_found(row: Encryption) -> None:
    message = cipher(row).seal(PREFIX, b"a payload of some octets")
    receiver = cipher(row)
    for position in range(len(message)):
        changed = bytearray(message)
        changed[position] ^= 0x80
        with pytest.raises(IntegrityError):
            receiver.open(bytes(changed), len(PREFIX))
    assert receiver.open(message, len(PREFIX)) == b"a payload of some octets"


@EVERY
def test_any_other_length_is_found(row: Encryption) -> None:
    message = cipher(row).seal(PREFIX, b"payload")
    for size in range(len(PREFIX), len(message)):
        with pytest.raises(IntegrityError):
            cipher(row).open(message[:size], len(PREFIX))
    with pytest.raises(IntegrityError):
        cipher(row).open(message + b"\0", len(PREFIX))


@EVERY
def test_another_key_opens_nothing(row: Encryption) -> None:
    if row.aead:
        with pytest.raises(IntegrityError):
            cipher(row, 8).open(cipher(row).seal(PREFIX, b"payload"), len(PREFIX))
        return
    other = IkeCipher(row, SHA256, bytes(row.keying_size), b"b" * 32)
    with pytest.raises(IntegrityError):
        other.open(cipher(row).seal(PREFIX, b"payload"), len(PREFIX))


@EVERY
def test_ivs_never_repeat(row: Encryption) -> None:
    sender = cipher(row)
    ivs = {sender.seal(PREFIX, b"same")[32 : 32 + row.iv_size] for _ in range(500)}
    assert len(ivs) == 500


def test_a_pad_length_beyond_the_payload_is_found() -> None:
    row = encryption("AES-128")
    body = CbcEncryptor(row, bytes(16)).encrypt(b"\0" * 15 + b"\x10")
    message = PREFIX + body + prf(SHA256, b"a" * 32, PREFIX + body)[:16]
    with pytest.raises(IntegrityError, match="padding"):
        IkeCipher(row, SHA256, bytes(16), b"a" * 32).open(message, len(PREFIX))


def test_a_block_cipher_alone_is_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm, match="AES-256 without an integrity algorithm"):
        IkeCipher(encryption("AES-256"), None, bytes(32), b"")


def test_keys_stay_out_of_the_repr() -> None:
    ours = IkeCipher(encryption("AES-128"), SHA256, b"secret" * 2 + b"keys", b"secret" * 5 + b"--")
    assert "secret" not in repr(ours)
