# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cryptographic state of an IKE SA: its suite, its keys, and messages sealed and opened with them."""

from __future__ import annotations

from collections.abc import Sequence

from ..crypto.errors import CryptoError
from ..crypto.ike_cipher import IkeCipher
from ..crypto.key_derivation import IkeKeys, ike_keys
from ..vpn.algorithms import Authentication
from ..vpn.model import Transform
from ..wire.errors import MalformedMessage
from ..wire.message import Message, Payload, decode_payloads, encode_encrypted_prefix, encode_payloads


class Protection:
    """Raises `CryptoError` on what does not authenticate, `WireError` on what authenticates and is malformed."""

    __slots__ = ("_cipher_in", "_cipher_out", "keys", "transform")

    def __init__(self, transform: Transform, skeyseed: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes,
                 spi_r: bytes, *, initiator: bool) -> None:
        integrity = None if transform.encryption.aead else transform.authentication
        keys = ike_keys(transform.authentication, skeyseed, nonce_i, nonce_r, spi_i, spi_r, transform.encryption,
                        integrity)
        of_initiator = IkeCipher(transform.encryption, integrity, keys.sk_ei, keys.sk_ai)
        of_responder = IkeCipher(transform.encryption, integrity, keys.sk_er, keys.sk_ar)
        self.transform = transform
        self.keys: IkeKeys = keys
        self._cipher_out, self._cipher_in = ((of_initiator, of_responder) if initiator
                                             else (of_responder, of_initiator))

    @property
    def prf(self) -> Authentication:
        return self.transform.authentication

    @property
    def suite(self) -> str:
        row = self.transform
        return f"{row.encryption.name}/{row.authentication.name}/group {row.key_group.number}"

    def seal(self, payloads: Sequence[Payload], *, spi_i: bytes, spi_r: bytes, exchange: int, flags: int,
             message_id: int) -> bytes:
        """A whole message whose payloads travel in an Encrypted payload (RFC 7296 §3.14)."""
        first_payload, plaintext = encode_payloads(payloads)
        prefix = encode_encrypted_prefix(spi_i=spi_i, spi_r=spi_r, exchange=exchange, flags=flags,
                                         message_id=message_id, first_payload=first_payload,
                                         body_size=self._cipher_out.overhead(len(plaintext)))
        return self._cipher_out.seal(prefix, plaintext)

    def open(self, message: Message, data: bytes) -> bytes:
        """The octets inside the Encrypted payload, authenticated."""
        if message.encrypted is None:
            raise CryptoError("the message is not encrypted")
        return self._cipher_in.open(data, message.encrypted.offset)

    @staticmethod
    def payloads(message: Message, plaintext: bytes) -> tuple[Payload, ...]:
        if message.encrypted is None:
            raise MalformedMessage("no Encrypted payload")
        return decode_payloads(message.encrypted.first_payload, plaintext)
