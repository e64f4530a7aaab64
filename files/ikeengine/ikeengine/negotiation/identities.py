# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 identifiers on the wire (RFC 7296 §3.5, RFC 2407 §4.6.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from ..asn1 import names
from ..asn1.der import DerError
from ..vpn.model import EndpointPair, Gateway, Identity, IdentityKind
from ..wire.constants import IdType
from .reasons import Reason

#: Type and data of an identification, as it came.
Received: TypeAlias = tuple[int, bytes]

#: A gateway that a peer may be, by that endpoint pair.
Meant: TypeAlias = tuple[Gateway, EndpointPair]

_LONGEST_TEXT = 256
_MOST_NAMED = 6

_TEXT = {IdentityKind.DOMAIN_NAME: IdType.FQDN, IdentityKind.DOMAIN_INFORMATION: IdType.RFC822_ADDR}
_KIND_OF = {IdType.IPV4_ADDR: IdentityKind.IP_ADDRESS, IdType.IPV6_ADDR: IdentityKind.IP_ADDRESS,
            IdType.FQDN: IdentityKind.DOMAIN_NAME, IdType.RFC822_ADDR: IdentityKind.DOMAIN_INFORMATION}


@lru_cache(maxsize=4096)
def to_wire(identity: Identity) -> tuple[int, bytes]:
    """Identification type and data."""
    if identity.kind is IdentityKind.IP_ADDRESS:
        address = ipaddress.ip_address(identity.value)
        return (IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR), address.packed
    if identity.kind in _TEXT:
        return _TEXT[identity.kind], identity.value.encode()
    return IdType.DER_ASN1_DN, names.encode(identity.value)


def matches(identity: Identity, id_type: int, data: bytes) -> bool:
    """Whether the peer's identification is this identity. Domains compare without case (RFC 4343), who stands before
    their @ compares with it (RFC 5321 §2.4), distinguished names as RFC 5280 §7.1 has it."""
    wanted_type, wanted = to_wire(identity)
    if wanted_type != id_type:
        return False
    if identity.kind is IdentityKind.X500_NAME:
        return names.same(wanted, data)
    return _folded(wanted) == _folded(data) if identity.kind in _TEXT else wanted == data


def _folded(text: bytes) -> bytes:
    user, at, domain = text.rpartition(b"@")
    return user + at + domain.lower()


def from_wire(id_type: int, data: bytes) -> Identity | None:
    """The identity that is meant; None where it is of another kind, or no operator could write it."""
    if id_type in (IdType.IPV4_ADDR, IdType.IPV6_ADDR) and len(data) == (4 if id_type == IdType.IPV4_ADDR else 16):
        return Identity(IdentityKind.IP_ADDRESS, str(ipaddress.ip_address(data)))
    if id_type in (IdType.FQDN, IdType.RFC822_ADDR) and data.isascii() and len(data) <= _LONGEST_TEXT:
        value = data.decode()
        return Identity(_KIND_OF[IdType(id_type)], value) if value.isprintable() else None
    if id_type == IdType.DER_ASN1_DN:
        try:
            value = names.text(data)
        except DerError:
            return None
        return Identity(IdentityKind.X500_NAME, value) if value and len(value) <= _LONGEST_TEXT else None
    return None


def text(id_type: int, data: bytes) -> str:
    """For the operator: value and kind, with what is not printable escaped."""
    known = from_wire(id_type, data)
    if known is not None:
        return words(known)
    if id_type in (IdType.FQDN, IdType.RFC822_ADDR):
        return f"{printable(data)} ({_KIND_OF[IdType(id_type)].value})"
    return f"{data[:64].hex()} (type {id_type})"


def printable(data: bytes) -> str:
    """What a peer wrote, of bounded length, with all that could forge a line or drive a terminal escaped."""
    return data[:_LONGEST_TEXT].decode("ascii", "backslashreplace").encode("unicode_escape").decode("ascii")


def words(identity: Identity) -> str:
    return f"{identity.value} ({identity.kind.value})"


def endpoints(gateway: Gateway, pair: EndpointPair) -> str:
    """Where that endpoint pair stands in the declaration."""
    return f"gateways[{gateway.name}].endpoints[{gateway.endpoints.index(pair)}]"


def mismatch(candidates: Sequence[Meant], peer: object, presented: Received, asked: Received | None) -> Reason:
    """Why the peer is none of the gateways that it may be by its address. ``presented`` is what it says that it is,
    ``asked`` what it says that we are, where it does."""
    by_name = next((row for row in candidates if matches(row[1].remote.identity, *presented)), None)
    if asked is not None and by_name is not None:
        return _mismatch([by_name], peer, "local", asked, "expects", "present")
    return _mismatch(candidates, peer, "remote", presented, "presents", "expect")


def _mismatch(meant: Sequence[Meant], peer: object, place: str, received: Received, does: str, we: str) -> Reason:
    ours = list(dict.fromkeys(getattr(pair, place).identity for _gateway, pair in meant))
    path, said = f"{endpoints(*meant[0])}.{place}.identifier", from_wire(*received)
    theirs = f"have the peer {does.removesuffix('s')} {ours[0].as_yaml}"
    fix = f"set {path} to {said.as_yaml}, or {theirs}" if said is not None else theirs
    return Reason("they do not mirror, so the answer is AUTHENTICATION_FAILED", fix[0].upper() + fix[1:],
                  "phase 1 identifier", f"the peer {peer} {does} {text(*received)}",
                  f"we {we} {' or '.join(map(words, ours[:_MOST_NAMED]))}", path)
