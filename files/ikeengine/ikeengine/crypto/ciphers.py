# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ciphers and integrity algorithms of the table, one object per key, for IKE and ESP alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES

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
_HASHES = {
    "md5": hashlib.md5,
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
#: Each octet of a key exclusive-or'ed with the pad of the inner and of the outer hash.
_PADS = tuple(bytes(octet ^ pad for octet in range(256)) for pad in (0x36, 0x5C))


def aead(encryption: Encryption, keying: bytes) -> tuple[Aead, bytes]:
    """The cipher and its salt, cut from ``encryption.keying_size`` octets. Raises UnsupportedAlgorithm."""
    if encryption.name not in _AEADS:
        raise UnsupportedAlgorithm(encryption.name)
    return _AEADS[encryption.name](keying[: encryption.key_size]), keying[encryption.key_size :]


class CbcEncryptor:
    """CBC with a fresh unpredictable IV per message (RFC 3602 §3, RFC 2451 §3).

    One context serves all messages. Its chain goes on from one to the next, so a block of fresh random octets put
    before the plaintext comes out as a random block, which serves the rest as IV (NIST SP 800-38A, appendix C). The
    random octets are fetched for ``at_once`` messages, and each is used once.
    """

    __slots__ = ("_at_once", "_block_size", "_random", "_update")

    def __init__(self, encryption: Encryption, key: bytes, at_once: int = 1) -> None:
        self._block_size, self._at_once = encryption.block_size, at_once
        self._random: list[bytes] = []
        self._update = _cbc(encryption, key).encryptor().update

    def encrypt(self, *parts: bytes | memoryview) -> bytes:
        """IV and ciphertext of all parts, which together fill whole blocks."""
        random = self._random
        if not random:
            size = self._block_size
            fetched = os.urandom(size * self._at_once)
            random.extend(fetched[start : start + size] for start in range(0, len(fetched), size))
        return self._update(b"".join((random.pop(), *parts)))


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
    """A truncated HMAC under one key (RFC 2403, RFC 2404, RFC 4868).

    ``icv(*parts)`` is the integrity check value of all parts in a row. HMAC's two hashes (RFC 2104 §2) stand ready
    keyed, and a copy of each serves a message: that takes the least time with any release of any library.
    """

    __slots__ = ("icv", "icv_size")

    def __init__(self, authentication: Authentication, key: bytes) -> None:
        if authentication.hash_name not in _HASHES:
            raise UnsupportedAlgorithm(authentication.name)
        self.icv_size = size = authentication.icv_size
        keyed = [_HASHES[authentication.hash_name](usedforsecurity=False) for _pad in _PADS]
        if len(key) > keyed[0].block_size:
            key = _HASHES[authentication.hash_name](key, usedforsecurity=False).digest()
        for digest, pad in zip(keyed, _PADS, strict=True):
            digest.update(key.ljust(digest.block_size, b"\0").translate(pad))
        inner, outer = (digest.copy for digest in keyed)

        def icv(*parts: bytes) -> bytes:
            message = inner()
            for part in parts:
                message.update(part)
            mac = outer()
            mac.update(message.digest())
            return mac.digest()[:size]

        self.icv: Callable[..., bytes] = icv
