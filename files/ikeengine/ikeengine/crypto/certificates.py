# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and revocation lists (RFC 5280) as far as IKE asks of them: whose, by whom, since when, for what.

Whether to trust one is `certification_path`'s to say. Times are Unix seconds, names are in DER.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from ..asn1 import der, names
from ..asn1.der import DerError, Tag
from . import signature_schemes
from .errors import CertificateError, SignatureError
from .library import BackendLacks, unix_time
from .signatures import PublicKey

_UNDERSTOOD = frozenset({
    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.NAME_CONSTRAINTS,
    # Nothing is asked of policies, and identifiers of keys only help to find an issuer.
    ExtensionOID.CERTIFICATE_POLICIES, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER})
_USAGES = ("digital_signature", "content_commitment", "key_cert_sign", "crl_sign")
_UNREADABLE = (ValueError, TypeError, BackendLacks, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
               x509.InvalidVersion)
_CACHED = 4096
_LONGEST_NAME = 128

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Names:
    """Alternative names, or one side of name constraints, whose addresses are networks. ``others`` says that there are
    names of further kinds."""

    domains: tuple[str, ...] = ()
    mailboxes: tuple[str, ...] = ()
    addresses: tuple[Address | Network, ...] = ()
    directory: tuple[bytes, ...] = ()
    others: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """What an issuer signed: ``content`` with its tag and length, by the algorithm that ``identifier`` says."""

    content: bytes = field(repr=False)
    identifier: bytes
    signature: bytes = field(repr=False)

    @classmethod
    def read(cls, octets: bytes) -> Signed:
        """Raises DerError."""
        content, identifier, signature = der.element(octets).members(number=3)
        bits = signature.expect(Tag.BIT_STRING)
        if bits[:1] != b"\0":
            raise DerError("a signature is whole octets")
        return cls(content.whole, identifier.whole, bits[1:])

    def verify(self, key: PublicKey) -> None:
        """Raises SignatureError where ``key`` did not sign it, or signed it so that others could have."""
        scheme = signature_schemes.from_identifier(self.identifier)
        if not scheme.is_strong:
            raise SignatureError(f"it is signed with {scheme.name}, which can be forged")
        key.verify(scheme, self.signature, self.content)


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One that could be read; nothing says yet that it is good for anything.

    ``key_usage`` holds those of KeyUsage's bits that matter here, None where it does not say; ``purposes`` are the
    object identifiers of ExtendedKeyUsage, empty where it does not say. ``authority`` and ``path_length`` are
    BasicConstraints'. ``unknown_critical`` are extensions that whoever does not know them has to refuse.
    """

    der: bytes = field(repr=False)
    signed: Signed
    subject: bytes
    subject_key: Hashable
    issuer: bytes
    issuer_key: Hashable
    serial: int
    not_before: float
    not_after: float
    public: PublicKey
    authority: bool
    path_length: int | None
    key_usage: frozenset[str] | None
    purposes: tuple[str, ...]
    alternative: Names
    permitted: Names
    excluded: Names
    unknown_critical: tuple[str, ...]

    @property
    def is_self_issued(self) -> bool:
        return self.subject_key == self.issuer_key

    @property
    def key_hash(self) -> bytes:
        """What CERTREQ calls an authority: SHA-1 of its SubjectPublicKeyInfo, 20 octets (RFC 7296 §3.7)."""
        return hashlib.sha1(self.public.spki, usedforsecurity=False).digest()

    def allows(self, usage: str) -> bool:
        return self.key_usage is None or usage in self.key_usage

    def __str__(self) -> str:
        """For the operator, of bounded length."""
        return name_text(self.subject) or f"with serial number {self.serial:x}"


@dataclass(slots=True, eq=False)
class RevocationList:
    """A list that could be read; nothing says yet that its issuer made it. ``next_update`` is None where it does not
    say, which none may."""

    signed: Signed
    issuer: bytes
    issuer_key: Hashable
    this_update: float
    next_update: float | None
    unknown_critical: tuple[str, ...]
    _parsed: x509.CertificateRevocationList = field(repr=False)
    _verified_by: bytes = field(default=b"", repr=False)

    def verify(self, key: PublicKey) -> None:
        """As `Signed.verify`; a long list is worked through once."""
        if self._verified_by != key.spki:
            self.signed.verify(key)
            self._verified_by = key.spki

    def revoked_at(self, serial: int) -> float | None:
        """When the certificate of that number was revoked, or put on hold; None where it was not. Raises
        CertificateError where the number is none that the list could have."""
        if serial < 0:
            raise CertificateError("a certificate has a negative serial number (RFC 5280 §4.1.2.2), which no "
                                   "revocation list can be searched for")
        entry = self._parsed.get_revoked_certificate_by_serial_number(serial)
        return None if entry is None else unix_time(entry, "revocation_date")


def name_text(name: bytes) -> str:
    text = names.text(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def read_certificate(octets: bytes) -> Certificate:
    """From DER. Raises CertificateError."""
    try:
        parsed = x509.load_der_x509_certificate(octets)
        signed = Signed.read(octets)
        fields = [row for row in der.element(signed.content).members() if row.tag != Tag.CONTEXT_0]
        _serial, inner, issuer, _validity, subject = (row.whole for row in fields[:5])
        if inner != signed.identifier:
            raise DerError("two algorithm identifiers")
        extensions = {row.oid: row for row in parsed.extensions}
        key = parsed.public_key()
        facts = _extensions(extensions)
        keys = names.folded(subject), names.folded(issuer)
        text, serial = name_text(subject), parsed.serial_number
    except _UNREADABLE:
        raise CertificateError("a certificate cannot be read") from None
    try:
        public = PublicKey(key)
    except CertificateError as error:
        raise CertificateError(f"certificate {text}: {error}") from None
    unknown = tuple(row.oid.dotted_string for row in extensions.values() if row.critical and row.oid not in _UNDERSTOOD)
    return Certificate(octets, signed, subject, keys[0], issuer, keys[1], serial,
                       unix_time(parsed, "not_valid_before") or 0.0, unix_time(parsed, "not_valid_after") or 0.0,
                       public, *facts, unknown)


_Extensions: TypeAlias = "dict[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]"


def _extensions(found: _Extensions) -> tuple[bool, int | None, frozenset[str] | None, tuple[str, ...], Names, Names,
                                             Names]:
    authority, path_length, usage = False, None, None
    purposes: tuple[str, ...] = ()
    alternative = permitted = excluded = Names()
    for extension in found.values():
        match extension.value:
            case x509.BasicConstraints() as value:
                authority, path_length = value.ca, value.path_length
            case x509.KeyUsage() as value:
                usage = frozenset(name for name in _USAGES if getattr(value, name))
            case x509.ExtendedKeyUsage() as value:
                purposes = tuple(row.dotted_string for row in value)
            case x509.SubjectAlternativeName() as value:
                alternative = _names(value)
            case x509.NameConstraints() as value:
                permitted, excluded = _names(value.permitted_subtrees or ()), _names(value.excluded_subtrees or ())
    return authority, path_length, usage, purposes, alternative, permitted, excluded


def _names(found: x509.SubjectAlternativeName | list[x509.GeneralName] | tuple[()]) -> Names:
    domains, mailboxes, addresses, directory, others = [], [], [], [], False
    for name in found:
        match name:
            case x509.DNSName(value=text):
                domains.append(text.lower())
            case x509.RFC822Name(value=text):
                mailboxes.append(text)
            case x509.IPAddress(value=address):
                addresses.append(address)
            case x509.DirectoryName(value=value):
                names.folded(encoded := value.public_bytes())  # readable, or the certificate is not
                directory.append(encoded)
            case _:
                others = True
    return Names(tuple(domains), tuple(mailboxes), tuple(addresses), tuple(directory), others)


def read_revocation_list(octets: bytes) -> RevocationList:
    """From DER. Raises CertificateError."""
    try:
        parsed = x509.load_der_x509_crl(octets)
        signed = Signed.read(octets)
        fields = [row for row in der.element(signed.content).members() if row.tag != Tag.INTEGER]
        if fields[0].whole != signed.identifier:
            raise DerError("two algorithm identifiers")
        issuer = fields[1].whole
        # Those of a list narrow what it speaks of: whoever knows none of them uses no list that has one.
        unknown = tuple(row.oid.dotted_string for row in parsed.extensions if row.critical)
        return RevocationList(signed, issuer, names.folded(issuer), unix_time(parsed, "last_update") or 0.0,
                              unix_time(parsed, "next_update"), unknown, parsed)
    except (*_UNREADABLE, IndexError):
        raise CertificateError("a revocation list cannot be read") from None


@lru_cache(_CACHED)
def certificate_from_pem(text: str) -> Certificate:
    """A declared one, from the canonical form that `vpn.pem` gives, read once. Raises CertificateError."""
    return read_certificate(_octets(text))


@lru_cache(_CACHED)
def revocation_list_from_pem(text: str) -> RevocationList:
    """As `certificate_from_pem`."""
    return read_revocation_list(_octets(text))


def _octets(text: str) -> bytes:
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))
