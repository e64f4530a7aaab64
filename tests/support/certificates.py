# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities, and what they issue and revoke, good and bad."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from ikeengine.vpn import identities

NOT_BEFORE, NOT_AFTER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
"""The usual validity: of today, and of the virtual clock's day."""

KEYS: Mapping[str, Callable[[], Any]] = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA 3072": lambda: rsa.generate_private_key(65537, 3072),
    "ECDSA P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECDSA P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate, "Ed448": ed448.Ed448PrivateKey.generate,
}
_NO_HASH = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @cached_property
    def key_pem(self) -> str:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


def credential(own: Issued, *authorities: Issued, chain: Sequence[Issued] = (),
               crl: Sequence[str] = ()) -> dict[str, Any]:
    """As a declaration has it."""
    return {"method": "certificate", "certificate": own.pem, "private_key": own.key_pem,
            "ca": [row.pem for row in authorities], "chain": [row.pem for row in chain], "crl": list(crl)}


def name(text: str) -> x509.Name:
    """From an X500 name as declarations have it."""
    return x509.Name([x509.RelativeDistinguishedName([
        x509.NameAttribute(x509.ObjectIdentifier(row.oid), row.value) for row in rows])
        for rows in identities.relative_names(text)]) if text else x509.Name([])


def general_names(*texts: str) -> list[x509.GeneralName]:
    """Addresses, networks, mailboxes, directory names and domains, told apart by their looks."""
    return [_general_name(text) for text in texts]


def _general_name(text: str) -> x509.GeneralName:
    if "=" in text:
        return x509.DirectoryName(name(text))
    try:
        return x509.IPAddress(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


def issue(subject: str, issuer: Issued | None = None, *, key: str | Any = "ECDSA P-256", authority: bool = False,
          alternative: Sequence[str] = (), not_before: datetime = NOT_BEFORE, not_after: datetime = NOT_AFTER,
          path_length: int | None = None, usages: Sequence[str] | None = None, purposes: Sequence[str] = (),
          permitted: Sequence[str] = (), excluded: Sequence[str] = (), says_issuer: str | None = None,
          basic_constraints: bool = True, hash_: Any = None, pss: bool = False,
          extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> Issued:
    """One for ``subject``, by itself where there is no issuer. ``usages`` are attributes of x509.KeyUsage; ``key`` is
    one of KEYS or a key of another certificate; ``extensions`` come with whether they are critical."""
    own = KEYS[key]() if isinstance(key, str) else key
    signer = issuer.key if issuer else own
    issuer_name = issuer.certificate.subject if issuer and says_issuer is None else name(says_issuer or subject)
    builder = x509.CertificateBuilder(issuer_name, name(subject), own.public_key(), x509.random_serial_number(),
                                      not_before, not_after)
    if basic_constraints:
        builder = builder.add_extension(x509.BasicConstraints(authority, path_length), critical=True)
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(*alternative)), critical=not subject)
    if usages is not None:
        builder = builder.add_extension(_key_usage(usages), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(map(x509.ObjectIdentifier, purposes)), critical=False)
    if permitted or excluded:
        builder = builder.add_extension(x509.NameConstraints(general_names(*permitted) or None,
                                                             general_names(*excluded) or None), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                                    critical=False)
    return Issued(builder.sign(signer, *_algorithm(signer, hash_), **_padding(pss, hash_)), own)


def revocation_list(issuer: Issued, *revoked: Issued, this_update: datetime = NOT_BEFORE,
                    next_update: datetime = NOT_AFTER, key: Any = None, hash_: Any = None,
                    extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> str:
    """In PEM. ``key`` signs it in the issuer's place."""
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, this_update, next_update)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for one in revoked:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(
            one.certificate.serial_number, this_update).build())
    signer = key or issuer.key
    return builder.sign(signer, *_algorithm(signer, hash_)).public_bytes(serialization.Encoding.PEM).decode()


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{usage: usage in usages for usage in every})


def _algorithm(signer: Any, hash_: Any) -> tuple[Any]:
    return (None if isinstance(signer, _NO_HASH) else hash_ or hashes.SHA256(),)


def _padding(pss: bool, hash_: Any) -> dict[str, Any]:
    if not pss:
        return {}
    hash_ = hash_ or hashes.SHA256()
    return {"rsa_padding": padding.PSS(padding.MGF1(hash_), hash_.digest_size)}
