# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving who an end is in Phase 1 (RFC 2409 §5.1, §5.4): what differs between the kinds of credential."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..crypto.authentication import equal
from ..crypto.isakmp_keys import skeyid_of_psk
from ..ike.refusal import Refusal
from ..negotiation.credentials import another_key, no_key
from ..negotiation.reasons import Reason
from ..vpn.algorithms import Authentication
from ..vpn.model import CredentialMethod, Gateway
from ..wire.v1.constants import AuthenticationMethod, NotifyType
from ..wire.v1.message import Payload, first
from ..wire.v1.opaque import Hash

#: HASH_I or HASH_R, of one end, under the PRF that it is to be made with.
Proven: TypeAlias = Callable[[Authentication], bytes]


class Credentials(ABC):
    """Those of one gateway, for both ends of one Phase 1."""

    method: AuthenticationMethod

    @abstractmethod
    def other_keys(self) -> Reason:
        """Why the peer's encrypted message of Phase 1 may be none under our keys."""

    @abstractmethod
    def skeyid(self, prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> bytes:
        """What all keys come from."""

    @abstractmethod
    def prove(self, prf: Authentication, proven: Proven) -> list[Payload]:
        """What shows that we are who we say."""

    @abstractmethod
    def check(self, prf: Authentication, payloads: Sequence[Payload], proven: Proven) -> None:
        """Raises Refusal where the peer does not show that it is who it says."""

    def request(self) -> list[Payload]:
        """What asks the peer for its own."""
        return []


class PreSharedKey(Credentials):
    """The same key at both ends: who can make HASH knows it."""

    method = AuthenticationMethod.PRE_SHARED_KEY

    def __init__(self, gateway: Gateway, peer: object, key: bytes) -> None:
        self._gateway, self._peer = gateway, peer
        self._key = key

    def other_keys(self) -> Reason:
        return another_key(self._gateway, self._peer)

    def skeyid(self, prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> bytes:
        return skeyid_of_psk(prf, self._key, nonce_i, nonce_r)

    def prove(self, prf: Authentication, proven: Proven) -> list[Payload]:
        return [Hash(proven(prf))]

    def check(self, prf: Authentication, payloads: Sequence[Payload], proven: Proven) -> None:
        theirs = first(payloads, Hash)
        if theirs is None or not equal(theirs.data, proven(prf)):
            raise Refusal(NotifyType.AUTHENTICATION_FAILED, self.other_keys())


def credentials_of(gateway: Gateway, peer: object) -> Credentials:
    """For a Phase 1 with ``peer``, its address. Raises Refusal where the gateway has none that this version can use."""
    secret = gateway.credential.secret
    if gateway.method is CredentialMethod.CERTIFICATE:
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, f"gateway {gateway.name}: certificates are not negotiated yet")
    if secret is None:
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, no_key(gateway))
    return PreSharedKey(gateway, peer, secret.octets)
