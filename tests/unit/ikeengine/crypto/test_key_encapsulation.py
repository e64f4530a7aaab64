# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM against published answers, hostile values, and a library that lacks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ikeengine.crypto import key_encapsulation
from ikeengine.crypto.errors import InvalidKeyExchange, UnsupportedAlgorithm
from ikeengine.crypto.key_encapsulation import DecapsulationKey, encapsulate, is_supported
from ikeengine.crypto.library import MLKEM_PRIVATE_KEYS
from ikeengine.vpn.algorithms import KEY_ENCAPSULATIONS, KeyEncapsulation
from ikeengine.vpn.algorithms import key_encapsulation as by_name

CASES = json.loads((Path(__file__).parents[4] / "tests/vectors/ml_kem.json").read_text())["cases"]
EVERY = pytest.mark.parametrize("kem", KEY_ENCAPSULATIONS, ids=lambda kem: kem.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['count']}")
def test_published_answers(case: dict) -> None:
    kem = by_name(case["name"])
    key = DecapsulationKey(kem)
    key._private = MLKEM_PRIVATE_KEYS[kem.name].from_seed_bytes(bytes.fromhex(case["seed"]))
    assert key._private.public_key().public_bytes_raw().hex() == case["public"]
    assert key.shared_secret(bytes.fromhex(case["ciphertext"])).hex() == case["secret"]
    assert key.shared_secret(bytes.fromhex(case["strange_ciphertext"])).hex() == case["rejection_secret"]


@EVERY
def test_both_ends_share_a_secret_of_the_table_s_sizes(kem: KeyEncapsulation) -> None:
    key = DecapsulationKey(kem)
    ciphertext, secret = encapsulate(kem, key.public)
    assert (len(key.public), len(ciphertext), len(secret)) == (kem.public_size, kem.ciphertext_size, kem.secret_size)
    assert key.shared_secret(ciphertext) == secret
    assert encapsulate(kem, key.public)[1] != secret, "each encapsulation is fresh"


@EVERY
def test_a_changed_ciphertext_gives_another_secret_and_no_error(kem: KeyEncapsulation) -> None:
    key = DecapsulationKey(kem)
    ciphertext, secret = encapsulate(kem, key.public)
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.shared_secret(changed) == key.shared_secret(changed) != secret


@EVERY
@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_sizes_are_refused(kem: KeyEncapsulation, change: int) -> None:
    with pytest.raises(InvalidKeyExchange, match=f"{kem.name}: the ciphertext has .* instead of"):
        DecapsulationKey(kem).shared_secret(bytes(kem.ciphertext_size + change))
    with pytest.raises(InvalidKeyExchange, match=f"{kem.name}: the public key has .* instead of"):
        encapsulate(kem, bytes(kem.public_size + change))


@EVERY
def test_a_public_key_beyond_the_modulus_is_refused(kem: KeyEncapsulation) -> None:
    public = DecapsulationKey(kem).public
    with pytest.raises(InvalidKeyExchange, match=f"{kem.name}: the public key is not one"):
        encapsulate(kem, b"\xff" * 3 + public[3:])


@EVERY
def test_a_library_without_it_is_named(kem: KeyEncapsulation, monkeypatch: pytest.MonkeyPatch) -> None:
    public = DecapsulationKey(kem).public
    monkeypatch.setattr(key_encapsulation, "MLKEM_PRIVATE_KEYS", {})
    monkeypatch.setattr(key_encapsulation, "MLKEM_PUBLIC_KEYS", {})
    is_supported.cache_clear()
    try:
        assert not is_supported(kem)
        for attempt in (lambda: DecapsulationKey(kem), lambda: encapsulate(kem, public)):
            with pytest.raises(UnsupportedAlgorithm, match=f"{kem.name} is not supported"):
                attempt()
    finally:
        is_supported.cache_clear()
    monkeypatch.undo()
    assert is_supported(kem)
