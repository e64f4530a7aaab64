# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 identifiers: what text each kind allows, and when two of them are the same.

Sources: RFC 7296 §3.5; RFC 1123 §2.1 for host names; RFC 4514 for distinguished names, and RFC 5280 §7.1 and RFC 4518
for when two of them are the same.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Hashable
from typing import NamedTuple

from .model import Identity, IdentityKind
from .pem import is_element
from .selectors import Address

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_LOCAL_PART = re.compile(r"[!-?A-~]+", re.ASCII)
_ESCAPE = re.compile(r"\\([ \"#+,/;<=>\\])")
_OCTETS = re.compile(r"(?:\\[0-9A-Fa-f]{2})+")
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*"
                        r"(#(?:[0-9A-Fa-f]{2})+|(?!#)(?:\\[0-9A-Fa-f]{2}|[^\\\";<>])+)", re.ASCII | re.DOTALL)
_NUMBERS = re.compile(r"([01]\.[0-3]?\d|2\.\d{1,9})(\.\d{1,9})+", re.ASCII)
_OIDS = {
    "CN": "2.5.4.3", "SURNAME": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
    "STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "TITLE": "2.5.4.12", "T": "2.5.4.12",
    "DESCRIPTION": "2.5.4.13", "POSTALCODE": "2.5.4.17", "NAME": "2.5.4.41", "GIVENNAME": "2.5.4.42", "GN": "2.5.4.42",
    "INITIALS": "2.5.4.43", "GENERATIONQUALIFIER": "2.5.4.44", "DNQUALIFIER": "2.5.4.46", "PSEUDONYM": "2.5.4.65",
    "ORGANIZATIONIDENTIFIER": "2.5.4.97", "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
    "E": "1.2.840.113549.1.9.1", "EMAILADDRESS": "1.2.840.113549.1.9.1", "UNSTRUCTUREDNAME": "1.2.840.113549.1.9.2",
    "UNSTRUCTUREDADDRESS": "1.2.840.113549.1.9.8"}
"""Attribute types by their names (RFC 4514 §3, RFC 4519, RFC 5280 appendix A.1); SN means two things, so none here."""
_SHORT_NAMES = {oid: name for name, oid in reversed(_OIDS.items())}


def parse_address(text: str) -> Address:
    """An IPv4 or IPv6 address without a scope. Raises ValueError with a sentence."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError("it is no IPv4 or IPv6 address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a scope means nothing to the peer")
    return address


def parse_interface_address(text: str) -> str:
    """An interface's address with its prefix length (``169.254.0.1/30``). Raises ValueError with a sentence."""
    address, _slash, length = text.strip().partition("/")
    parsed = parse_address(address)
    if not (length.isascii() and length.isdigit() and int(length) <= parsed.max_prefixlen):
        raise ValueError(f"an IPv{parsed.version} address of an interface has a prefix length of 0 to "
                         f"{parsed.max_prefixlen}")
    return f"{parsed}/{int(length)}"


def parse(kind: IdentityKind, text: str) -> Identity:
    """Raises ValueError with a sentence that says what the kind allows."""
    text = text.strip()
    if kind is IdentityKind.IP_ADDRESS:
        return Identity(kind, str(parse_address(text)))
    if kind is IdentityKind.DOMAIN_NAME:
        _check_domain(text)
    elif kind is IdentityKind.DOMAIN_INFORMATION:
        user, at, domain = text.partition("@")
        if not at or not _LOCAL_PART.fullmatch(user):
            raise ValueError("domain information has the form user@domain")
        _check_domain(domain)
    else:
        relative_names(text)
    return Identity(kind, text)


def of_address(address: Address) -> Identity:
    return Identity(IdentityKind.IP_ADDRESS, str(address))


def same(left: Identity, right: Identity) -> bool:
    """Whether two peers would take them for one another."""
    return key(left) == key(right)


def key(identity: Identity) -> tuple[IdentityKind, Hashable]:
    """What two identities share exactly when they are the same: names of domains ignore case (RFC 4343)."""
    if identity.kind is IdentityKind.DOMAIN_NAME:
        return identity.kind, identity.value.lower()
    if identity.kind is IdentityKind.DOMAIN_INFORMATION:
        user, _at, domain = identity.value.rpartition("@")
        return identity.kind, f"{user}@{domain.lower()}"
    if identity.kind is IdentityKind.X500_NAME:
        return identity.kind, _folded(identity.value)
    return identity.kind, identity.value


def _check_domain(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        raise ValueError("an address is an identifier of type ip-address, not a domain name")
    if not text or len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError("a domain name is ASCII labels of letters, digits and hyphens, joined by dots")


class Attribute(NamedTuple):
    """Of an X500 name: its type as it is written, and its value without escapes, or that value's encoding (``#04``)."""

    type: str
    value: str
    is_encoded: bool

    @property
    def oid(self) -> str:
        """The type as numbers."""
        return _OIDS.get(self.type.upper(), self.type)

    @property
    def short_name(self) -> str:
        """The type as operators read it, numbers where it has no name."""
        return _SHORT_NAMES.get(self.oid, self.oid)

    @property
    def folded(self) -> tuple[str, str, bool]:
        """As all that are the same have it, too."""
        value = self.value if self.is_encoded else unicodedata.normalize("NFKC", self.value)
        return self.oid, " ".join(value.casefold().split()), self.is_encoded


def relative_names(text: str) -> list[list[Attribute]]:
    """Those of an X500 name, in the order of the text: ``CN=hq, O=Ex`` or ``/CN=hq/O=Ex``. Raises ValueError."""
    separator = "/" if text.startswith("/") else ","
    escaped = _ESCAPE.sub(lambda escape: f"\\{ord(escape[1]):02X}", text.removeprefix("/"))
    return [list(map(_attribute, name.split("+"))) for name in escaped.split(separator)]


def _attribute(text: str) -> Attribute:
    match = _ATTRIBUTE.fullmatch(text.strip())
    if match is None:
        raise ValueError("an X500 name has the form CN=hq, O=Example, C=DE, and \\ before any \" + , ; < > \\ in it")
    kind, value = match.groups()
    if kind.upper() not in _OIDS and not _NUMBERS.fullmatch(kind):
        raise ValueError(f"{kind} is no attribute type of an X500 name, as CN, O, OU, L, ST, C, DC, UID and E are, and "
                         "any as numbers (2.5.4.3)")
    if value.startswith("#") and not is_element(bytes.fromhex(value[1:])):
        raise ValueError("after # in an X500 name stands the encoding of a value, as a whole (#0C026869)")
    try:
        plain = _OCTETS.sub(lambda octets: bytes.fromhex(octets[0].replace("\\", "")).decode(), value)
    except UnicodeDecodeError:
        raise ValueError("the escaped octets of an X500 name are UTF-8") from None
    return Attribute(kind, plain, value.startswith("#"))


def _folded(text: str) -> Hashable:
    """A distinguished name as all that are the same have it, too."""
    return tuple(tuple(sorted(attribute.folded for attribute in names)) for names in relative_names(text))
