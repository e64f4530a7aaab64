# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving an identity with a shared key (RFC 7296 §2.15)."""

from __future__ import annotations

import hmac

from ..vpn.algorithms import Authentication
from .prf import prf as compute_prf

_KEY_PAD = b"Key Pad for IKEv2"


def signed_octets(prf: Authentication, message: bytes, peer_nonce: bytes, sk_p: bytes, id_body: bytes) -> bytes:
    """What an end's AUTH payload covers.

    ``message`` is that end's whole IKE_SA_INIT message, ``peer_nonce`` the other end's nonce data, ``sk_p`` its own
    SK_pi or SK_pr, ``id_body`` its ID payload without the generic header.
    """
    return b"".join((message, peer_nonce, compute_prf(prf, sk_p, id_body)))


def psk_auth(prf: Authentication, psk: bytes, signed_octets: bytes) -> bytes:
    """The Authentication Data of the method Shared Key Message Integrity Code."""
    return compute_prf(prf, compute_prf(prf, psk, _KEY_PAD), signed_octets)


def equal(a: bytes, b: bytes) -> bool:
    """Whether both are the same, in a time that depends on their sizes only."""
    return hmac.compare_digest(a, b)
