# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT detection (RFC 7296 §2.23)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..security_association import SocketAddress
from ..wire.constants import NotifyType
from ..wire.message import Payload
from ..wire.notify import Notify
from ..wire.payloads import all_of


@dataclass(frozen=True, slots=True)
class NatFindings:
    """``supported``: the peer sent its hashes. ``local``, ``remote``: that end is behind a NAT, or says so."""

    supported: bool
    local: bool
    remote: bool


def _digest(spi_i: bytes, spi_r: bytes, end: SocketAddress) -> bytes:
    octets = spi_i + spi_r + end.address.packed + end.port.to_bytes(2, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def announce(spi_i: bytes, spi_r: bytes, local: SocketAddress, remote: SocketAddress,
             pretend: Callable[[int], bytes] | None) -> list[Payload]:
    """The two notifications. ``pretend`` (a source of random octets) makes the peer see a NAT in front of us, which is
    how an end that can only do ESP in UDP asks for it."""
    source = pretend(20) if pretend else _digest(spi_i, spi_r, local)
    return [Notify(NotifyType.NAT_DETECTION_SOURCE_IP, source),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, _digest(spi_i, spi_r, remote))]


def detect(payloads: Sequence[Payload], spi_i: bytes, spi_r: bytes, local: SocketAddress,
           remote: SocketAddress) -> NatFindings:
    """Compare the peer's hashes with the path that they really came by. It may send several sources."""
    sources = [row.data for row in all_of(payloads, Notify) if row.notify_type == NotifyType.NAT_DETECTION_SOURCE_IP]
    targets = [row.data for row in all_of(payloads, Notify)
               if row.notify_type == NotifyType.NAT_DETECTION_DESTINATION_IP]
    if not sources or not targets:
        return NatFindings(False, False, False)
    return NatFindings(True, _digest(spi_i, spi_r, local) not in targets, _digest(spi_i, spi_r, remote) not in sources)
