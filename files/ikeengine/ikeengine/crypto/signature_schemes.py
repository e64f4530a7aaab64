# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signature schemes: what they are called in an AlgorithmIdentifier, and those that IKE knows by number alone.

Sources: RFC 4055 for RSA, RFC 5758 for ECDSA, RFC 8410 for the Edwards curves, RFC 7427 for their use in IKEv2;
RFC 7296 §3.8, RFC 4754 and RFC 2409 §5.1 for the older methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..asn1 import der
from ..asn1.der import DerError, Element, Tag
from ..vpn import algorithms
from ..vpn.algorithms import Authentication, Strength
from .errors import SignatureError


class KeyKind(Enum):
    RSA = "RSA"
    ECDSA = "ECDSA"
    ED25519 = "Ed25519"
    ED448 = "Ed448"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How octets are signed.

    ``hash`` is None where they are not hashed first: because the scheme does it itself, or because they are the hash
    (``of_hash``). ``salt_size`` octets make it RSASSA-PSS. With a ``curve`` the signature is r and s side by side, and
    the key is on that curve; else ECDSA's is DER. ``identifier`` is the AlgorithmIdentifier in DER, empty where it has
    none.
    """

    name: str
    kind: KeyKind
    hash: Authentication | None = None
    salt_size: int | None = None
    curve: str = ""
    of_hash: bool = False
    identifier: bytes = b""

    @property
    def is_strong(self) -> bool:
        """Whether nobody can make two messages with one signature: not with MD5 and SHA-1."""
        return self.hash is None or self.hash.strength is not Strength.WEAK

    @property
    def hash_id(self) -> int:
        """What SIGNATURE_HASH_ALGORITHMS calls its hash (RFC 7427 §4)."""
        return algorithms.IDENTITY_HASH_ID if self.hash is None else algorithms.SIGNATURE_HASH_IDS[self.hash.name]


_MD5, SHA1, SHA2_256, SHA2_384, SHA2_512 = map(algorithms.authentication,
                                               ("MD5", "SHA1", "SHA2-256", "SHA2-384", "SHA2-512"))
SHA2 = (SHA2_256, SHA2_384, SHA2_512)

_NULL = der.encode(Tag.NULL)
_PSS, _MGF1 = "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
_HASH_OIDS = {SHA1: "1.3.14.3.2.26", SHA2_256: "2.16.840.1.101.3.4.2.1", SHA2_384: "2.16.840.1.101.3.4.2.2",
              SHA2_512: "2.16.840.1.101.3.4.2.3"}
_HASHES = {oid: row for row, oid in _HASH_OIDS.items()}
_PKCS1_OIDS = {_MD5: "1.2.840.113549.1.1.4", SHA1: "1.2.840.113549.1.1.5", SHA2_256: "1.2.840.113549.1.1.11",
               SHA2_384: "1.2.840.113549.1.1.12", SHA2_512: "1.2.840.113549.1.1.13"}
_ECDSA_OIDS = {SHA1: "1.2.840.10045.4.1", SHA2_256: "1.2.840.10045.4.3.2", SHA2_384: "1.2.840.10045.4.3.3",
               SHA2_512: "1.2.840.10045.4.3.4"}


def _identifier(oid: str, *parameters: bytes) -> bytes:
    return der.encode(Tag.SEQUENCE, der.encode_oid(oid), *parameters)


def pss(row: Authentication, salt_size: int) -> Scheme:
    """RSASSA-PSS with one hash in both places, as RFC 4055 §3.1 would have it."""
    digest = _identifier(_HASH_OIDS[row], _NULL)
    parameters = der.sequence((der.encode(Tag.CONTEXT_0, digest), der.encode(Tag.CONTEXT_1, _identifier(_MGF1, digest)),
                               der.encode(Tag.CONTEXT_2, der.encode_integer(salt_size))))
    return Scheme(f"RSA-PSS with {row.name}", KeyKind.RSA, row, salt_size=salt_size,
                  identifier=_identifier(_PSS, parameters))


PSS = {row: pss(row, row.prf_size) for row in SHA2}
"""With a salt as long as the hash."""
PKCS1 = {row: Scheme(f"RSA PKCS#1 with {row.name}", KeyKind.RSA, row, identifier=_identifier(oid, _NULL))
         for row, oid in _PKCS1_OIDS.items()}
ECDSA = {row: Scheme(f"ECDSA with {row.name}", KeyKind.ECDSA, row, identifier=_identifier(oid))
         for row, oid in _ECDSA_OIDS.items()}
ED25519 = Scheme("Ed25519", KeyKind.ED25519, identifier=_identifier("1.3.101.112"))
ED448 = Scheme("Ed448", KeyKind.ED448, identifier=_identifier("1.3.101.113"))

RSA_SHA1 = PKCS1[SHA1]
"""IKEv2's method RSA Digital Signature (RFC 7296 §3.8)."""
ECDSA_OF_CURVE = {curve: Scheme(f"ECDSA with {row.name} on {curve}", KeyKind.ECDSA, row, curve=curve)
                  for curve, row in (("P-256", SHA2_256), ("P-384", SHA2_384), ("P-521", SHA2_512))}
"""IKEv2's methods of RFC 4754."""
RSA_OF_HASH = Scheme("RSA over HASH", KeyKind.RSA, of_hash=True)
"""IKEv1's method RSA Signatures: PKCS #1 block type 1 without a DigestInfo (RFC 2409 §5.1)."""
ECDSA_OF_HASH = {curve: Scheme(f"ECDSA over HASH on {curve}", KeyKind.ECDSA, curve=curve, of_hash=True)
                 for curve in ECDSA_OF_CURVE}
"""IKEv1's methods of RFC 4754: HASH_I and HASH_R are the hash that ECDSA signs."""

_BY_IDENTIFIER = {scheme.identifier: scheme for scheme in (*PKCS1.values(), *ECDSA.values(), ED25519, ED448)}
# RFC 4055 §5 has a NULL, which some leave out; a receiver takes both.
_BY_IDENTIFIER |= {_identifier(oid): PKCS1[row] for row, oid in _PKCS1_OIDS.items()}


def from_identifier(identifier: bytes) -> Scheme:
    """The scheme of an AlgorithmIdentifier. Raises SignatureError where we have none."""
    known = _BY_IDENTIFIER.get(identifier)
    if known is not None:
        return known
    try:
        members = der.element(identifier).members()
        oid = der.oid(members[0])
        if oid == _PSS:
            return _read_pss(members[1:])
    except (DerError, IndexError):
        raise SignatureError("a signature whose algorithm identifier cannot be read") from None
    raise SignatureError(f"a signature of algorithm {oid}, which is not accepted")


def _read_pss(members: list[Element]) -> Scheme:
    """RSASSA-PSS-params (RFC 4055 §3.1), whose fields all have defaults. Raises DerError, SignatureError."""
    fields = {Tag.CONTEXT_0: SHA1, Tag.CONTEXT_1: SHA1, Tag.CONTEXT_2: 20, Tag.CONTEXT_3: 1}
    for field in members[0].members() if members else ():
        value = der.element(field.body)
        if field.tag not in fields:
            raise DerError("no field of RSASSA-PSS-params")
        if field.tag == Tag.CONTEXT_0:
            fields[Tag.CONTEXT_0] = _hash(value)
        elif field.tag == Tag.CONTEXT_1:
            mask, digest = value.members(number=2)
            if der.oid(mask) != _MGF1:
                raise SignatureError("RSA-PSS with another mask generation function than MGF1, which is not accepted")
            fields[Tag.CONTEXT_1] = _hash(digest)
        else:
            fields[Tag(field.tag)] = der.integer(value)
    row, mask_row, salt_size, trailer = fields.values()
    if row is not mask_row or trailer != 1:
        raise SignatureError("RSA-PSS with two hashes, or another trailer, which is not accepted")
    assert isinstance(row, Authentication) and isinstance(salt_size, int)
    if not 0 <= salt_size <= 512:
        raise SignatureError(f"RSA-PSS with a salt of {salt_size} octets, which is not accepted")
    return pss(row, salt_size)


def _hash(found: Element) -> Authentication:
    oid = der.oid(found.members()[0])
    row = _HASHES.get(oid)
    if row is None:
        raise SignatureError(f"RSA-PSS with hash {oid}, which is not accepted")
    return row
