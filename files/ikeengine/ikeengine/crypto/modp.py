# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MODP groups of RFC 2409 §6 and RFC 3526, all with generator 2.

This file is all that another backend for finite-field Diffie-Hellman would have to replace.
"""

from __future__ import annotations

import secrets
from functools import cache

from ..vpn.algorithms import KeyGroup
from .errors import InvalidKeyExchange, UnsupportedAlgorithm
from .library import DHParameterNumbers, DHParameters, DHPublicNumbers

# The primes are 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c), and this is c by n.
_OFFSETS = {768: 149686, 1024: 129093, 1536: 741804, 2048: 124476, 3072: 1690314, 4096: 240904}
_GENERATOR = 2
# Three times the strength of group 2, where RFC 3526 §8 asks for two.
_SMALL_EXPONENT_BITS = 256
# OpenSSL knows the primes from here on.
_FIRST_KNOWN_BITS = 1536
_GUARD_BITS = 64


def _arctangent_of_inverse(x: int, bits: int) -> int:
    """arctan(1/x) * 2^bits, a few units off (Gregory's series)."""
    term = total = (1 << bits) // x
    divisor, sign = 3, -1
    while term:
        term //= x * x
        total += sign * (term // divisor)
        divisor, sign = divisor + 2, -sign
    return total


def _pi(bits: int) -> int:
    """floor(pi * 2^bits) (Machin's formula)."""
    precision = bits + _GUARD_BITS
    quarter = 4 * _arctangent_of_inverse(5, precision) - _arctangent_of_inverse(239, precision)
    return 4 * quarter >> _GUARD_BITS


@cache
def prime(group: KeyGroup) -> int:
    """The group's prime. Raises UnsupportedAlgorithm."""
    bits = group.public_size * 8
    if bits not in _OFFSETS:
        raise UnsupportedAlgorithm(group.name)
    return (1 << bits) - (1 << bits - 64) - 1 + (_pi(bits - 130) + _OFFSETS[bits] << 64)


@cache
def _numbers(group: KeyGroup) -> DHParameterNumbers:
    return DHParameterNumbers(prime(group), _GENERATOR)


@cache
def _parameters(group: KeyGroup) -> DHParameters:
    return _numbers(group).parameters()


def key_pair(group: KeyGroup) -> ModpKey | SmallModpKey:
    """A fresh one. Raises UnsupportedAlgorithm."""
    return SmallModpKey(group) if group.public_size * 8 < _FIRST_KNOWN_BITS else ModpKey(group)


class ModpKey:
    """A key pair of a MODP group that OpenSSL knows by its prime: group 5 and those after it."""

    __slots__ = ("_group", "_private", "public")

    def __init__(self, group: KeyGroup) -> None:
        self._group = group
        # OpenSSL picks an exponent of twice the group's strength, as RFC 3526 §8 allows.
        self._private = _parameters(group).generate_private_key()
        self.public = self._private.public_key().public_numbers().y.to_bytes(group.public_size, "big")

    def exchange(self, peer_public: bytes) -> bytes:
        """g^ir, left padded to the size of the prime (RFC 7296 §2.14). Raises InvalidKeyExchange."""
        peer = DHPublicNumbers(_checked(self._group, peer_public), _numbers(self._group)).public_key()
        return self._private.exchange(peer).rjust(self._group.secret_size, b"\0")


class SmallModpKey:
    """A key pair of group 1 or 2, whose primes OpenSSL does not know: it would test them for every public value, which
    takes it some 15 and 30 milliseconds. Python's own arithmetic takes less than one.

    That is not done in constant time, which tells little of an exponent that serves once; the groups are weak anyhow.
    """

    __slots__ = ("_exponent", "_group", "public")

    def __init__(self, group: KeyGroup) -> None:
        self._group = group
        self._exponent = secrets.randbits(_SMALL_EXPONENT_BITS) | 1 << _SMALL_EXPONENT_BITS
        self.public = pow(_GENERATOR, self._exponent, prime(group)).to_bytes(group.public_size, "big")

    def exchange(self, peer_public: bytes) -> bytes:
        """As `ModpKey.exchange`."""
        value = _checked(self._group, peer_public)
        return pow(value, self._exponent, prime(self._group)).to_bytes(self._group.secret_size, "big")


def _checked(group: KeyGroup, peer_public: bytes) -> int:
    """The peer's value. With safe primes its range is all there is to check (RFC 6989 §2.1)."""
    value = int.from_bytes(peer_public, "big")
    if not 2 <= value <= prime(group) - 2:
        raise InvalidKeyExchange(f"{group.name}: the public value is outside 2..p-2")
    return value
