# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pseudorandom functions of IKEv2, all of them HMACs (RFC 2104, RFC 4868)."""

from __future__ import annotations

import hmac

from ..vpn.algorithms import Authentication

_MAXIMUM_BLOCKS = 255  # the counter is one octet


def prf(algorithm: Authentication, key: bytes, data: bytes) -> bytes:
    """``algorithm.prf_size`` octets that depend on all of ``key`` and ``data``."""
    return hmac.digest(key, data, algorithm.hash_name)


def prf_plus(algorithm: Authentication, key: bytes, seed: bytes, size: int) -> bytes:
    """``size`` octets of keying material (RFC 7296 §2.13). Raises ValueError where the RFC ends: 255 blocks."""
    blocks = -(-size // algorithm.prf_size)
    if blocks > _MAXIMUM_BLOCKS:
        raise ValueError(f"prf+ gives at most {_MAXIMUM_BLOCKS} blocks of {algorithm.prf_size} octets")
    block, material = b"", []
    for counter in range(1, blocks + 1):
        block = prf(algorithm, key, b"".join((block, seed, counter.to_bytes(1, "big"))))
        material.append(block)
    return b"".join(material)[:size]
