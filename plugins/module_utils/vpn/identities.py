# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 identifiers: what text each kind allows, and when two of them are the same.

Sources: RFC 7296 §3.5; RFC 1123 §2.1 for host names; RFC 4514 for distinguished names.
"""

from __future__ import annotations

import ipaddress
import re

from .model import Identity, IdentityKind
from .selectors import Address

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_LOCAL_PART = re.compile(r"[!-?A-~]+", re.ASCII)
_RDN = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*(\S(?:.*\S)?)\s*", re.ASCII)
_RDN_BREAK = re.compile(r"(?<!\\)[,/+]")


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
        _check_distinguished_name(text)
    return Identity(kind, text)


def of_address(address: Address) -> Identity:
    return Identity(IdentityKind.IP_ADDRESS, str(address))


def same(left: Identity, right: Identity) -> bool:
    """Whether two peers would take them for one another."""
    return key(left) == key(right)


def key(identity: Identity) -> tuple[IdentityKind, str]:
    """What two identities share exactly when they are the same: names of domains ignore case (RFC 4343)."""
    if identity.kind is IdentityKind.DOMAIN_NAME:
        return identity.kind, identity.value.lower()
    if identity.kind is IdentityKind.DOMAIN_INFORMATION:
        user, _at, domain = identity.value.rpartition("@")
        return identity.kind, f"{user}@{domain.lower()}"
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


def _check_distinguished_name(text: str) -> None:
    parts = _RDN_BREAK.split(text.removeprefix("/"))
    if not all(_RDN.fullmatch(part) for part in parts):
        raise ValueError("an X500 name has the form CN=hq, O=Example, C=DE")
