# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session tells the daemon. Each event is a value; the daemon drains them after every input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ..negotiation.reasons import Reason
from ..security_association import ChildSa, SocketAddress
from ..vpn.algorithms import Authentication, Encryption
from ..vpn.model import EndpointPair, IkeVersion


@dataclass(frozen=True, slots=True)
class IkeEstablished:
    """Phase 1 is up. ``suite`` is as the operator writes it: ``AES-256/SHA2-256/group 14``."""

    gateway: str
    spi_i: bytes
    spi_r: bytes
    initiator: bool
    suite: str


@dataclass(frozen=True, slots=True)
class IkeKeyed:
    """The keys of an IKE SA, octets, which leave a session only with ``Settings.export_keys``.

    Pairs are (initiator's, responder's). In IKEv1 both have one key, and ``integrity`` is None as beside an AEAD.
    """

    version: IkeVersion
    spi_i: bytes
    spi_r: bytes
    encryption: Encryption
    integrity: Authentication | None
    encryption_keys: tuple[bytes, bytes] = field(repr=False)
    integrity_keys: tuple[bytes, bytes] = field(default=(b"", b""), repr=False)


@dataclass(frozen=True, slots=True)
class IkeRekeyed:
    gateway: str
    old_spi_i: bytes
    spi_i: bytes
    spi_r: bytes


@dataclass(frozen=True, slots=True)
class IkeClosed:
    """``reason`` is a sentence for the operator."""

    gateway: str
    spi_i: bytes
    spi_r: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ChildInbound:
    """Install the inbound SA of ``child`` now."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class ChildOutbound:
    """Install the outbound SA of ``child`` now: the peer is known to have its inbound one."""

    child: ChildSa
    replaces: ChildSa | None = None


@dataclass(frozen=True, slots=True)
class ChildRemoved:
    """Remove both directions of ``child``. ``reason`` is a sentence for the operator."""

    child: ChildSa
    reason: str


@dataclass(frozen=True, slots=True)
class ChildMoved:
    """The outer path of ``child`` changed: it has the new addresses and ports, and whether it is now in UDP."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class PathMoved:
    """The child SAs of an IKE SA have gone over to another path: each has told by itself."""

    gateway: str
    local: SocketAddress
    remote: SocketAddress
    number: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A negotiation failed. ``reason`` says what differs and what would mend it, and its text is one sentence;
    ``notify`` is the wire's word. ``gateway`` is empty where nobody knows whose negotiation it was."""

    gateway: str
    tunnel: str | None
    notify: str | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class EndpointsChanged:
    """The gateway's IKE SA is by another endpoint pair than the one before; ``back`` says that it is an earlier one.
    ``reason`` is half a sentence."""

    gateway: str
    before: EndpointPair
    after: EndpointPair
    back: bool
    reason: str


Event: TypeAlias = (IkeEstablished | IkeKeyed | IkeRekeyed | IkeClosed | ChildInbound | ChildOutbound | ChildRemoved
                    | ChildMoved | PathMoved | EndpointsChanged | Failed)
