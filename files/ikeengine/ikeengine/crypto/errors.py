# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong in cryptographic work. No message carries a secret."""

from __future__ import annotations


class CryptoError(Exception):
    """Base of all errors that this package raises on behalf of a peer or a proposal."""


class InvalidKeyExchange(CryptoError):
    """The peer's public value is of the wrong size, out of range, off the curve, or yields no secret."""


class IntegrityError(CryptoError):
    """A message or packet failed its integrity check, or its padding is not what the check vouches for."""


class UnsupportedAlgorithm(CryptoError):
    """The algorithm of that name cannot be computed here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not supported by the cryptographic library")
        self.name = name


class SignatureError(CryptoError):
    """A signature does not verify, or is of a kind that is not accepted. The text says which, for the operator."""


class CertificateError(CryptoError):
    """A certificate, revocation list or private key cannot be used. The text says which and why, for the operator."""
