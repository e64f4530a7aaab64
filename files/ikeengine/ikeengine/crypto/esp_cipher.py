# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ESP packets in and out (RFC 4303, with AEAD RFC 4106 and RFC 7634). The packet path: every call counts."""

from __future__ import annotations

import hmac
from struct import Struct
from typing import Protocol

from cryptography.exceptions import InvalidTag

from ..vpn.algorithms import Authentication, Encryption
from .ciphers import CbcDecryptor, CbcEncryptor, Integrity, aead
from .errors import IntegrityError, UnsupportedAlgorithm

_HEADER = Struct("!II")
_WORD = Struct("!I")
_COUNTER = Struct("!Q")
_TRAILER_SIZE = 2
_ALIGNMENT = 4  # the ciphertext ends on a 4-octet boundary (RFC 4303 §2.4)
_PADDING = bytes(range(1, 256))
_PADDING_AND_LENGTH = [_PADDING[:size] + bytes((size,)) for size in range(256)]
_OCTET = [bytes((value,)) for value in range(256)]


class Keys(Protocol):
    """Keying material of one direction; ``encryption`` ends in the salt where the cipher has one."""

    @property
    def encryption(self) -> bytes: ...

    @property
    def authentication(self) -> bytes: ...


def spi_and_sequence_of(packet: bytes | memoryview) -> tuple[int, int]:
    """The SPI and the sequence number, or its low half, of a packet of 8 octets or more."""
    return _HEADER.unpack_from(packet)


class _Sealer(Protocol):
    def __call__(
        self, sequence: int, plaintext: bytes | memoryview, next_header: int, sequence_high: int | None = None
    ) -> bytes: ...


class _Opener(Protocol):
    def __call__(self, packet: bytes | memoryview, sequence_high: int | None = None) -> tuple[bytes, int]: ...


class EspSealer:
    """Makes the packets of one outbound SA.

    ``seal(sequence, plaintext, next_header, sequence_high=None)`` is a whole packet. ``sequence`` never repeats under
    a key: AEAD takes its IV from it. ``sequence_high`` is the high half of an extended sequence number.
    Raises UnsupportedAlgorithm.
    """

    __slots__ = ("seal",)

    def __init__(self, encryption: Encryption, authentication: Authentication | None, keys: Keys, spi: int) -> None:
        self.seal: _Sealer
        if encryption.aead:
            self.seal = _AeadSealer(encryption, keys, spi).seal
        else:
            self.seal = _CbcSealer(encryption, _required(encryption, authentication), keys, spi).seal


class EspOpener:
    """Checks and opens the packets of one inbound SA.

    ``open(packet, sequence_high=None)`` is (payload, next header); it raises IntegrityError and changes nothing then.
    Raises UnsupportedAlgorithm.
    """

    __slots__ = ("open",)

    def __init__(self, encryption: Encryption, authentication: Authentication | None, keys: Keys) -> None:
        self.open: _Opener
        if encryption.aead:
            self.open = _AeadOpener(encryption, keys).open
        else:
            self.open = _CbcOpener(encryption, _required(encryption, authentication), keys).open


def _required(encryption: Encryption, authentication: Authentication | None) -> Authentication:
    if authentication is None:
        raise UnsupportedAlgorithm(f"{encryption.name} without an authentication algorithm")
    return authentication


def _without_trailer(plaintext: bytes) -> tuple[bytes, int]:
    """Payload and next header, once the padding proves to be 1, 2, 3... (RFC 4303 §2.4)."""
    padding_size = plaintext[-2]
    end = len(plaintext) - _TRAILER_SIZE - padding_size
    if end < 0 or plaintext[end:-2] != _PADDING[:padding_size]:
        raise IntegrityError("the ESP packet's padding is not 1, 2, 3...")
    return plaintext[:end], plaintext[-1]


class _AeadSealer:
    __slots__ = ("_encrypt", "_salt", "_spi")

    def __init__(self, encryption: Encryption, keys: Keys, spi: int) -> None:
        cipher, self._salt = aead(encryption, keys.encryption)
        self._encrypt = cipher.encrypt
        self._spi = spi

    def seal(
        self, sequence: int, plaintext: bytes | memoryview, next_header: int, sequence_high: int | None = None
    ) -> bytes:
        header = _HEADER.pack(self._spi, sequence)
        if sequence_high is None:
            iv = _COUNTER.pack(sequence)
            associated_data = header
        else:
            iv = _HEADER.pack(sequence_high, sequence)
            associated_data = header[:4] + iv
        padded = b"".join(
            (plaintext, _PADDING_AND_LENGTH[-(len(plaintext) + _TRAILER_SIZE) % _ALIGNMENT], _OCTET[next_header])
        )
        return b"".join((header, iv, self._encrypt(self._salt + iv, padded, associated_data)))


class _AeadOpener:
    __slots__ = ("_decrypt", "_minimum", "_salt", "_start")

    def __init__(self, encryption: Encryption, keys: Keys) -> None:
        cipher, self._salt = aead(encryption, keys.encryption)
        self._decrypt = cipher.decrypt
        self._start = _HEADER.size + encryption.iv_size
        self._minimum = self._start + _TRAILER_SIZE + encryption.icv_size

    def open(self, packet: bytes | memoryview, sequence_high: int | None = None) -> tuple[bytes, int]:
        data = bytes(packet)  # no copy of what is bytes already, and slices of bytes cost least
        if len(data) < self._minimum:
            raise IntegrityError("the ESP packet is too short")
        start = self._start
        header = data[:8]
        if sequence_high is not None:
            header = header[:4] + _WORD.pack(sequence_high) + header[4:]
        try:
            plaintext = self._decrypt(self._salt + data[8:start], data[start:], header)
        except InvalidTag:
            raise IntegrityError("the ESP packet's integrity check value is wrong") from None
        return _without_trailer(plaintext)


class _CbcSealer:
    __slots__ = ("_alignment", "_encrypt", "_icv", "_spi")

    def __init__(self, encryption: Encryption, authentication: Authentication, keys: Keys, spi: int) -> None:
        self._alignment = max(encryption.block_size, _ALIGNMENT)
        self._encrypt = CbcEncryptor(encryption, keys.encryption).encrypt
        self._icv = Integrity(authentication, keys.authentication).icv
        self._spi = spi

    def seal(
        self, sequence: int, plaintext: bytes | memoryview, next_header: int, sequence_high: int | None = None
    ) -> bytes:
        padding = _PADDING_AND_LENGTH[-(len(plaintext) + _TRAILER_SIZE) % self._alignment]
        packet = _HEADER.pack(self._spi, sequence) + self._encrypt(plaintext, padding, _OCTET[next_header])
        high = b"" if sequence_high is None else _WORD.pack(sequence_high)
        return packet + self._icv(packet, high)


class _CbcOpener:
    __slots__ = ("_block_size", "_decrypt", "_icv", "_icv_size", "_minimum")

    def __init__(self, encryption: Encryption, authentication: Authentication, keys: Keys) -> None:
        integrity = Integrity(authentication, keys.authentication)
        self._block_size = encryption.block_size
        self._decrypt = CbcDecryptor(encryption, keys.encryption).decrypt
        self._icv = integrity.icv
        self._icv_size = integrity.icv_size
        self._minimum = _HEADER.size + encryption.iv_size + encryption.block_size + integrity.icv_size

    def open(self, packet: bytes | memoryview, sequence_high: int | None = None) -> tuple[bytes, int]:
        data = bytes(packet)
        end = len(data) - self._icv_size
        if len(data) < self._minimum or (end - _HEADER.size) % self._block_size:
            raise IntegrityError("the ESP packet is not of a size that its cipher makes")
        high = b"" if sequence_high is None else _WORD.pack(sequence_high)
        icv = self._icv(data[:end], high)
        if not hmac.compare_digest(icv, data[end:]):
            raise IntegrityError("the ESP packet's integrity check value is wrong")
        return _without_trailer(self._decrypt(data[8:end]))
