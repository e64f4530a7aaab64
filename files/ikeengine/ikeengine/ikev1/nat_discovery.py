# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT detection (RFC 3947 §3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..security_association import Datagram, SocketAddress
from ..vpn.algorithms import Authentication
from ..wire.payloads import all_of
from ..wire.v1.message import Payload
from ..wire.v1.opaque import NatDiscovery


@dataclass(frozen=True, slots=True)
class NatFindings:
    """That end is behind a NAT, or says so."""

    local: bool
    remote: bool


@dataclass(frozen=True, slots=True)
class NatDigests:
    """Digests of where the ends are, under the hash that Phase 1 negotiated."""

    algorithm: Authentication
    cookie_i: bytes
    cookie_r: bytes

    def _of(self, end: SocketAddress) -> bytes:
        octets = self.cookie_i + self.cookie_r + end.address.packed + end.port.to_bytes(2, "big")
        return hashlib.new(self.algorithm.hash_name, octets, usedforsecurity=False).digest()

    def announce(self, kind: type[NatDiscovery], local: SocketAddress, remote: SocketAddress,
                 pretend: Callable[[int], bytes] | None) -> list[Payload]:
        """Where we see the peer, then where we think that we are. ``pretend`` (a source of random octets) makes the
        peer see a NAT in front of us, which is how an end that can only do ESP in UDP asks for it."""
        source = pretend(self.algorithm.prf_size) if pretend else self._of(local)
        return [kind(self._of(remote)), kind(source)]

    def detect(self, payloads: Sequence[Payload], datagram: Datagram) -> NatFindings | None:
        """Compare the peer's digests with the path that its datagram came by; the first is of our end, the others of
        its own. None where it sent none."""
        digests = [row.data for row in all_of(payloads, NatDiscovery)]
        if len(digests) < 2:
            return None
        return NatFindings(digests[0] != self._of(datagram.local), self._of(datagram.remote) not in digests[1:])
