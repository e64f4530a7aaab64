# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1's key derivation against NIST's figures, and its encryption."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from ikeengine.crypto.isakmp_cipher import IsakmpCipher
from ikeengine.crypto.isakmp_keys import (
    encryption_key,
    isakmp_keys,
    phase1_iv,
    phase2_iv,
    quick_mode_keys,
    skeyid_of_psk,
    skeyid_of_signatures,
)
from ikeengine.vpn.algorithms import AUTHENTICATIONS, ENCRYPTIONS, Use, authentication, encryption

NIST = json.loads((Path(__file__).parents[4] / "tests/vectors/ike_kdf_nist.json").read_text())
BY_HASH = {row.hash_name: row for row in AUTHENTICATIONS}
SHA1, MD5 = authentication("SHA1"), authentication("MD5")
IN_PHASE_1 = [row for row in ENCRYPTIONS if Use.IKEV1 in row.uses]


@pytest.mark.parametrize("kind", ["ikev1_psk", "ikev1_signature"])
def test_skeyids_of_nist(kind: str) -> None:
    for case in NIST[kind]:
        prf = BY_HASH[case["prf"].removeprefix("hmac-")]
        octets = {name: bytes.fromhex(case[name]) for name in case if name != "prf"}
        nonces = octets["ni"], octets["nr"]
        skeyid = (skeyid_of_psk(prf, octets["psk"], *nonces) if "psk" in case
                  else skeyid_of_signatures(prf, *nonces, octets["g_xy"]))
        keys = isakmp_keys(prf, skeyid, octets["g_xy"], octets["cky_i"], octets["cky_r"])
        for name in ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e"):
            assert getattr(keys, name).hex() == case[name]
            assert case[name] not in repr(keys)


def test_a_short_skeyid_e_is_stretched_from_a_zero_octet() -> None:
    """RFC 2409 appendix B: Ka = K1 | K2, K1 = prf(SKEYID_e, 0), K2 = prf(SKEYID_e, K1)."""
    skeyid_e = bytes(range(20))
    first = hmac.digest(skeyid_e, b"\0", "sha1")
    second = hmac.digest(skeyid_e, first, "sha1")
    assert encryption_key(SHA1, skeyid_e, encryption("AES-256")) == (first + second)[:32]
    assert encryption_key(SHA1, skeyid_e, encryption("3DES")) == (first + second)[:24]
    assert encryption_key(SHA1, skeyid_e, encryption("AES-128")) == skeyid_e[:16]


def test_ivs_are_digests_cut_to_a_block() -> None:
    aes, des = encryption("AES-128"), encryption("DES")
    assert phase1_iv(MD5, aes, b"one", b"other") == hashlib.md5(b"oneother").digest()
    assert phase1_iv(SHA1, des, b"one", b"other") == hashlib.sha1(b"oneother").digest()[:8]
    assert phase2_iv(SHA1, aes, b"last", 0x01020304) == hashlib.sha1(b"last\1\2\3\4").digest()[:16]


def test_quick_mode_keys_are_of_the_protocol_the_spi_and_the_secret_of_pfs() -> None:
    skeyid_d, spi, sha256 = bytes(20), b"\xc0\xff\xee\1", authentication("SHA2-256")
    aes = encryption("AES-256")
    seed = b"secret" + b"\3" + spi + b"ni" + b"nr"
    blocks = [hmac.digest(skeyid_d, seed, "sha1")]
    while sum(map(len, blocks)) < 64:
        blocks.append(hmac.digest(skeyid_d, blocks[-1] + seed, "sha1"))
    material = b"".join(blocks)[:64]
    assert quick_mode_keys(SHA1, skeyid_d, 3, spi, b"ni", b"nr", aes, sha256, b"secret") == (
        material[:32], material[32:])
    gcm = encryption("AES-GCM-128")
    assert [len(key) for key in quick_mode_keys(SHA1, skeyid_d, 3, spi, b"ni", b"nr", gcm, None)] == [20, 0]
    assert [len(key) for key in quick_mode_keys(SHA1, skeyid_d, 2, spi, b"ni", b"nr", None, sha256)] == [0, 32]


@pytest.mark.parametrize("row", IN_PHASE_1, ids=lambda row: row.name)
def test_messages_are_padded_to_whole_blocks_and_chained_by_their_last(row) -> None:
    one, other = IsakmpCipher(row, bytes(range(row.key_size))), IsakmpCipher(row, bytes(range(row.key_size)))
    iv = bytes(row.block_size)
    for data in (b"", b"a", bytes(row.block_size), b"payloads" * 5):
        sealed = one.encrypt(iv, data)
        assert len(sealed) == -(-len(data) // row.block_size) * row.block_size
        assert other.decrypt(iv, sealed).startswith(data)
        iv = sealed[-row.block_size:] or iv
