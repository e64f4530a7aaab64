# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diffie-Hellman in every key group of the table (RFC 7296 §2.14, RFC 3526, RFC 5903, RFC 8031)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..vpn.algorithms import GroupKind, KeyGroup
from . import modp
from .errors import InvalidKeyExchange, UnsupportedAlgorithm

_UNCOMPRESSED = b"\x04"  # SEC 1 §2.3.3; the wire form of RFC 5903 §7 goes without it
_CURVES: dict[str, ec.EllipticCurve] = {"ecp256": ec.SECP256R1(), "ecp384": ec.SECP384R1(), "ecp521": ec.SECP521R1()}


class _KeyPair(Protocol):
    public: bytes

    def exchange(self, peer_public: bytes) -> bytes: ...


class _EcpKey:
    __slots__ = ("_curve", "_private", "public")

    def __init__(self, group: KeyGroup) -> None:
        self._curve = _CURVES[group.name]
        self._private = ec.generate_private_key(self._curve)
        self.public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def exchange(self, peer_public: bytes) -> bytes:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, _UNCOMPRESSED + peer_public)
        return self._private.exchange(ec.ECDH(), peer)


class _Curve25519Key:
    __slots__ = ("_private", "public")

    def __init__(self, group: KeyGroup) -> None:
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def exchange(self, peer_public: bytes) -> bytes:
        return self._private.exchange(X25519PublicKey.from_public_bytes(peer_public))


class _Curve448Key:
    __slots__ = ("_private", "public")

    def __init__(self, group: KeyGroup) -> None:
        self._private = X448PrivateKey.generate()
        self.public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def exchange(self, peer_public: bytes) -> bytes:
        return self._private.exchange(X448PublicKey.from_public_bytes(peer_public))


_KEY_PAIRS: dict[str, Callable[[KeyGroup], _KeyPair]] = {
    **dict.fromkeys(_CURVES, _EcpKey),
    "curve25519": _Curve25519Key,
    "curve448": _Curve448Key,
}


class KeyExchange:
    """A fresh key pair of one group.

    ``public`` is the Key Exchange Data that goes on the wire, ``group.public_size`` octets: left padded for MODP,
    X || Y for ECP, little-endian u for the Montgomery curves. Raises UnsupportedAlgorithm.
    """

    __slots__ = ("_key_pair", "group", "public")

    def __init__(self, group: KeyGroup) -> None:
        key_pair = modp.key_pair if group.kind is GroupKind.MODP else _KEY_PAIRS.get(group.name)
        if key_pair is None:
            raise UnsupportedAlgorithm(group.name)
        self.group = group
        self._key_pair: _KeyPair = key_pair(group)
        self.public = self._key_pair.public

    def shared_secret(self, peer_public: bytes) -> bytes:
        """g^ir, ``group.secret_size`` octets: for ECP the X coordinate (RFC 5903 §7).

        Raises InvalidKeyExchange for a public value that RFC 6989 or RFC 8031 §2.2 tells to refuse.
        """
        if len(peer_public) != self.group.public_size:
            raise InvalidKeyExchange(
                f"{self.group.name}: the public value has {len(peer_public)} octets instead of {self.group.public_size}"
            )
        try:
            return self._key_pair.exchange(peer_public)
        except ValueError as error:
            raise InvalidKeyExchange(f"{self.group.name}: the public value is not of the group") from error
