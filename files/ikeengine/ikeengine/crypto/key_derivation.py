# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From shared secrets to the keys of IKE and Child SAs (RFC 7296 §2.14, §2.17, §2.18; RFC 9370 §2.2.2, §2.2.4;
RFC 8784 §3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..vpn.algorithms import Authentication, Encryption
from .prf import prf as compute_prf
from .prf import prf_plus


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The keys of an IKE SA, octets. ``sk_ei`` and ``sk_er`` end in the cipher's salt, if any (RFC 5282 §7.1)."""

    sk_d: bytes = field(repr=False)
    sk_ai: bytes = field(repr=False)
    sk_ar: bytes = field(repr=False)
    sk_ei: bytes = field(repr=False)
    sk_er: bytes = field(repr=False)
    sk_pi: bytes = field(repr=False)
    sk_pr: bytes = field(repr=False)


def skeyseed(prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> bytes:
    """SKEYSEED of a first IKE SA (RFC 7296 §2.14)."""
    return compute_prf(prf, nonce_i + nonce_r, shared_secret)


def rekeyed_skeyseed(
    prf: Authentication, sk_d: bytes, shared_secret: bytes, nonce_i: bytes, nonce_r: bytes, additional: bytes = b""
) -> bytes:
    """SKEYSEED of an IKE SA that replaces another; ``prf`` and ``sk_d`` are the old SA's (RFC 7296 §2.18).

    ``additional`` is the secrets of IKE_FOLLOWUP_KE in a row (RFC 9370 §2.2.4). The same formula gives SKEYSEED(n) of
    an IKE SA after its n-th IKE_INTERMEDIATE, from SK_d(n-1), that exchange's secret and the first nonces (§2.2.2).
    """
    return compute_prf(prf, sk_d, b"".join((shared_secret, nonce_i, nonce_r, additional)))


def with_ppk(prf: Authentication, keys: IkeKeys, ppk: bytes) -> IkeKeys:
    """The keys with a post-quantum pre-shared key in SK_d, SK_pi and SK_pr (RFC 8784 §3)."""
    sk_d, sk_pi, sk_pr = (prf_plus(prf, ppk, key, len(key)) for key in (keys.sk_d, keys.sk_pi, keys.sk_pr))
    return replace(keys, sk_d=sk_d, sk_pi=sk_pi, sk_pr=sk_pr)


def ike_keys(
    prf: Authentication,
    skeyseed: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    spi_i: bytes,
    spi_r: bytes,
    encryption: Encryption,
    integrity: Authentication | None,
) -> IkeKeys:
    """All keys of an IKE SA (RFC 7296 §2.14). ``integrity`` is None with AEAD, whose SK_a are empty (RFC 5282 §7.1)."""
    authentication_size = integrity.key_size if integrity else 0
    sizes = (
        prf.prf_size,
        authentication_size, authentication_size,
        encryption.keying_size, encryption.keying_size,
        prf.prf_size, prf.prf_size,
    )
    material = prf_plus(prf, skeyseed, b"".join((nonce_i, nonce_r, spi_i, spi_r)), sum(sizes))
    return IkeKeys(*_cut(material, sizes))


def child_keys(
    prf: Authentication,
    sk_d: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    encryption: Encryption | None,
    integrity: Authentication | None,
    shared_secret: bytes = b"",
    additional: bytes = b"",
) -> tuple[bytes, bytes, bytes, bytes]:
    """Encryption and integrity keys, initiator to responder first, then back (RFC 7296 §2.17).

    ``shared_secret`` is that of the CREATE_CHILD_SA exchange where it had one, ``additional`` those of IKE_FOLLOWUP_KE
    in a row (RFC 9370 §2.2.4). An absent algorithm has an empty key.
    """
    encryption_size = encryption.keying_size if encryption else 0
    integrity_size = integrity.key_size if integrity else 0
    sizes = (encryption_size, integrity_size) * 2
    material = prf_plus(prf, sk_d, b"".join((shared_secret, nonce_i, nonce_r, additional)), sum(sizes))
    encryption_i, integrity_i, encryption_r, integrity_r = _cut(material, sizes)
    return encryption_i, integrity_i, encryption_r, integrity_r


def _cut(material: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(material[start : start + size])
        start += size
    return pieces
