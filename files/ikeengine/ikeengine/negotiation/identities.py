# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 1 identifiers on the wire (RFC 7296 §3.5)."""

from __future__ import annotations

import ipaddress

from ..vpn.model import Identity, IdentityKind
from ..wire.constants import IdType

_TEXT = {IdentityKind.DOMAIN_NAME: IdType.FQDN, IdentityKind.DOMAIN_INFORMATION: IdType.RFC822_ADDR}
_KIND_OF = {IdType.IPV4_ADDR: IdentityKind.IP_ADDRESS, IdType.IPV6_ADDR: IdentityKind.IP_ADDRESS,
            IdType.FQDN: IdentityKind.DOMAIN_NAME, IdType.RFC822_ADDR: IdentityKind.DOMAIN_INFORMATION}


def to_wire(identity: Identity) -> tuple[int, bytes]:
    """Identification type and data. Raises ValueError for kinds that are not negotiated yet."""
    if identity.kind is IdentityKind.IP_ADDRESS:
        address = ipaddress.ip_address(identity.value)
        return (IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR), address.packed
    if identity.kind in _TEXT:
        return _TEXT[identity.kind], identity.value.encode()
    raise ValueError(f"identities of kind {identity.kind.value} are not negotiated by this version")


def matches(identity: Identity, id_type: int, data: bytes) -> bool:
    """Whether the peer's identification is this identity. Domains compare without case (RFC 4343), who stands before
    their @ compares with it (RFC 5321 §2.4)."""
    try:
        wanted_type, wanted = to_wire(identity)
    except ValueError:
        return False
    if wanted_type != id_type:
        return False
    return _folded(wanted) == _folded(data) if identity.kind in _TEXT else wanted == data


def _folded(text: bytes) -> bytes:
    user, at, domain = text.rpartition(b"@")
    return user + at + domain.lower()


def text(id_type: int, data: bytes) -> str:
    """For the operator: kind and value, with what is not printable escaped."""
    if id_type in (IdType.IPV4_ADDR, IdType.IPV6_ADDR) and len(data) == (4 if id_type == IdType.IPV4_ADDR else 16):
        return f"{IdentityKind.IP_ADDRESS.value} {ipaddress.ip_address(data)}"
    if id_type in (IdType.FQDN, IdType.RFC822_ADDR):
        printable = data.decode("ascii", "backslashreplace").encode("unicode_escape").decode("ascii")
        return f"{_KIND_OF[IdType(id_type)].value} {printable[:256]}"
    return f"type {id_type} {data[:64].hex()}"
