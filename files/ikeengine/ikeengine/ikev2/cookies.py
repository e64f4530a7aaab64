# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stateless cookies against floods of half-open IKE SAs (RFC 7296 §2.6)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from ..security_association import SocketAddress


class Cookies:
    """Makes and checks cookies; the secret changes, and the one before it stays good for as long again."""

    def __init__(self, random: Callable[[int], bytes], lifetime: float) -> None:
        self._random = random
        self._lifetime = lifetime
        self._secrets = [random(32)]
        self._changed_at: float | None = None

    def make(self, nonce_i: bytes, remote: SocketAddress, spi_i: bytes, now: float) -> bytes:
        """32 octets that only an initiator that receives at ``remote`` can show again."""
        if self._changed_at is None:
            self._changed_at = now
        elif now - self._changed_at >= self._lifetime:
            self._secrets = [self._random(32), self._secrets[0]]
            self._changed_at = now
        return self._cookie(self._secrets[0], nonce_i, remote, spi_i)

    def is_good(self, cookie: bytes, nonce_i: bytes, remote: SocketAddress, spi_i: bytes) -> bool:
        return any(hmac.compare_digest(cookie, self._cookie(secret, nonce_i, remote, spi_i))
                   for secret in self._secrets)

    @staticmethod
    def _cookie(secret: bytes, nonce_i: bytes, remote: SocketAddress, spi_i: bytes) -> bytes:
        octets = nonce_i + remote.address.packed + remote.port.to_bytes(2, "big") + spi_i
        return hmac.digest(secret, octets, hashlib.sha256)
