# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cryptographic state of an ISAKMP SA: its keys, the IVs of its exchanges, and the hashes that authenticate them
(RFC 2409 §5.5, §5.7, appendix B)."""

from __future__ import annotations

from dataclasses import dataclass

from ..crypto.authentication import equal
from ..crypto.errors import IntegrityError
from ..crypto.isakmp_cipher import IsakmpCipher
from ..crypto.isakmp_keys import IsakmpKeys, encryption_key, phase1_iv, phase2_iv
from ..crypto.prf import prf
from ..ike.events import IkeKeyed
from ..vpn.model import IkeVersion, Transform
from ..wire.errors import MalformedMessage
from ..wire.header import HEADER_SIZE
from ..wire.v1.message import Chain, decode_chain
from ..wire.v1.opaque import Hash


@dataclass(slots=True)
class IvChain:
    """The IV of an exchange's next message: the last block of the one before it, whoever sent that."""

    iv: bytes


class Protection:
    """Raises `IntegrityError` on what does not authenticate."""

    __slots__ = ("_cipher", "keys", "phase1", "transform")

    def __init__(self, transform: Transform, keys: IsakmpKeys, public_i: bytes, public_r: bytes) -> None:
        self.transform = transform
        self.keys = keys
        algorithm, encryption = transform.authentication, transform.encryption
        self._cipher = IsakmpCipher(encryption, encryption_key(algorithm, keys.skeyid_e, encryption))
        self.phase1 = IvChain(phase1_iv(algorithm, encryption, public_i, public_r))

    @property
    def suite(self) -> str:
        row = self.transform
        return f"{row.encryption.name}/{row.authentication.name}/group {row.key_group.number}"

    def exported(self, spi_i: bytes, spi_r: bytes) -> IkeKeyed:
        """The key, to leave the session: see ``Settings.export_keys``."""
        row = self.transform
        key = encryption_key(row.authentication, self.keys.skeyid_e, row.encryption)
        return IkeKeyed(IkeVersion.V1, spi_i, spi_r, row.encryption, None, (key, key))

    def exchange(self, message_id: int) -> IvChain:
        """The IVs of an exchange after Phase 1."""
        row = self.transform
        return IvChain(phase2_iv(row.authentication, row.encryption, self.phase1.iv, message_id))

    def encrypt(self, octets: bytes, ivs: IvChain) -> bytes:
        """The body of the exchange's next message."""
        body = self._cipher.encrypt(ivs.iv, octets)
        ivs.iv = body[-self._cipher.block_size :]
        return body

    def decrypt(self, first_type: int, data: bytes, ivs: IvChain) -> Chain:
        """What a message holds. It may be anybody's, so the IVs stay until `accept`."""
        body = data[HEADER_SIZE:]
        if not body or len(body) % self._cipher.block_size:
            raise IntegrityError("the message is not of a size that its cipher makes")
        try:
            return decode_chain(first_type, self._cipher.decrypt(ivs.iv, body))
        except MalformedMessage as error:  # as it is after decryption under another key
            raise IntegrityError(f"the message makes no sense: {error}") from None

    def accept(self, data: bytes, ivs: IvChain) -> None:
        """The message is authentic: the next one of its exchange follows on it."""
        ivs.iv = data[-self._cipher.block_size :]

    # ---------------------------------------------------------------------------------------------- hashes

    def hash_1(self, message_id: int, octets: bytes) -> bytes:
        """Of the first message of Quick Mode, and of every Informational: it covers all that follows it."""
        return self._keyed(message_id.to_bytes(4, "big") + octets)

    def hash_2(self, message_id: int, nonce_i: bytes, octets: bytes) -> bytes:
        return self._keyed(message_id.to_bytes(4, "big") + nonce_i + octets)

    def hash_3(self, message_id: int, nonce_i: bytes, nonce_r: bytes) -> bytes:
        return self._keyed(b"\0" + message_id.to_bytes(4, "big") + nonce_i + nonce_r)

    def _keyed(self, octets: bytes) -> bytes:
        return prf(self.transform.authentication, self.keys.skeyid_a, octets)


def check(chain: Chain, expected: bytes) -> None:
    """The first payload is the HASH that it has to be. Raises IntegrityError."""
    first = chain.payloads[0] if chain.payloads else None
    if not isinstance(first, Hash) or not equal(first.data, expected):
        raise IntegrityError("the message's HASH payload is wrong")
