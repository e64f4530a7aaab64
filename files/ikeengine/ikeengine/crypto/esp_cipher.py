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
_HEADER_AND_IV = Struct("!IIII")
_IVS_AT_ONCE = 64
_TRAILER_SIZE = 2
_ALIGNMENT = 4  # the ciphertext ends on a 4-octet boundary (RFC 4303 §2.4)
_PADDING_AND_LENGTH = [bytes(range(1, size + 1)) + bytes((size,)) for size in range(256)]
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
            self.seal = _aead_sealer(encryption, keys, spi)
        else:
            self.seal = _cbc_sealer(encryption, _required(encryption, authentication), keys, spi)


class EspOpener:
    """Checks and opens the packets of one inbound SA.

    ``open(packet, sequence_high=None)`` is (payload, next header); it raises IntegrityError and changes nothing then.
    Raises UnsupportedAlgorithm.
    """

    __slots__ = ("open",)

    def __init__(self, encryption: Encryption, authentication: Authentication | None, keys: Keys) -> None:
        self.open: _Opener
        if encryption.aead:
            self.open = _aead_opener(encryption, keys)
        else:
            self.open = _cbc_opener(encryption, _required(encryption, authentication), keys)


def _required(encryption: Encryption, authentication: Authentication | None) -> Authentication:
    if authentication is None:
        raise UnsupportedAlgorithm(f"{encryption.name} without an authentication algorithm")
    return authentication


# The functions below hold what one SA needs in their closures, where Python finds it soonest.


def _aead_sealer(encryption: Encryption, keys: Keys, spi: int) -> _Sealer:
    cipher, salt = aead(encryption, keys.encryption)
    encrypt, pack = cipher.encrypt, _HEADER_AND_IV.pack

    def seal(
        sequence: int, plaintext: bytes | memoryview, next_header: int, sequence_high: int | None = None
    ) -> bytes:
        start = pack(spi, sequence, sequence_high or 0, sequence)
        iv = start[8:]
        associated_data = start[:8] if sequence_high is None else start[:4] + iv
        padding = _PADDING_AND_LENGTH[-(len(plaintext) + _TRAILER_SIZE) % _ALIGNMENT]
        return start + encrypt(salt + iv, b"".join((plaintext, padding, _OCTET[next_header])), associated_data)

    return seal


def _aead_opener(encryption: Encryption, keys: Keys) -> _Opener:
    cipher, salt = aead(encryption, keys.encryption)
    decrypt = cipher.decrypt
    start = _HEADER.size + encryption.iv_size
    minimum = start + _TRAILER_SIZE + encryption.icv_size

    def opened(packet: bytes | memoryview, sequence_high: int | None = None) -> tuple[bytes, int]:
        data = bytes(packet)  # no copy of what is bytes already, and slices of bytes cost least
        if len(data) < minimum:
            raise IntegrityError("the ESP packet is too short")
        associated_data = data[:8]
        if sequence_high is not None:
            associated_data = data[:4] + _WORD.pack(sequence_high) + data[4:8]
        try:
            plaintext = decrypt(salt + data[8:start], data[start:], associated_data)
        except InvalidTag:
            raise IntegrityError("the ESP packet's integrity check value is wrong") from None
        return _without_trailer(plaintext)

    return opened


def _cbc_sealer(encryption: Encryption, authentication: Authentication, keys: Keys, spi: int) -> _Sealer:
    alignment = max(encryption.block_size, _ALIGNMENT)
    encrypt = CbcEncryptor(encryption, keys.encryption, _IVS_AT_ONCE).encrypt
    icv = Integrity(authentication, keys.authentication).icv

    def seal(
        sequence: int, plaintext: bytes | memoryview, next_header: int, sequence_high: int | None = None
    ) -> bytes:
        padding = _PADDING_AND_LENGTH[-(len(plaintext) + _TRAILER_SIZE) % alignment]
        packet = _HEADER.pack(spi, sequence) + encrypt(plaintext, padding, _OCTET[next_header])
        return packet + (icv(packet) if sequence_high is None else icv(packet, _WORD.pack(sequence_high)))

    return seal


def _cbc_opener(encryption: Encryption, authentication: Authentication, keys: Keys) -> _Opener:
    integrity = Integrity(authentication, keys.authentication)
    icv, icv_size, block_size = integrity.icv, integrity.icv_size, encryption.block_size
    decrypt = CbcDecryptor(encryption, keys.encryption).decrypt
    minimum = _HEADER.size + encryption.iv_size + block_size + icv_size

    def opened(packet: bytes | memoryview, sequence_high: int | None = None) -> tuple[bytes, int]:
        data = bytes(packet)
        end = len(data) - icv_size
        if len(data) < minimum or (end - _HEADER.size) % block_size:
            raise IntegrityError("the ESP packet is not of a size that its cipher makes")
        authenticated = data[:end]
        computed = (icv(authenticated) if sequence_high is None
                    else icv(authenticated, _WORD.pack(sequence_high)))
        if not hmac.compare_digest(computed, data[end:]):
            raise IntegrityError("the ESP packet's integrity check value is wrong")
        return _without_trailer(decrypt(authenticated[_HEADER.size :]))

    return opened


def _without_trailer(plaintext: bytes) -> tuple[bytes, int]:
    """Payload and next header, once the padding proves to be 1, 2, 3... (RFC 4303 §2.4)."""
    padding_size = plaintext[-2]
    end = len(plaintext) - _TRAILER_SIZE - padding_size
    if end < 0 or plaintext[end:-1] != _PADDING_AND_LENGTH[padding_size]:
        raise IntegrityError("the ESP packet's padding is not 1, 2, 3...")
    return plaintext[:end], plaintext[-1]
