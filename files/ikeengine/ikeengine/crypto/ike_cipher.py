# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Encrypted payload (RFC 7296 §3.14, with AEAD RFC 5282)."""

from __future__ import annotations

import hmac
from itertools import count
from typing import Protocol

from cryptography.exceptions import InvalidTag

from ..vpn.algorithms import Authentication, Encryption
from .ciphers import CbcDecryptor, CbcEncryptor, Integrity, aead
from .errors import IntegrityError, UnsupportedAlgorithm


class _Protection(Protocol):
    def seal(self, prefix: bytes, padded: bytes) -> bytes: ...

    def open(self, data: bytes, offset: int) -> bytes: ...


class IkeCipher:
    """Protects the messages of one direction of an IKE SA.

    The keys are SK_e, salt included, and SK_a, empty with AEAD. Raises UnsupportedAlgorithm.
    """

    __slots__ = ("_block_size", "_fixed_size", "_protection")

    def __init__(
        self,
        encryption: Encryption,
        integrity: Authentication | None,
        key_encryption: bytes,
        key_integrity: bytes,
    ) -> None:
        self._protection: _Protection
        if encryption.aead:
            self._protection = _AeadProtection(encryption, key_encryption)
            icv_size = encryption.icv_size
        elif integrity is not None:
            self._protection = _CbcProtection(encryption, integrity, key_encryption, key_integrity)
            icv_size = integrity.icv_size
        else:
            raise UnsupportedAlgorithm(f"{encryption.name} without an integrity algorithm")
        self._block_size = encryption.block_size
        self._fixed_size = encryption.iv_size + icv_size

    def overhead(self, plaintext_size: int) -> int:
        """Octets of the payload's body - IV, ciphertext with padding, ICV - for that many octets of payloads."""
        return self._fixed_size + plaintext_size + 1 + self._padding_size(plaintext_size)

    def capacity(self, body_size: int) -> int:
        """The most octets of payloads that fit into a body of that many; the inverse of `overhead`."""
        return (body_size - self._fixed_size) // self._block_size * self._block_size - 1

    def seal(self, prefix: bytes, plaintext: bytes) -> bytes:
        """The whole message.

        ``prefix`` is everything before the IV: the IKE header to the Encrypted payload's generic header, with the
        lengths that they will have.
        """
        padding_size = self._padding_size(len(plaintext))
        padded = b"".join((plaintext, bytes(padding_size), padding_size.to_bytes(1, "big")))
        return self._protection.seal(prefix, padded)

    def open(self, data: bytes, offset: int) -> bytes:
        """The payloads inside of the message ``data``, whose IV begins at ``offset``. Raises IntegrityError."""
        size = len(data) - offset - self._fixed_size
        if size <= 0 or size % self._block_size:
            raise IntegrityError("the Encrypted payload is not of a size that its cipher makes")
        padded = self._protection.open(data, offset)
        end = len(padded) - 1 - padded[-1]
        if end < 0:
            raise IntegrityError("the Encrypted payload's padding is longer than the payload")
        return padded[:end]

    def _padding_size(self, plaintext_size: int) -> int:
        return -(plaintext_size + 1) % self._block_size


class _AeadProtection:
    """RFC 5282. The IV is a counter, so that it never repeats under a key."""

    __slots__ = ("_cipher", "_iv_size", "_ivs", "_salt")

    def __init__(self, encryption: Encryption, key: bytes) -> None:
        self._cipher, self._salt = aead(encryption, key)
        self._iv_size = encryption.iv_size
        self._ivs = count()

    def seal(self, prefix: bytes, padded: bytes) -> bytes:
        iv = next(self._ivs).to_bytes(self._iv_size, "big")
        return b"".join((prefix, iv, self._cipher.encrypt(self._salt + iv, padded, prefix)))

    def open(self, data: bytes, offset: int) -> bytes:
        start = offset + self._iv_size
        try:
            return self._cipher.decrypt(self._salt + data[offset:start], data[start:], data[:offset])
        except InvalidTag:
            raise IntegrityError("the message's integrity check value is wrong") from None


class _CbcProtection:
    """RFC 7296 §3.14: encrypt, then authenticate the message from its first octet to the last before the ICV.

    Nobody uses both directions of one key, so each has its context when it is first used.
    """

    __slots__ = ("_decryptor", "_encryption", "_encryptor", "_integrity", "_key")

    def __init__(
        self, encryption: Encryption, integrity: Authentication, key_encryption: bytes, key_integrity: bytes
    ) -> None:
        self._encryption, self._key = encryption, key_encryption
        self._encryptor: CbcEncryptor | None = None
        self._decryptor: CbcDecryptor | None = None
        self._integrity = Integrity(integrity, key_integrity)

    def seal(self, prefix: bytes, padded: bytes) -> bytes:
        if self._encryptor is None:
            self._encryptor = CbcEncryptor(self._encryption, self._key)
        body = self._encryptor.encrypt(padded)
        return b"".join((prefix, body, self._integrity.icv(prefix, body)))

    def open(self, data: bytes, offset: int) -> bytes:
        end = len(data) - self._integrity.icv_size
        if not hmac.compare_digest(self._integrity.icv(data[:end]), data[end:]):
            raise IntegrityError("the message's integrity check value is wrong")
        if self._decryptor is None:
            self._decryptor = CbcDecryptor(self._encryption, self._key)
        return self._decryptor.decrypt(data[offset:end])
