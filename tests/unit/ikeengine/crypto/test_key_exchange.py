# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchange against the figures of RFC 2409, 3526, 5903, 7748 and 8031, and against hostile public values."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ikeengine.crypto import modp
from ikeengine.crypto.errors import InvalidKeyExchange, UnsupportedAlgorithm
from ikeengine.crypto.key_exchange import KeyExchange
from ikeengine.vpn.algorithms import KEY_GROUPS, GroupKind, KeyGroup, key_group

ROOT = Path(__file__).parents[4]
VECTORS = ROOT / "tests/vectors"
CASES = json.loads((VECTORS / "key_exchange.json").read_text())["cases"]
PRIMES = json.loads((VECTORS / "modp_primes.json").read_text())["primes"]
NAME = pytest.mark.parametrize("group", KEY_GROUPS, ids=lambda group: group.name)


def with_private_key(group: KeyGroup, private: str) -> KeyExchange:
    """An exchange whose private key is a published one."""
    exchange = KeyExchange(group)
    if group.kind is GroupKind.ECP:
        curve = exchange._key_pair._curve
        exchange._key_pair._private = ec.derive_private_key(int(private, 16), curve)
    else:
        key_type = {31: X25519PrivateKey, 32: X448PrivateKey}[group.number]
        exchange._key_pair._private = key_type.from_private_bytes(bytes.fromhex(private))
    return exchange


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"group {case['group']}")
def test_published_secret(case: dict) -> None:
    group = key_group(case["group"])
    for private, public in ((case["private_i"], case["public_r"]), (case["private_r"], case["public_i"])):
        assert with_private_key(group, private).shared_secret(bytes.fromhex(public)).hex() == case["secret"]


@pytest.mark.parametrize("number", PRIMES)
def test_prime_is_the_published_one(number: str) -> None:
    assert modp.prime(key_group(number)) == int(PRIMES[number], 16)


@NAME
def test_both_ends_share_a_secret_of_the_table_s_size(group: KeyGroup) -> None:
    one, other = KeyExchange(group), KeyExchange(group)
    assert len(one.public) == len(other.public) == group.public_size
    secret = one.shared_secret(other.public)
    assert secret == other.shared_secret(one.public)
    assert len(secret) == group.secret_size


@pytest.mark.parametrize("number", PRIMES)
def test_modp_is_modular_exponentiation(number: str) -> None:
    exchange, prime = KeyExchange(key_group(number)), int(PRIMES[number], 16)
    pair = exchange._key_pair
    private = pair._exponent if isinstance(pair, modp.SmallModpKey) else pair._private.private_numbers().x
    assert int.from_bytes(exchange.public, "big") == pow(2, private, prime)
    size = exchange.group.public_size
    assert exchange.shared_secret((3).to_bytes(size, "big")) == pow(3, private, prime).to_bytes(size, "big")


def test_group_14_exponent_has_twice_the_group_s_strength_at_least() -> None:
    lengths = [KeyExchange(key_group(14))._key_pair._private.private_numbers().x.bit_length() for _ in range(4)]
    assert max(lengths) >= 220


@pytest.mark.parametrize("number", [1, 2])
def test_primes_that_openssl_does_not_know_are_not_tested_each_time(number: int) -> None:
    """That takes it 15 to 35 ms for either call, every time; an exchange is to cost what it does with other groups."""
    peer = KeyExchange(key_group(number)).public
    times = []
    for _ in range(5):
        begun = time.process_time()
        KeyExchange(key_group(number)).shared_secret(peer)
        times.append(time.process_time() - begun)
    assert min(times) < 0.008


def test_a_secret_with_leading_zeros_keeps_its_size() -> None:
    exchange = KeyExchange(key_group(14))
    secrets = (exchange.shared_secret((value * value).to_bytes(256, "big")) for value in range(2, 5000))
    secret = next(secret for secret in secrets if secret[0] == 0)
    assert len(secret) == 256


@NAME
@pytest.mark.parametrize("change", [-1, 1])
def test_a_public_value_of_the_wrong_size_is_refused(group: KeyGroup, change: int) -> None:
    with pytest.raises(InvalidKeyExchange, match=f"{group.name}: .* instead of {group.public_size}"):
        KeyExchange(group).shared_secret(bytes(group.public_size + change))


@pytest.mark.parametrize("number", PRIMES)
def test_modp_refuses_what_is_outside_2_to_p_minus_2(number: str) -> None:
    group, prime = key_group(number), int(PRIMES[number], 16)
    exchange = KeyExchange(group)
    for value in (0, 1, prime - 1, prime, prime + 1, 256**group.public_size - 1):
        with pytest.raises(InvalidKeyExchange, match=r"outside 2\.\.p-2"):
            exchange.shared_secret(value.to_bytes(group.public_size, "big"))
    exchange.shared_secret((2).to_bytes(group.public_size, "big"))
    exchange.shared_secret(pow(2, -1, prime).to_bytes(group.public_size, "big"))


@pytest.mark.parametrize("number", [19, 20, 21])
def test_ecp_refuses_a_point_off_the_curve(number: int) -> None:
    exchange = KeyExchange(key_group(number))
    off_curve = bytearray(KeyExchange(key_group(number)).public)
    off_curve[-1] ^= 1
    for public in (bytes(off_curve), bytes(len(off_curve)), b"\xff" * len(off_curve)):
        with pytest.raises(InvalidKeyExchange, match="not of the group"):
            exchange.shared_secret(public)


@pytest.mark.parametrize("number", [31, 32])
def test_montgomery_refuses_an_all_zero_secret(number: int) -> None:
    group = key_group(number)
    for u in (0, 1):
        with pytest.raises(InvalidKeyExchange, match="not of the group"):
            KeyExchange(group).shared_secret(u.to_bytes(group.public_size, "little"))


def test_a_group_that_is_not_ours_is_named() -> None:
    curve = key_group(31)
    strange = KeyGroup(27, "brainpool224", GroupKind.ECP, 56, 28, curve.strength, curve.uses)
    with pytest.raises(UnsupportedAlgorithm, match="brainpool224") as caught:
        KeyExchange(strange)
    assert caught.value.name == "brainpool224"
    with pytest.raises(UnsupportedAlgorithm, match="modp6144"):
        KeyExchange(KeyGroup(17, "modp6144", GroupKind.MODP, 768, 768, curve.strength, curve.uses))


def test_users_see_no_deprecation_warning() -> None:
    program = (
        "from ikeengine.crypto.key_exchange import KeyExchange\n"
        "from ikeengine.crypto import esp_cipher, ike_cipher\n"
        "from ikeengine.vpn.algorithms import key_group\n"
        "k = KeyExchange(key_group(14)); k.shared_secret(k.public)"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(ROOT / "files/ikeengine")}, timeout=60)
    assert done.stderr == ""
