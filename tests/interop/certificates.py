# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root, an authority below it and what it issues, in PEM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS: dict[str, Callable[[], Key]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048), "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


def issue(name: str, issuer: Issued | None = None, *, authority: bool = False, kind: str = "ECDSA",
          addresses: Sequence[str] = ()) -> Issued:
    """``CN=name``, and for a gateway the organisation ``Example, Inc.``; ``kind`` is one of KEYS.

    A gateway also has the domain name ``name.example``, ``gw@name.example`` and the addresses.
    """
    key, now = KEYS[kind](), datetime.now(UTC)
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if not authority:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."))
    subject, signer = x509.Name(parts), issuer.key if issuer else key
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject, subject, key.public_key(), x509.random_serial_number(),
        now - DAY, now + 30 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    if not authority:
        names = [x509.DNSName(f"{name}.example"), x509.RFC822Name(f"gw@{name}.example"),
                 *(x509.IPAddress(ip_address(address)) for address in addresses)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(builder.sign(signer, _digest(signer)), key)


def revocation_list(issuer: Issued, *revoked: Issued) -> str:
    """In PEM."""
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, now - DAY, now + 30 * DAY)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    for one in revoked:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(
            one.certificate.serial_number, now - DAY).build())
    return builder.sign(issuer.key, _digest(issuer.key)).public_bytes(serialization.Encoding.PEM).decode()


def _digest(key: Key) -> hashes.SHA256 | None:
    """Ed25519 has its own (RFC 8410)."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
