# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving an identity with a shared key (RFC 7296 §2.15), IKE_INTERMEDIATE included (RFC 9242 §3.3)."""

from __future__ import annotations

import hmac

from ..vpn.algorithms import Authentication
from .prf import prf as compute_prf

_KEY_PAD = b"Key Pad for IKEv2"


def signed_octets(
    prf: Authentication, message: bytes, peer_nonce: bytes, sk_p: bytes, id_body: bytes, int_auth: bytes = b""
) -> bytes:
    """What an end's AUTH payload covers.

    ``message`` is that end's whole IKE_SA_INIT message, ``peer_nonce`` the other end's nonce data, ``sk_p`` its own
    SK_pi or SK_pr, ``id_body`` its ID payload without the generic header. ``int_auth`` is what `IntAuth.octets` gives
    where there was IKE_INTERMEDIATE.
    """
    return b"".join((message, peer_nonce, compute_prf(prf, sk_p, id_body), int_auth))


class IntAuth:
    """What AUTH covers of the IKE_INTERMEDIATE exchanges (RFC 9242 §3.3.2)."""

    __slots__ = ("_exchanges", "_of_initiator", "_of_responder", "_prf")

    def __init__(self, prf: Authentication) -> None:
        self._prf = prf
        self._exchanges = 0
        self._of_initiator = self._of_responder = b""

    def add_request(self, sk_pi: bytes, message: bytes) -> None:
        """``message`` is headers and payloads as if neither encrypted nor cut into fragments; ``sk_pi`` was in force
        when the exchange began."""
        self._exchanges += 1
        self._of_initiator = compute_prf(self._prf, sk_pi, self._of_initiator + message)

    def add_response(self, sk_pr: bytes, message: bytes) -> None:
        self._of_responder = compute_prf(self._prf, sk_pr, self._of_responder + message)

    def octets(self) -> bytes:
        """What AUTH covers. It ends in the message identifier of IKE_AUTH, which follows these and IKE_SA_INIT."""
        return b"".join((self._of_initiator, self._of_responder, (self._exchanges + 1).to_bytes(4, "big")))


def psk_auth(prf: Authentication, psk: bytes, signed_octets: bytes) -> bytes:
    """The Authentication Data of the method Shared Key Message Integrity Code."""
    return compute_prf(prf, compute_prf(prf, psk, _KEY_PAD), signed_octets)


def equal(a: bytes, b: bytes) -> bool:
    """Whether both are the same, in a time that depends on their sizes only."""
    return hmac.compare_digest(a, b)
