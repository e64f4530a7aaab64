# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRFs, key derivation and the PSK proof against NIST's and the RFCs' figures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ikeengine.crypto.authentication import IntAuth, equal, psk_auth, signed_octets
from ikeengine.crypto.ciphers import Integrity
from ikeengine.crypto.key_derivation import child_keys, ike_keys, rekeyed_skeyseed, skeyseed, with_ppk
from ikeengine.crypto.prf import prf, prf_plus
from ikeengine.vpn.algorithms import AUTHENTICATIONS, Authentication, authentication, encryption

VECTORS = Path(__file__).parents[4] / "tests/vectors"
NIST = json.loads((VECTORS / "ike_kdf_nist.json").read_text())
HMAC = json.loads((VECTORS / "hmac.json").read_text())
BY_HASH = {row.hash_name: row for row in AUTHENTICATIONS}
IKEV2 = NIST["ikev2"][0]
SHA1 = authentication("SHA1")
SHA256 = authentication("SHA2-256")


def octets(name: str) -> bytes:
    return bytes.fromhex(IKEV2[name])


def prf_of(case: dict) -> Authentication:
    return BY_HASH[case["prf"].removeprefix("hmac-")]


@pytest.mark.parametrize("case", HMAC["prf"], ids=lambda case: case["hash"])
def test_prf(case: dict) -> None:
    assert prf(BY_HASH[case["hash"]], bytes.fromhex(case["key"]), bytes.fromhex(case["data"])).hex() == case["mac"]


@pytest.mark.parametrize("case", HMAC["auth"], ids=lambda case: case["hash"])
def test_integrity_of_rfc_4868(case: dict) -> None:
    algorithm = BY_HASH[case["hash"]]
    key, data = bytes.fromhex(case["key"]), bytes.fromhex(case["data"])
    assert len(key) == algorithm.key_size
    integrity = Integrity(algorithm, key)
    assert integrity.icv(data).hex() == integrity.icv(data[:3], data[3:]).hex() == case["icv"]
    assert integrity.icv_size == len(case["icv"]) // 2


@pytest.mark.parametrize("row", AUTHENTICATIONS, ids=lambda row: row.name)
def test_integrity_is_the_truncated_prf(row: Authentication) -> None:
    key = bytes(range(row.key_size))
    assert Integrity(row, key).icv(b"data") == prf(row, key, b"data")[: row.icv_size]


@pytest.mark.parametrize("case", NIST["prf_plus"], ids=lambda case: case["prf"])
def test_prf_plus(case: dict) -> None:
    expected = bytes.fromhex(case["out"])
    for size in (0, 1, len(expected) - 1, len(expected)):
        material = prf_plus(prf_of(case), bytes.fromhex(case["key"]), bytes.fromhex(case["seed"]), size)
        assert material == expected[:size]


def test_prf_plus_ends_after_255_blocks() -> None:
    assert len(prf_plus(SHA1, b"k", b"s", 255 * 20)) == 5100
    with pytest.raises(ValueError, match="255 blocks of 20 octets"):
        prf_plus(SHA1, b"k", b"s", 255 * 20 + 1)


def test_skeyseed() -> None:
    assert skeyseed(SHA1, octets("ni"), octets("nr"), octets("g_ir")) == octets("skeyseed")


def test_ike_keys_are_nist_s_keying_material_in_order() -> None:
    keys = ike_keys(SHA1, octets("skeyseed"), octets("ni"), octets("nr"), octets("spi_i"), octets("spi_r"),
                    encryption("AES-128"), SHA1)
    in_order = (keys.sk_d, keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    assert [len(key) for key in in_order] == [20, 20, 20, 16, 16, 20, 20]
    assert b"".join(in_order) == octets("dkm")[:132]


def test_ike_keys_with_aead_have_salts_and_no_integrity_keys() -> None:
    keys = ike_keys(SHA1, octets("skeyseed"), octets("ni"), octets("nr"), octets("spi_i"), octets("spi_r"),
                    encryption("AES-GCM-128"), None)
    assert (keys.sk_ai, keys.sk_ar) == (b"", b"")
    assert keys.sk_d + keys.sk_ei + keys.sk_er + keys.sk_pi + keys.sk_pr == octets("dkm")[:100]
    assert len(keys.sk_ei) == len(keys.sk_er) == 20


@pytest.mark.parametrize(("expected", "secret"), [("dkm_child", b""), ("dkm_child_dh", octets("g_ir_new"))])
def test_child_keys_are_nist_s_keying_material_in_order(expected: str, secret: bytes) -> None:
    sk_d = octets("dkm")[:20]
    keys = child_keys(SHA1, sk_d, octets("ni"), octets("nr"), encryption("AES-256"), SHA1, secret)
    assert [len(key) for key in keys] == [32, 20, 32, 20]
    assert b"".join(keys) == octets(expected)[:104]
    aead = child_keys(SHA1, sk_d, octets("ni"), octets("nr"), encryption("AES-GCM-256"), None, secret)
    assert [len(key) for key in aead] == [36, 0, 36, 0]
    assert b"".join(aead) == octets(expected)[:72]
    ah = child_keys(SHA1, sk_d, octets("ni"), octets("nr"), None, SHA1, secret)
    assert b"".join(ah) == octets(expected)[:40]


def test_rekeyed_skeyseed() -> None:
    sk_d = octets("dkm")[:20]
    assert rekeyed_skeyseed(SHA1, sk_d, octets("g_ir_new"), octets("ni"), octets("nr")) == octets("skeyseed_rekey")


def test_additional_secrets_follow_the_nonces() -> None:
    """RFC 9370 §2.2.4: SK(0) | Ni | Nr | SK(1) ... SK(n), for a child SA and for an IKE SA alike."""
    seed = rekeyed_skeyseed(SHA256, b"d" * 32, b"SK0", b"Ni", b"Nr", b"SK1SK2")
    assert seed == hmac_sha256_by_hand(b"d" * 32, b"SK0NiNrSK1SK2")
    keys = child_keys(SHA256, b"d" * 32, b"Ni", b"Nr", encryption("AES-128"), SHA256, b"SK0", b"SK1SK2")
    assert b"".join(keys) == prf_plus(SHA256, b"d" * 32, b"SK0NiNrSK1SK2", 96)


def test_ppk_is_mixed_into_three_keys_and_no_other() -> None:
    """RFC 8784 §3: SK_x = prf+ (PPK, SK_x')."""
    before = ike_keys(SHA256, b"s" * 32, b"i", b"r", b"I" * 8, b"R" * 8, encryption("AES-256"), SHA256)
    after = with_ppk(SHA256, before, b"a post-quantum key")
    assert (after.sk_ai, after.sk_ar, after.sk_ei, after.sk_er) == (
        before.sk_ai, before.sk_ar, before.sk_ei, before.sk_er)
    for one, other in ((after.sk_d, before.sk_d), (after.sk_pi, before.sk_pi), (after.sk_pr, before.sk_pr)):
        assert one == hmac_sha256_by_hand(b"a post-quantum key", other + b"\x01")


def test_keys_stay_out_of_the_repr() -> None:
    keys = ike_keys(SHA256, b"s" * 32, b"i", b"r", b"I" * 8, b"R" * 8, encryption("AES-256"), SHA256)
    assert repr(keys) == "IkeKeys()"


def hmac_sha256_by_hand(key: bytes, data: bytes) -> bytes:
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded) + data).digest()
    return hashlib.sha256(bytes(octet ^ 0x5C for octet in padded) + inner).digest()


def test_psk_auth_is_rfc_7296_s_formula() -> None:
    mac_of_id = hmac_sha256_by_hand(b"p" * 32, b"\x02\0\0\0hq.example.net")
    covered = b"message" + b"nonce of the peer" + mac_of_id
    assert signed_octets(SHA256, b"message", b"nonce of the peer", b"p" * 32, b"\x02\0\0\0hq.example.net") == covered
    expected = hmac_sha256_by_hand(hmac_sha256_by_hand(b"secret", b"Key Pad for IKEv2"), covered)
    assert psk_auth(SHA256, b"secret", covered) == expected


def test_int_auth_chains_what_each_end_sent() -> None:
    """RFC 9242 §3.3.2, two exchanges, the second under other keys."""
    intermediate = IntAuth(SHA256)
    intermediate.add_request(b"pi1", b"request 1")
    intermediate.add_response(b"pr1", b"response 1")
    intermediate.add_request(b"pi2", b"request 2")
    intermediate.add_response(b"pr2", b"response 2")
    of_initiator = hmac_sha256_by_hand(b"pi2", hmac_sha256_by_hand(b"pi1", b"request 1") + b"request 2")
    of_responder = hmac_sha256_by_hand(b"pr2", hmac_sha256_by_hand(b"pr1", b"response 1") + b"response 2")
    int_auth = intermediate.octets()
    assert int_auth == of_initiator + of_responder + b"\0\0\0\x03"
    mac_of_id = hmac_sha256_by_hand(b"p" * 32, b"id")
    assert signed_octets(SHA256, b"message", b"nonce", b"p" * 32, b"id", int_auth) == (
        b"messagenonce" + mac_of_id + int_auth)


def test_equal() -> None:
    assert equal(b"same", b"same")
    assert not equal(b"same", b"sane")
    assert not equal(b"same", b"same ")
