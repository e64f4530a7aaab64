# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name constraints (RFC 5280 §4.2.1.10): an authority may issue for some names only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from ..asn1 import names
from .certificates import Address, Certificate, Names, Network
from .errors import CertificateError

_EMAIL = "1.2.840.113549.1.9.1"
_T = TypeVar("_T")
_U = TypeVar("_U")


def check(path: Sequence[Certificate]) -> None:
    """``path`` is from the peer's certificate up to the authority. Raises CertificateError where a certificate has a
    name that one above it does not allow, or where that cannot be told."""
    for place, issuer in enumerate(path):
        if issuer.permitted == issuer.excluded == Names():
            continue
        if issuer.permitted.others or issuer.excluded.others:
            raise CertificateError(f"certificate {issuer} constrains names of a kind that is not known here")
        for certificate in path[:place]:
            # Certificates by which an authority changes its own key are none of its names' (§6.1.3).
            if certificate.is_self_issued and certificate is not path[0]:
                continue
            if not _allowed(_names_of(certificate), issuer):
                raise CertificateError(f"certificate {certificate} has a name for which {issuer} may not issue")


def _names_of(certificate: Certificate) -> Names:
    """All its names, the subject among them, and mailboxes in the subject where none stand elsewhere."""
    found = certificate.alternative
    subject = names.decode(certificate.subject)
    mailboxes = found.mailboxes or tuple(row.value for rows in subject for row in rows if row.oid == _EMAIL)
    directory = (*found.directory, certificate.subject) if subject else found.directory
    return Names(found.domains, mailboxes, found.addresses, directory)


def _allowed(found: Names, issuer: Certificate) -> bool:
    permitted, excluded = issuer.permitted, issuer.excluded
    return (_each(found.domains, permitted.domains, excluded.domains, _domain_within)
            and _each(found.mailboxes, permitted.mailboxes, excluded.mailboxes, _mailbox_within)
            and _each(found.addresses, permitted.addresses, excluded.addresses, _address_within)
            and _each(found.directory, permitted.directory, excluded.directory, names.is_below))


def _each(found: Iterable[_T], permitted: Sequence[_U], excluded: Sequence[_U],
          within: Callable[[_T, _U], bool]) -> bool:
    """Where nothing of a kind is permitted by name, all of it is."""
    return all((not permitted or any(within(name, base) for base in permitted))
               and not any(within(name, base) for base in excluded) for name in found)


def _domain_within(name: str, base: str) -> bool:
    if not base or base.startswith("."):
        return name.endswith(base)
    return name == base or name.endswith(f".{base}")


def _mailbox_within(name: str, base: str) -> bool:
    """``base`` is a mailbox, a host, or with a dot before it all hosts of a domain."""
    user, _at, host = name.rpartition("@")
    if "@" in base:
        wanted, _at, host_wanted = base.rpartition("@")
        return user == wanted and host.lower() == host_wanted.lower()
    base = base.lower()
    return host.lower().endswith(base) if base.startswith(".") else host.lower() == base


def _address_within(address: Address | Network, base: Address | Network) -> bool:
    return isinstance(base, (IPv4Network, IPv6Network)) and address in base
