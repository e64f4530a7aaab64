# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing and verifying with the key of a certificate."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from ..vpn.algorithms import IDENTITY_HASH_ID, SIGNATURE_HASH_IDS, Authentication
from . import signature_schemes as schemes
from .errors import CertificateError, SignatureError
from .library import BackendLacks, NoDigestInfo
from .signature_schemes import KeyKind, Scheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_Public: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
_Private: TypeAlias = (rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
                       | ed448.Ed448PrivateKey)

RSA_BITS = range(2048, 8193)
_RSA_EXPONENT_BITS = 64
"""Less can be factored soon; more, of either, costs whoever verifies too much."""
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PREFERRED = {"P-256": schemes.SHA2, "P-384": (schemes.SHA2_384, schemes.SHA2_512, schemes.SHA2_256),
              "P-521": (schemes.SHA2_512, schemes.SHA2_384, schemes.SHA2_256)}
_HASHES: dict[str, hashes.HashAlgorithm] = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(),
                                            "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_HASHES_BY_SIZE = {row.digest_size: row for row in _HASHES.values()}

NEEDS_NEWER_LIBRARY = "" if NoDigestInfo is not None else "IKEv1 with it needs cryptography 47 or later on this host"
"""Why this host cannot sign with `signature_schemes.RSA_OF_HASH`, empty where it can."""

ACCEPTED_HASH_IDS = (*(SIGNATURE_HASH_IDS[row.name] for row in schemes.SHA2), IDENTITY_HASH_ID)
"""What we say in SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4, RFC 8420)."""


class PublicKey:
    """Of a peer, an authority, or our own. ``name`` is as operators say it (``RSA 3072``, ``ECDSA P-384``)."""

    __slots__ = ("_key", "curve", "kind", "name", "spki")

    def __init__(self, key: PublicKeyTypes) -> None:
        """Raises CertificateError for a key that is not accepted."""
        self.curve = ""
        if isinstance(key, rsa.RSAPublicKey):
            self.kind, self.name = KeyKind.RSA, f"RSA {key.key_size}"
            if key.key_size not in RSA_BITS:
                raise CertificateError(f"its key is {self.name}: {RSA_BITS[0]} to {RSA_BITS[-1]} bits are accepted")
            if key.public_numbers().e.bit_length() > _RSA_EXPONENT_BITS:
                raise CertificateError(f"its key is {self.name} with an exponent of more than {_RSA_EXPONENT_BITS} "
                                       "bits, which is not accepted")
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if key.curve.name not in _CURVES:
                raise CertificateError(f"its key is on the curve {key.curve.name}, which is not accepted")
            self.curve = _CURVES[key.curve.name]
            self.kind, self.name = KeyKind.ECDSA, f"ECDSA {self.curve}"
        elif isinstance(key, ed25519.Ed25519PublicKey):
            self.kind, self.name = KeyKind.ED25519, "Ed25519"
        elif isinstance(key, ed448.Ed448PublicKey):
            self.kind, self.name = KeyKind.ED448, "Ed448"
        else:
            raise CertificateError("its key is of a kind that is not accepted")
        self._key: _Public = key
        #: SubjectPublicKeyInfo in DER: equal exactly where the keys are.
        self.spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def __repr__(self) -> str:
        return f"<public key {self.name}>"

    def verify(self, scheme: Scheme, signature: bytes, data: bytes) -> None:
        """Raises SignatureError where it is not this key's signature of ``data``, with the reason."""
        if scheme.kind is not self.kind or scheme.curve not in ("", self.curve):
            raise SignatureError(f"a signature of {scheme.name} by a key that is {self.name}")
        try:
            good = self._is_good(scheme, signature, data)
        except (InvalidSignature, ValueError, BackendLacks):
            good = False
        if not good:
            raise SignatureError(f"the signature ({scheme.name}) is not that of its key ({self.name})")

    def _is_good(self, scheme: Scheme, signature: bytes, data: bytes) -> bool:
        key = self._key
        if isinstance(key, rsa.RSAPublicKey):
            if scheme.of_hash:
                return hmac.compare_digest(
                    key.recover_data_from_signature(signature, padding.PKCS1v15(), None), data)
            assert scheme.hash is not None
            key.verify(signature, data, _padding(scheme), _hash(scheme.hash))
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if scheme.curve:
                signature = _joined(signature, _field_size(key))
            key.verify(signature, data, _ecdsa(scheme, data))
        else:
            key.verify(signature, data)
        return True

    def best_scheme(self, hash_ids: Collection[int], like: Scheme | None = None) -> Scheme | None:
        """The scheme of RFC 7427 for this key and a peer that announced these hashes, None where there is none.

        ``like`` is what the peer itself signed with: with RSA its padding is ours (RFC 7427 §5), else it is PSS, as
        RFC 8247 §3 would have it.
        """
        return next((scheme for scheme in self._schemes(like) if scheme.hash_id in hash_ids), None)

    def _schemes(self, like: Scheme | None) -> list[Scheme]:
        if self.kind is KeyKind.RSA:
            pkcs1 = like is not None and like.kind is KeyKind.RSA and like.salt_size is None
            return [(schemes.PKCS1 if pkcs1 else schemes.PSS)[row] for row in schemes.SHA2]
        if self.kind is KeyKind.ECDSA:
            return [schemes.ECDSA[row] for row in _PREFERRED[self.curve]]
        return [schemes.ED25519 if self.kind is KeyKind.ED25519 else schemes.ED448]

    @property
    def numbered_scheme(self) -> Scheme | None:
        """What IKEv2's older methods sign with this kind of key, None where none does (RFC 7296 §3.8, RFC 4754)."""
        return schemes.RSA_SHA1 if self.kind is KeyKind.RSA else schemes.ECDSA_OF_CURVE.get(self.curve)

    @property
    def ikev1_scheme(self) -> Scheme | None:
        """What IKEv1 signs HASH_I and HASH_R with, None where it knows no such key (RFC 2409 §5.1, RFC 4754)."""
        return schemes.RSA_OF_HASH if self.kind is KeyKind.RSA else schemes.ECDSA_OF_HASH.get(self.curve)


class PrivateKey:
    """Our own. Its text form says only of which kind it is."""

    __slots__ = ("_key", "public")

    def __init__(self, key: _Private) -> None:
        """Raises CertificateError for a key that is not accepted."""
        self._key = key
        self.public = PublicKey(key.public_key())

    def __repr__(self) -> str:
        return f"<private key {self.public.name}>"

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Raises SignatureError where the library, or this key, cannot sign so."""
        key = self._key
        if scheme.kind is not self.public.kind or scheme.curve not in ("", self.public.curve):
            raise SignatureError(f"{scheme.name} cannot be signed by a key that is {self.public.name}")
        if isinstance(key, rsa.RSAPrivateKey):
            if scheme.of_hash:
                return key.sign(data, padding.PKCS1v15(), _no_digest_info())
            assert scheme.hash is not None
            return key.sign(data, _padding(scheme), _hash(scheme.hash))
        if isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(data, _ecdsa(scheme, data))
            return _side_by_side(signature, _field_size(key)) if scheme.curve else signature
        return key.sign(data)


def load_private_key(pem: bytes) -> PrivateKey:
    """From PEM: PKCS #8, or the traditional forms of RSA and EC. Raises CertificateError, which never quotes it."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, BackendLacks):
        raise CertificateError("the private key cannot be read") from None
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey,
                            ed448.Ed448PrivateKey)):
        raise CertificateError("the private key is of a kind that is not accepted")
    return PrivateKey(key)


def _hash(row: Authentication) -> hashes.HashAlgorithm:
    try:
        return _HASHES[row.hash_name]
    except KeyError:
        raise SignatureError(f"a signature with {row.name}, which is not accepted") from None


def _padding(scheme: Scheme) -> padding.PKCS1v15 | padding.PSS:
    if scheme.salt_size is None or scheme.hash is None:
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_hash(scheme.hash)), scheme.salt_size)


def _no_digest_info() -> NoDigestInfo:
    if NEEDS_NEWER_LIBRARY:
        raise SignatureError(NEEDS_NEWER_LIBRARY)
    return NoDigestInfo()


def _ecdsa(scheme: Scheme, data: bytes) -> ec.ECDSA:
    if not scheme.of_hash:
        assert scheme.hash is not None
        return ec.ECDSA(_hash(scheme.hash))
    try:
        return ec.ECDSA(Prehashed(_HASHES_BY_SIZE[len(data)]))
    except KeyError:
        raise SignatureError(f"ECDSA over a hash of {len(data)} octets, which is not accepted") from None


def _field_size(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> int:
    """Octets of r and of s: those of the curve's order, which on these curves are the field's."""
    return (key.curve.key_size + 7) // 8


def _joined(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        raise ValueError("r and s are not of the curve's size")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _side_by_side(signature: bytes, size: int) -> bytes:
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
