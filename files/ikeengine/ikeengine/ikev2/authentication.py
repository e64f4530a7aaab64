# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving who one is in IKE_AUTH (RFC 7296 §2.15): by a pre-shared key, or by a certificate's (RFC 7427)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..crypto import signature_schemes
from ..crypto.authentication import equal, psk_auth, signed_octets
from ..crypto.errors import CertificateError, SignatureError
from ..crypto.signature_schemes import ECDSA_OF_CURVE, RSA_SHA1, Scheme
from ..crypto.signatures import ACCEPTED_HASH_IDS
from ..ike.credentials import MOST_SENT, authorities_of, certified
from ..ike.refusal import Refusal
from ..negotiation.credentials import (
    another_key,
    another_method,
    no_key,
    no_scheme,
    only_by_address,
    untrusted,
    unusable_certificate,
)
from ..negotiation.reasons import Reason
from ..vpn.model import CredentialMethod, Gateway, Secret
from ..wire.authentication import Authentication, DigitalSignature
from ..wire.certificate import Certificate, CertificateRequest
from ..wire.constants import AuthMethod, CertificateEncoding, NotifyType
from ..wire.identification import Identification
from ..wire.message import Payload, notify
from ..wire.notify import Notify
from ..wire.payloads import all_of

if TYPE_CHECKING:
    from .session import Ikev2Session

_NUMBERED: dict[int, Scheme] = {
    AuthMethod.RSA_SIGNATURE: RSA_SHA1, AuthMethod.ECDSA_SHA2_256_P256: ECDSA_OF_CURVE["P-256"],
    AuthMethod.ECDSA_SHA2_384_P384: ECDSA_OF_CURVE["P-384"], AuthMethod.ECDSA_SHA2_512_P521: ECDSA_OF_CURVE["P-521"]}
_NUMBER_OF = {scheme: AuthMethod(number) for number, scheme in _NUMBERED.items()}
_BY_ADDRESS = (CertificateEncoding.X509_HASH_AND_URL, CertificateEncoding.X509_BUNDLE_HASH_AND_URL)
_MOST_REQUESTED = 16
"""Authorities that are named to a peer: to one that is not authenticated yet, an answer stays small."""


# ------------------------------------------------------------------------------------------------ before IKE_AUTH

def announce() -> Notify:
    """The hashes that a peer may sign with (RFC 7427 §4)."""
    return Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS,
                  b"".join(number.to_bytes(2, "big") for number in ACCEPTED_HASH_IDS))


def announced(payloads: Sequence[Payload]) -> frozenset[int]:
    """Those of the peer; none where it knows no RFC 7427."""
    found = notify(payloads, NotifyType.SIGNATURE_HASH_ALGORITHMS)
    data = found.data if found else b""
    return frozenset(int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data) - 1, 2))


def request(gateways: Iterable[Gateway]) -> list[Payload]:
    """CERTREQ for the authorities of those gateways (RFC 7296 §3.7), nothing where none wants a certificate."""
    wanted = dict.fromkeys(row.key_hash for row in authorities_of(gateways))
    if not wanted:
        return []
    hashes = b"".join(wanted) if len(wanted) <= _MOST_REQUESTED else b""
    return [CertificateRequest(CertificateEncoding.X509_SIGNATURE, hashes)]


# ------------------------------------------------------------------------------------------------ our proof

def prove(session: Ikev2Session, gateway: Gateway, identity: Identification, *, of_initiator: bool,
          like: Scheme | None = None) -> tuple[list[Payload], Authentication]:
    """Our certificates, if it is by these, and AUTH for ``identity``. ``like`` is how the peer signed. A responder
    answers by the pre-shared key that the peer has shown to know, which may have no other. Raises Refusal."""
    session.proofs.credential = gateway.credential
    if gateway.method is not CredentialMethod.CERTIFICATE:
        accepted = gateway.credential.accepted
        if not accepted:
            raise _refusal(no_key(gateway))
        key = session.proofs.peer_key or accepted[session.key_turn % len(accepted)]
        session.proofs.own_key = key
        return [], Authentication(AuthMethod.SHARED_KEY, _by_key(session, key, identity, of_initiator))
    try:
        ours = certified(gateway.credential)
        # Who announces no hash of ours still knows the methods of old.
        public = ours.key.public
        scheme = public.best_scheme(session.signature_hashes, like) or public.numbered_scheme
        if scheme is None:
            raise _refusal(no_scheme(gateway, session.remote.address, public.name))
        signature = ours.key.sign(scheme, _signed(session, identity, of_initiator))
    except (CertificateError, SignatureError) as error:
        raise _refusal(unusable_certificate(gateway, str(error))) from None
    certificates: list[Payload] = [Certificate(CertificateEncoding.X509_SIGNATURE, der) for der in ours.to_send]
    if scheme in _NUMBER_OF:
        return certificates, Authentication(_NUMBER_OF[scheme], signature)
    return certificates, Authentication(AuthMethod.DIGITAL_SIGNATURE,
                                        DigitalSignature(scheme.identifier, signature).encode())


# ------------------------------------------------------------------------------------------------ the peer's

def check(session: Ikev2Session, gateway: Gateway, payloads: Sequence[Payload], identity: Identification,
          proof: Authentication | None, now: float, *, of_initiator: bool) -> Scheme | None:
    """Raises Refusal where the peer's proof does not hold, or none is there, by which it asks for EAP (RFC 7296 §2.16).
    Gives how it signed, if it did."""
    peer, account = session.remote.address, session.account
    assert session.pair is not None
    if proof is None:
        account.credential = "the peer asks for EAP"
        raise _refusal(another_method(gateway, peer, None))
    account.credential = f"authentication method {proof.method} is another than ours"
    by_certificate = proof.method in _NUMBERED or proof.method == AuthMethod.DIGITAL_SIGNATURE
    if by_certificate is not (gateway.method is CredentialMethod.CERTIFICATE) or (
            not by_certificate and proof.method != AuthMethod.SHARED_KEY):
        raise _refusal(another_method(gateway, peer, proof.method))
    if not by_certificate:
        account.credential = "the proof is not that of our pre-shared key"
        session.proofs.peer_key = _key_of(session, gateway, identity, proof, of_initiator)
        if session.proofs.peer_key is None:
            raise _refusal(another_key(gateway, peer, with_ppk=session.protection.ppk))
        account.credential = "the proof is that of our pre-shared key"
        return None
    sent = _bodies(payloads, CertificateEncoding.X509_SIGNATURE)
    account.credential = "the certificate is not trusted"
    if not sent and any(row.encoding in _BY_ADDRESS for row in all_of(payloads, Certificate)):
        raise _refusal(only_by_address(gateway, peer))
    lists = _bodies(payloads, CertificateEncoding.CERTIFICATE_REVOCATION_LIST)
    session.proofs.certificates, session.proofs.lists = sent, lists
    try:
        certificate = certified(gateway.credential).trust(
            session.pair.remote.identity, sent, lists, session.context.unix_time(now))
        scheme, signature = _scheme_and_signature(proof, session.signature_hashes)
        certificate.public.verify(scheme, signature, _signed(session, identity, of_initiator))
    except (CertificateError, SignatureError) as error:
        account.credential = str(error)
        raise _refusal(untrusted(gateway, peer, str(error))) from None
    account.credential = f"certificate {certificate} is trusted, and the proof is its signature ({scheme.name})"
    return scheme


def _scheme_and_signature(proof: Authentication, hashes: Collection[int]) -> tuple[Scheme, bytes]:
    """``hashes`` are those that the peer announced: who did, and signs with SHA-1 all the same, was kept from hearing
    ours. Raises SignatureError for what we did not announce, MalformedMessage."""
    if proof.method in _NUMBERED:
        scheme, signature = _NUMBERED[proof.method], proof.data
    else:
        found = DigitalSignature.decode(proof.data)
        scheme, signature = signature_schemes.from_identifier(found.algorithm), found.value
    if not scheme.is_strong and (hashes or proof.method not in _NUMBERED):
        raise SignatureError(f"it signs with {scheme.name}, which was not announced")
    return scheme, signature


def _bodies(payloads: Sequence[Payload], encoding: CertificateEncoding) -> list[bytes]:
    return [row.data for row in all_of(payloads, Certificate) if row.encoding == encoding][:MOST_SENT]


# ------------------------------------------------------------------------------------------------ what is proved

def _signed(session: Ikev2Session, identity: Identification, of_initiator: bool) -> bytes:
    """What AUTH of that end covers."""
    protection = session.protection
    message, nonce, key = ((session.init_request, session.nonce_r, protection.keys.sk_pi) if of_initiator
                           else (session.init_response, session.nonce_i, protection.keys.sk_pr))
    int_auth = session.additional.int_auth.octets() if session.additional else b""
    return signed_octets(protection.prf, message, nonce, key, identity.encode_body(), int_auth)


def _by_key(session: Ikev2Session, key: Secret, identity: Identification, of_initiator: bool) -> bytes:
    """AUTH of that end by the pre-shared key."""
    return psk_auth(session.protection.prf, key.octets, _signed(session, identity, of_initiator))


def _key_of(session: Ikev2Session, gateway: Gateway, identity: Identification, proof: Authentication,
            of_initiator: bool) -> Secret | None:
    """The accepted key that the proof is of. All are tried, so that time does not tell which it is. Raises Refusal."""
    accepted = gateway.credential.accepted
    if not accepted:
        raise _refusal(no_key(gateway))
    found = [row for row in accepted if equal(proof.data, _by_key(session, row, identity, of_initiator))]
    return found[0] if found else None


def _refusal(reason: Reason) -> Refusal:
    return Refusal(NotifyType.AUTHENTICATION_FAILED, reason, fatal=True)
