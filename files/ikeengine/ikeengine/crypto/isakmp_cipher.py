# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The encryption of ISAKMP messages (RFC 2409 appendix B). It authenticates nothing; HASH payloads do."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, modes

from ..vpn.algorithms import Encryption
from .ciphers import block_cipher


class IsakmpCipher:
    """CBC under one key for both directions. The IV of a message is the last block of the one before it in its
    exchange, so the caller keeps it. Raises UnsupportedAlgorithm."""

    __slots__ = ("_algorithm", "block_size")

    def __init__(self, encryption: Encryption, key: bytes) -> None:
        self._algorithm = block_cipher(encryption, key)
        self.block_size = encryption.block_size

    def encrypt(self, iv: bytes, data: bytes) -> bytes:
        """The ciphertext, with zeros after ``data`` to fill its last block."""
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        return encryptor.update(data + bytes(-len(data) % self.block_size))

    def decrypt(self, iv: bytes, data: bytes) -> bytes:
        """The plaintext with its padding, of ciphertext that fills whole blocks."""
        return Cipher(self._algorithm, modes.CBC(iv)).decryptor().update(data)
