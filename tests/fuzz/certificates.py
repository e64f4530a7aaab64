# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer sends to be trusted: certificates and revocation lists, names, and the schemes of signatures.

An authority that we trust, and one below it, sign whatever the peer wants, so that mutation reaches what is behind the
signatures, too.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ikeengine.asn1 import der, names
from ikeengine.asn1.der import DerError, Tag
from ikeengine.crypto.certificates import read_certificate
from ikeengine.crypto.errors import CertificateError, SignatureError
from ikeengine.crypto.signature_schemes import from_identifier
from ikeengine.crypto.signatures import load_private_key
from ikeengine.ike.credentials import Certified
from ikeengine.negotiation import identities
from ikeengine.vpn.model import Identity, IdentityKind
from ikeengine.wire.constants import IdType

from tests.support.certificates import Issued, issue

from .feed import Feed, sized

NAMES = 0x80
"""In the first octet: names and schemes follow, not certificates."""
#: An item: whether it is a revocation list, and who signs it; without a signer it is whole.
LIST, SIGNED, BELOW = 0x01, 0x02, 0x04
MOST = 6
AUTHORITY = issue("CN=authority", key=Ed25519PrivateKey.from_private_bytes(bytes(range(32))), authority=True)
BELOW_IT = issue("CN=below", AUTHORITY, key=Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))), authority=True)
IDENTITIES = (Identity(IdentityKind.DOMAIN_NAME, "branch.example.net"), Identity(IdentityKind.IP_ADDRESS, "192.0.2.1"),
              Identity(IdentityKind.DOMAIN_INFORMATION, "ops@example.net"),
              Identity(IdentityKind.X500_NAME, "CN=branch,O=Example,C=DE"))
_ED25519 = der.encode(Tag.SEQUENCE, der.encode_oid("1.3.101.112"))
_AT = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
_OURS = read_certificate(AUTHORITY.der)
_CERTIFIED = Certified(_OURS, load_private_key(AUTHORITY.key_pem.encode()), (), (_OURS,), ())


def decode(data: bytes) -> None:
    """Raises what only an error of ours can raise."""
    feed = Feed(data)
    head = feed.octet()
    identity = IDENTITIES[head % len(IDENTITIES)]
    if head & NAMES:
        _read_names(identity, feed.rest())
        return
    sent: tuple[list[bytes], list[bytes]] = ([], [])
    for _item in range(MOST):
        if feed:
            kind, octets = feed.octet(), feed.sized()
            sent[kind & LIST].append(_signed(octets, BELOW_IT if kind & BELOW else AUTHORITY)
                                     if kind & SIGNED else octets)
    with suppress(CertificateError):
        _CERTIFIED.trust(identity, *sent, _AT)


def item(kind: int, octets: bytes) -> bytes:
    """What `decode` reads."""
    return bytes([kind]) + sized(octets)


def _read_names(identity: Identity, data: bytes) -> None:
    for id_type in (IdType.DER_ASN1_DN, IdType.FQDN, IdType.RFC822_ADDR):
        identities.matches(identity, id_type, data)
        identities.from_wire(id_type, data)
    with suppress(DerError):
        names.text(data)
    with suppress(SignatureError):
        from_identifier(data)


def _signed(octets: bytes, signer: Issued) -> bytes:
    signature = signer.key.sign(octets)
    return der.encode(Tag.SEQUENCE, octets, _ED25519, der.encode(Tag.BIT_STRING, b"\0" + signature))
