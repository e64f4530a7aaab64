# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that are certificates, for either version: what is declared, read once, and whom it trusts."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from ..asn1 import names
from ..crypto.certificates import (
    Certificate,
    RevocationList,
    certificate_from_pem,
    read_certificate,
    read_revocation_list,
    revocation_list_from_pem,
)
from ..crypto.certification_path import check_peer
from ..crypto.errors import CertificateError
from ..crypto.signatures import PrivateKey, load_private_key
from ..negotiation import identities
from ..vpn.model import Credential, CredentialMethod, EndpointPair, Gateway, Identity, IdentityKind
from ..wire.constants import IdType

_T = TypeVar("_T")

MOST_SENT = 16
"""Certificates, and revocation lists, of one peer that are looked at."""
_CACHED = 4096
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Certified:
    """A declared credential that is a certificate. ``chain`` leads from ``own`` to its authority, which need not be one
    of ``authorities``: the peer's must come from one of these."""

    own: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...]
    authorities: tuple[Certificate, ...]
    lists: tuple[RevocationList, ...]

    @property
    def to_send(self) -> Iterator[bytes]:
        """What the peer needs to trust us, in DER: our own certificate, then those above it."""
        return (row.der for row in (self.own, *self.chain))

    def trust(self, identity: Identity, sent: Sequence[bytes], sent_lists: Sequence[bytes], at: float) -> Certificate:
        """The certificate of the peer that is ``identity``, of those that it sent, its own one first, at the Unix time
        ``at``. Raises CertificateError with the check that failed."""
        if not sent:
            raise CertificateError("the peer sent no certificate")
        leaf = read_certificate(sent[0])
        between = (*_readable(sent[1:MOST_SENT], read_certificate), *self.chain)
        lists = list(_readable(sent_lists[:MOST_SENT], read_revocation_list))
        check_peer(leaf, between, self.authorities, self.lists, lists, at)
        check_name(leaf, identity)
        return leaf


def _readable(sent: Iterable[bytes], read: Callable[[bytes], _T]) -> Iterator[_T]:
    """Of what may help, that which we can use."""
    for octets in sent:
        with suppress(CertificateError):
            yield read(octets)


@lru_cache(_CACHED)
def certified(credential: Credential) -> Certified:
    """Read once for each declared credential. Raises CertificateError."""
    if credential.certificate is None or credential.secret is None:
        raise CertificateError("there is no certificate, or no private key of it")
    key = load_private_key(credential.secret.octets)
    own = certificate_from_pem(credential.certificate)
    if own.public.spki != key.public.spki:
        raise CertificateError(f"the private key is not that of certificate {own}")
    return Certified(own, key, tuple(map(certificate_from_pem, credential.chain)),
                     tuple(map(certificate_from_pem, credential.ca)),
                     tuple(map(revocation_list_from_pem, credential.crl)))


def authorities_of(gateways: Iterable[Gateway]) -> list[Certificate]:
    """Whom the certificates of peers that may be any of these may come from, each once. What is wrong with a gateway's
    own is said where it is to prove something, and takes nothing from the others."""
    found: dict[bytes, Certificate] = {}
    for gateway in gateways:
        if gateway.method is CredentialMethod.CERTIFICATE:
            with suppress(CertificateError):
                found |= {authority.der: authority for authority in certified(gateway.credential).authorities}
    return list(found.values())


def identification(gateway: Gateway, pair: EndpointPair) -> tuple[int, bytes]:
    """Type and data of who we say that we are, an X500 name as it stands in our certificate, since
    peers may compare octets (RFC 4945 §3.1.5)."""
    id_type, data = identities.to_wire(pair.local.identity)
    if id_type == IdType.DER_ASN1_DN and gateway.method is CredentialMethod.CERTIFICATE:
        with suppress(CertificateError):  # what is wrong with ours is said where it is to prove something
            subject = certified(gateway.credential).own.subject
            return id_type, subject if names.same(subject, data) else data
    return id_type, data


def check_name(certificate: Certificate, identity: Identity) -> None:
    """Raises CertificateError where the certificate is somebody else's.

    An address, a domain name and domain information stand in the alternative name of their kind, an X500 name is the
    subject (RFC 4945 §3.1). A common name that looks like a domain is none, and none holds a wildcard.
    """
    found = certificate.alternative
    if identity.kind is IdentityKind.X500_NAME:
        if not names.same(certificate.subject, names.encode(identity.value)):
            raise CertificateError(f"certificate {certificate} is for another name than {identities.words(identity)}")
        return
    held = {IdentityKind.IP_ADDRESS: found.addresses, IdentityKind.DOMAIN_NAME: found.domains,
            IdentityKind.DOMAIN_INFORMATION: found.mailboxes}[identity.kind]
    wanted = identity.value
    if identity.kind is IdentityKind.IP_ADDRESS:
        wanted = str(ipaddress.ip_address(wanted))
    if _folded(wanted) not in map(_folded, map(str, held)):
        others = ", ".join(identities.printable(str(name).encode()) for name in held[:_MOST_NAMED]) or "none"
        raise CertificateError(f"certificate {certificate} is not for {identities.words(identity)}: its alternative "
                               f"names of that kind are {others}")


def _folded(name: str) -> str:
    user, at, domain = name.rpartition("@")
    return f"{user}{at}{domain.lower()}"
