# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-KEM (FIPS 203): the initiator's key pair, and the responder's answer to its public key.

In a KE payload the initiator's Key Exchange Data is the encapsulation key, the responder's the ciphertext
(draft-ietf-ipsecme-ikev2-mlkem §2.2).
"""

from __future__ import annotations

from functools import cache

from ..vpn.algorithms import KeyEncapsulation
from .errors import InvalidKeyExchange, UnsupportedAlgorithm
from .library import MLKEM_PRIVATE_KEYS, MLKEM_PUBLIC_KEYS, BackendLacks


@cache
def is_supported(kem: KeyEncapsulation) -> bool:
    """Whether the cryptographic library here has it, learnt by trying."""
    try:
        DecapsulationKey(kem)
    except UnsupportedAlgorithm:
        return False
    return True


class DecapsulationKey:
    """The initiator's fresh key pair. ``public`` is ``kem.public_size`` octets. Raises UnsupportedAlgorithm."""

    __slots__ = ("_private", "kem", "public")

    def __init__(self, kem: KeyEncapsulation) -> None:
        self.kem = kem
        try:
            self._private = MLKEM_PRIVATE_KEYS[kem.name].generate()
        except (KeyError, BackendLacks):
            raise UnsupportedAlgorithm(kem.name) from None
        self.public = self._private.public_key().public_bytes_raw()

    def shared_secret(self, ciphertext: bytes) -> bytes:
        """``kem.secret_size`` octets. A ciphertext that was not made for this key gives a secret that nobody else has
        (FIPS 203 §6.3), and no error. Raises InvalidKeyExchange for one of another size."""
        _check_size(self.kem, "ciphertext", ciphertext, self.kem.ciphertext_size)
        return self._private.decapsulate(ciphertext)


def encapsulate(kem: KeyEncapsulation, public: bytes) -> tuple[bytes, bytes]:
    """The ciphertext that goes to the initiator, and the shared secret.

    Raises UnsupportedAlgorithm, and InvalidKeyExchange for a key that fails the checks of FIPS 203 §7.2.
    """
    _check_size(kem, "public key", public, kem.public_size)
    try:
        secret, ciphertext = MLKEM_PUBLIC_KEYS[kem.name].from_public_bytes(public).encapsulate()
    except (KeyError, BackendLacks):
        raise UnsupportedAlgorithm(kem.name) from None
    except ValueError:
        raise InvalidKeyExchange(f"{kem.name}: the public key is not one") from None
    return ciphertext, secret


def _check_size(kem: KeyEncapsulation, what: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise InvalidKeyExchange(f"{kem.name}: the {what} has {len(data)} octets instead of {size}")
