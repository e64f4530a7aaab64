# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ciphers and integrity algorithms of the table, one object per key, for IKE and ESP alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hmac import HMAC

from ..vpn.algorithms import Authentication, Encryption
from .errors import UnsupportedAlgorithm
from .library import TripleDES


class Aead(Protocol):
    """An authenticated cipher: the ICV ends the ciphertext. ``decrypt`` raises cryptography's InvalidTag."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


_AEADS: dict[str, Callable[[bytes], Aead]] = {
    "AES-GCM-128": AESGCM,
    "AES-GCM-192": AESGCM,
    "AES-GCM-256": AESGCM,
    "ChaCha20-Poly1305": ChaCha20Poly1305,
}
_BLOCK_CIPHERS: dict[str, Callable[[bytes], BlockCipherAlgorithm]] = {
    "DES": lambda key: TripleDES(key * 3),  # which is DES when the three keys are one
    "3DES": TripleDES,
    "AES-128": AES,
    "AES-192": AES,
    "AES-256": AES,
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def aead(encryption: Encryption, keying: bytes) -> tuple[Aead, bytes]:
    """The cipher and its salt, cut from ``encryption.keying_size`` octets. Raises UnsupportedAlgorithm."""
    if encryption.name not in _AEADS:
        raise UnsupportedAlgorithm(encryption.name)
    return _AEADS[encryption.name](keying[: encryption.key_size]), keying[encryption.key_size :]


class CbcEncryptor:
    """CBC with a fresh unpredictable IV per message (RFC 3602 §3, RFC 2451 §3).

    One context serves all messages. Its chain goes on from one to the next, so a block of fresh random octets put
    before the plaintext comes out as a random block, which serves the rest as IV (NIST SP 800-38A, appendix C).
    """

    __slots__ = ("_block_size", "_update")

    def __init__(self, encryption: Encryption, key: bytes) -> None:
        self._block_size = encryption.block_size
        self._update = _cbc(encryption, key).encryptor().update

    def encrypt(self, *parts: bytes | memoryview) -> bytes:
        """IV and ciphertext of all parts, which together fill whole blocks."""
        return self._update(b"".join((os.urandom(self._block_size), *parts)))


class CbcDecryptor:
    """The other end of CbcEncryptor. Only the first block that comes out depends on what the context saw before."""

    __slots__ = ("_block_size", "_update")

    def __init__(self, encryption: Encryption, key: bytes) -> None:
        self._block_size = encryption.block_size
        self._update = _cbc(encryption, key).decryptor().update

    def decrypt(self, data: bytes) -> bytes:
        """The plaintext of IV and ciphertext, which together fill whole blocks."""
        return self._update(data)[self._block_size :]


def block_cipher(encryption: Encryption, key: bytes) -> BlockCipherAlgorithm:
    """The cipher without its mode, of ``encryption.key_size`` octets. Raises UnsupportedAlgorithm."""
    if encryption.name not in _BLOCK_CIPHERS:
        raise UnsupportedAlgorithm(encryption.name)
    return _BLOCK_CIPHERS[encryption.name](key)


def _cbc(encryption: Encryption, key: bytes) -> Cipher[modes.CBC]:
    return Cipher(block_cipher(encryption, key), modes.CBC(bytes(encryption.block_size)))


class Integrity:
    """A truncated HMAC under one key (RFC 2403, RFC 2404, RFC 4868)."""

    __slots__ = ("_keyed", "icv_size")

    def __init__(self, authentication: Authentication, key: bytes) -> None:
        if authentication.hash_name not in _HASHES:
            raise UnsupportedAlgorithm(authentication.name)
        self.icv_size = authentication.icv_size
        self._keyed = HMAC(key, _HASHES[authentication.hash_name])

    def icv(self, *parts: bytes) -> bytes:
        """The integrity check value of all parts in a row."""
        mac = self._keyed.copy()
        for part in parts:
            mac.update(part)
        return mac.finalize()[: self.icv_size]
