# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a shared secret to the keys of an ISAKMP SA and of what Quick Mode makes (RFC 2409 §5, §5.5, appendix B).

Its PRF is the HMAC of the hash that was negotiated (RFC 2409 §4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ..vpn.algorithms import Authentication, Encryption
from .prf import prf as compute_prf


@dataclass(frozen=True, slots=True)
class IsakmpKeys:
    """``skeyid`` proves identities, the others derive, authenticate and encrypt; octets."""

    skeyid: bytes = field(repr=False)
    skeyid_d: bytes = field(repr=False)
    skeyid_a: bytes = field(repr=False)
    skeyid_e: bytes = field(repr=False)


def skeyid_of_psk(prf: Authentication, psk: bytes, nonce_i: bytes, nonce_r: bytes) -> bytes:
    """SKEYID where both ends prove that they know a pre-shared key (RFC 2409 §5.4)."""
    return compute_prf(prf, psk, nonce_i + nonce_r)


def skeyid_of_signatures(prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> bytes:
    """SKEYID where both ends sign (RFC 2409 §5.1)."""
    return compute_prf(prf, nonce_i + nonce_r, shared_secret)


def isakmp_keys(prf: Authentication, skeyid: bytes, shared_secret: bytes, cookie_i: bytes,
                cookie_r: bytes) -> IsakmpKeys:
    """SKEYID_d, SKEYID_a and SKEYID_e (RFC 2409 §5)."""
    tail = shared_secret + cookie_i + cookie_r
    skeyid_d = compute_prf(prf, skeyid, tail + b"\0")
    skeyid_a = compute_prf(prf, skeyid, skeyid_d + tail + b"\1")
    skeyid_e = compute_prf(prf, skeyid, skeyid_a + tail + b"\2")
    return IsakmpKeys(skeyid, skeyid_d, skeyid_a, skeyid_e)


def encryption_key(prf: Authentication, skeyid_e: bytes, encryption: Encryption) -> bytes:
    """The cipher's key: the first octets of SKEYID_e, stretched where that is too short (RFC 2409 appendix B)."""
    size = encryption.key_size
    if size <= len(skeyid_e):
        return skeyid_e[:size]
    return _stretched(lambda block: compute_prf(prf, skeyid_e, block or b"\0"), size)


def phase1_iv(prf: Authentication, encryption: Encryption, public_i: bytes, public_r: bytes) -> bytes:
    """The IV of the first encrypted message of Phase 1 (RFC 2409 appendix B)."""
    return _digest(prf, public_i + public_r)[: encryption.block_size]


def phase2_iv(prf: Authentication, encryption: Encryption, last_block: bytes, message_id: int) -> bytes:
    """The IV of the first message of an exchange after Phase 1, whose last block of ciphertext that is."""
    return _digest(prf, last_block + message_id.to_bytes(4, "big"))[: encryption.block_size]


def _digest(prf: Authentication, data: bytes) -> bytes:
    return hashlib.new(prf.hash_name, data, usedforsecurity=False).digest()


def quick_mode_keys(prf: Authentication, skeyid_d: bytes, protocol: int, spi: bytes, nonce_i: bytes, nonce_r: bytes,
                    encryption: Encryption | None, integrity: Authentication | None,
                    shared_secret: bytes = b"") -> tuple[bytes, bytes]:
    """Encryption and integrity key of the SA that is received on ``spi`` (RFC 2409 §5.5).

    ``shared_secret`` is that of PFS, where Quick Mode carried a key exchange. An absent algorithm has an empty key.
    """
    seed = b"".join((shared_secret, protocol.to_bytes(1, "big"), spi, nonce_i, nonce_r))
    encryption_size = encryption.keying_size if encryption else 0
    size = encryption_size + (integrity.key_size if integrity else 0)
    material = _stretched(lambda block: compute_prf(prf, skeyid_d, block + seed), size)
    return material[:encryption_size], material[encryption_size:]


def _stretched(following: Callable[[bytes], bytes], size: int) -> bytes:
    """``size`` octets of blocks, each made from the one before it."""
    block, material = b"", b""
    while len(material) < size:
        block = following(block)
        material += block
    return material[:size]
