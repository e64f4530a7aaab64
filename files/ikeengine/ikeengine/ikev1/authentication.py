# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving who an end is in Phase 1 (RFC 2409 §5.1, §5.4): what differs between the kinds of credential."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..crypto import signature_schemes
from ..crypto.authentication import equal
from ..crypto.errors import CertificateError, SignatureError
from ..crypto.isakmp_keys import skeyid_of_psk, skeyid_of_signatures
from ..crypto.signature_schemes import Scheme
from ..ike.credentials import MOST_SENT, certified
from ..ike.proofs import Proofs
from ..ike.refusal import Refusal
from ..negotiation.credentials import another_key, no_key, no_scheme, untrusted, unusable_certificate
from ..negotiation.reasons import Reason
from ..vpn import algorithms
from ..vpn.algorithms import Authentication
from ..vpn.model import CredentialMethod, Gateway, Identity, Secret
from ..wire.payloads import all_of, first
from ..wire.v1.certificate import Certificate, CertificateRequest
from ..wire.v1.constants import AuthenticationMethod, CertificateEncoding, NotifyType
from ..wire.v1.message import Payload
from ..wire.v1.opaque import Hash, Signature

#: HASH_I or HASH_R, of one end, under the PRF that it is to be made with.
Proven: TypeAlias = Callable[[Authentication], bytes]
#: A pre-shared key and the SKEYID that comes from it; without one, the SKEYID of signatures.
Keyed: TypeAlias = tuple[Secret | None, bytes]

_CURVES = signature_schemes.ECDSA_OF_HASH
_METHODS: dict[Scheme, AuthenticationMethod] = {
    signature_schemes.RSA_OF_HASH: AuthenticationMethod.RSA_SIGNATURE,
    _CURVES["P-256"]: AuthenticationMethod.ECDSA_SHA2_256_P256,
    _CURVES["P-384"]: AuthenticationMethod.ECDSA_SHA2_384_P384,
    _CURVES["P-521"]: AuthenticationMethod.ECDSA_SHA2_512_P521}
_HASH_OF: dict[AuthenticationMethod, Authentication] = {
    AuthenticationMethod.ECDSA_SHA2_256_P256: algorithms.authentication("SHA2-256"),
    AuthenticationMethod.ECDSA_SHA2_384_P384: algorithms.authentication("SHA2-384"),
    AuthenticationMethod.ECDSA_SHA2_512_P521: algorithms.authentication("SHA2-512")}
"""What is signed on a curve is of that hash, whatever Phase 1 negotiated for all else (RFC 4754 §2)."""
_MOST_REQUESTED = 8


class Credentials(ABC):
    """Those of one gateway, for both ends of one Phase 1 with ``peer``, its address."""

    method: AuthenticationMethod

    def __init__(self, gateway: Gateway, peer: object) -> None:
        self._gateway, self._peer = gateway, peer

    @abstractmethod
    def other_keys(self) -> Reason:
        """Why the peer's encrypted message of Phase 1 may be none under our keys."""

    @abstractmethod
    def skeyids(self, prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> list[Keyed]:
        """What all keys come from: one for each pre-shared key that the peer may have, our own first."""

    def proofs(self, key: Secret | None, payloads: Sequence[Payload]) -> Proofs:
        """What is kept of a Phase 1 under that key, in which the peer sent these with its proof."""
        return Proofs(self._gateway.credential, key, key)

    @abstractmethod
    def prove(self, prf: Authentication, proven: Proven) -> list[Payload]:
        """What shows that we are who we say. Raises Refusal."""

    @abstractmethod
    def check(self, prf: Authentication, payloads: Sequence[Payload], proven: Proven, who: Identity, at: float) -> None:
        """Raises Refusal where the peer does not show that it is ``who``; ``at`` is the Unix time."""

    def request(self) -> list[Payload]:
        """What asks the peer for its own."""
        return []


class PreSharedKey(Credentials):
    """The same key at both ends: who can make HASH knows it."""

    method = AuthenticationMethod.PRE_SHARED_KEY

    def __init__(self, gateway: Gateway, peer: object) -> None:
        """Raises Refusal."""
        super().__init__(gateway, peer)
        if gateway.credential.secret is None:
            raise _refusal(no_key(gateway))

    def other_keys(self) -> Reason:
        return another_key(self._gateway, self._peer)

    def skeyids(self, prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> list[Keyed]:
        return [(key, skeyid_of_psk(prf, key.octets, nonce_i, nonce_r)) for key in self._gateway.credential.accepted]

    def prove(self, prf: Authentication, proven: Proven) -> list[Payload]:
        return [Hash(proven(prf))]

    def check(self, prf: Authentication, payloads: Sequence[Payload], proven: Proven, who: Identity, at: float) -> None:
        theirs = first(payloads, Hash)
        if theirs is None or not equal(theirs.data, proven(prf)):
            raise _refusal(self.other_keys())


class Signatures(Credentials):
    """Each end signs its HASH with the key of its certificate; both keys are of one kind."""

    def __init__(self, gateway: Gateway, peer: object) -> None:
        """Raises Refusal."""
        super().__init__(gateway, peer)
        try:
            self._ours = certified(gateway.credential)
        except CertificateError as error:
            raise _refusal(unusable_certificate(gateway, str(error))) from None
        scheme = self._ours.key.public.ikev1_scheme
        if scheme is None:
            raise _refusal(no_scheme(gateway, peer, self._ours.key.public.name))
        self._scheme = scheme
        self.method = _METHODS[scheme]

    def other_keys(self) -> Reason:
        return Reason("its keys are others than ours", "Let both try again", "phase 1",
                      f"the peer {self._peer} sends what makes no sense")

    def skeyids(self, prf: Authentication, nonce_i: bytes, nonce_r: bytes, shared_secret: bytes) -> list[Keyed]:
        return [(None, skeyid_of_signatures(prf, nonce_i, nonce_r, shared_secret))]

    def proofs(self, key: Secret | None, payloads: Sequence[Payload]) -> Proofs:
        return Proofs(self._gateway.credential, certificates=_bodies(payloads, CertificateEncoding.X509_SIGNATURE),
                      lists=_bodies(payloads, CertificateEncoding.CERTIFICATE_REVOCATION_LIST))

    def prove(self, prf: Authentication, proven: Proven) -> list[Payload]:
        try:
            signature = self._ours.key.sign(self._scheme, proven(_HASH_OF.get(self.method, prf)))
        except SignatureError as error:
            raise _refusal(unusable_certificate(self._gateway, str(error))) from None
        return [*(Certificate(CertificateEncoding.X509_SIGNATURE, der) for der in self._ours.to_send),
                Signature(signature)]

    def check(self, prf: Authentication, payloads: Sequence[Payload], proven: Proven, who: Identity, at: float) -> None:
        theirs = first(payloads, Signature)
        try:
            certificate = self._ours.trust(
                who, _bodies(payloads, CertificateEncoding.X509_SIGNATURE),
                _bodies(payloads, CertificateEncoding.CERTIFICATE_REVOCATION_LIST), at)
            certificate.public.verify(self._scheme, theirs.data if theirs is not None else b"",
                                      proven(_HASH_OF.get(self.method, prf)))
        except (CertificateError, SignatureError) as error:
            raise _refusal(untrusted(self._gateway, self._peer, str(error))) from None

    def request(self) -> list[Payload]:
        """The authorities that the peer's certificate has to come from; any, where they are many (RFC 4945 §3.3.1)."""
        authorities = [row.subject for row in self._ours.authorities]
        wanted = list(dict.fromkeys(authorities)) if len(authorities) <= _MOST_REQUESTED else [b""]
        return [CertificateRequest(CertificateEncoding.X509_SIGNATURE, name) for name in wanted]


def _bodies(payloads: Sequence[Payload], encoding: CertificateEncoding) -> list[bytes]:
    return [row.data for row in all_of(payloads, Certificate) if row.encoding == encoding][:MOST_SENT]


def _refusal(reason: Reason) -> Refusal:
    return Refusal(NotifyType.AUTHENTICATION_FAILED, reason)


def credentials_of(gateway: Gateway, peer: object) -> Credentials:
    """For a Phase 1 with ``peer``, its address. Raises Refusal where the gateway has none that IKEv1 can use."""
    return (Signatures if gateway.method is CredentialMethod.CERTIFICATE else PreSharedKey)(gateway, peer)
