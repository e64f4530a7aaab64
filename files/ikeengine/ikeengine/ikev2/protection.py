# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cryptographic state of an IKE SA: its suite, its keys, and messages sealed and opened with them."""

from __future__ import annotations

from collections.abc import Sequence

from ..crypto.ike_cipher import IkeCipher
from ..crypto.key_derivation import IkeKeys, ike_keys
from ..ike.events import IkeKeyed
from ..negotiation.answers import suite
from ..vpn.algorithms import Authentication
from ..vpn.model import IkeVersion, Transform
from ..wire.header import HEADER_SIZE
from ..wire.message import (
    ENCRYPTED_SIZE,
    FRAGMENT_SIZE,
    Payload,
    encode_encrypted_prefix,
    encode_fragment_prefix,
    encode_payloads,
)


class Protection:
    """Raises `CryptoError` on what does not authenticate."""

    __slots__ = ("_cipher_in", "_cipher_out", "keys", "ppk", "transform")

    def __init__(self, transform: Transform, skeyseed: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes,
                 spi_r: bytes, *, initiator: bool) -> None:
        integrity = None if transform.encryption.aead else transform.authentication
        keys = ike_keys(transform.authentication, skeyseed, nonce_i, nonce_r, spi_i, spi_r, transform.encryption,
                        integrity)
        of_initiator = IkeCipher(transform.encryption, integrity, keys.sk_ei, keys.sk_ai)
        of_responder = IkeCipher(transform.encryption, integrity, keys.sk_er, keys.sk_ar)
        self.transform = transform
        self.keys: IkeKeys = keys
        #: A post-quantum pre-shared key is in the keys.
        self.ppk = False
        self._cipher_out, self._cipher_in = ((of_initiator, of_responder) if initiator
                                             else (of_responder, of_initiator))

    @property
    def prf(self) -> Authentication:
        return self.transform.authentication

    @property
    def suite(self) -> str:
        return suite(self.transform) + ("/PPK" if self.ppk else "")

    def exported(self, spi_i: bytes, spi_r: bytes) -> IkeKeyed:
        """The keys, to leave the session: see ``Settings.export_keys``."""
        encryption, keys = self.transform.encryption, self.keys
        return IkeKeyed(IkeVersion.V2, spi_i, spi_r, encryption, None if encryption.aead else self.prf,
                        (keys.sk_ei, keys.sk_er), (keys.sk_ai, keys.sk_ar))

    def seal(self, payloads: Sequence[Payload], *, largest: int | None, spi_i: bytes, spi_r: bytes, exchange: int,
             flags: int, message_id: int) -> tuple[bytes, ...]:
        """A message whose payloads travel encrypted (RFC 7296 §3.14): one datagram, or where that had more than
        ``largest`` octets as many as it takes (RFC 7383 §2.5); None means that the peer takes no fragments."""
        first_payload, plaintext = encode_payloads(payloads)
        cipher = self._cipher_out
        body_size = cipher.overhead(len(plaintext))
        if largest is not None and HEADER_SIZE + ENCRYPTED_SIZE + body_size > largest:
            room = cipher.capacity(largest - HEADER_SIZE - FRAGMENT_SIZE)
            parts = [plaintext[start : start + room] for start in range(0, len(plaintext), room)]
            return tuple(cipher.seal(encode_fragment_prefix(
                spi_i=spi_i, spi_r=spi_r, exchange=exchange, flags=flags, message_id=message_id,
                first_payload=first_payload if number == 1 else 0, body_size=cipher.overhead(len(part)), number=number,
                total=len(parts)), part) for number, part in enumerate(parts, 1))
        prefix = encode_encrypted_prefix(spi_i=spi_i, spi_r=spi_r, exchange=exchange, flags=flags,
                                         message_id=message_id, first_payload=first_payload, body_size=body_size)
        return (cipher.seal(prefix, plaintext),)

    def open(self, data: bytes, offset: int) -> bytes:
        """The octets inside the encrypted payload whose body begins at ``offset`` of a datagram, authenticated."""
        return self._cipher_in.open(data, offset)
