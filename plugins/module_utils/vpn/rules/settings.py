# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rules on settings may look at. Types keep them to it, and likenesses are made of just this."""

from __future__ import annotations

from typing import Protocol

from ..algorithms import KeyEncapsulation, KeyGroup
from ..model import (
    CredentialMethod,
    DataPlaneChoice,
    DeadPeerDetection,
    IkeVersion,
    KeepAlive,
    Mode,
    Platform,
    Policy,
    Proposal,
    SaPairs,
    Start,
    Transform,
    VirtualInterface,
)


class SiteSettings(Protocol):
    """What a rule on settings may know of a site. Here and below, ``name`` is for messages and decides nothing."""

    @property
    def name(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def managed(self) -> bool: ...
    @property
    def policy(self) -> Policy: ...


class GatewaySettings(Protocol):
    """What it may know of a gateway: all of Phase 1 but the endpoints and the key."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> IkeVersion: ...
    @property
    def mode(self) -> Mode | None: ...
    @property
    def method(self) -> CredentialMethod: ...
    @property
    def transforms(self) -> tuple[Transform, ...]: ...
    @property
    def nat_traversal(self) -> bool: ...
    @property
    def nat_keep_alive(self) -> int: ...
    @property
    def dead_peer_detection(self) -> DeadPeerDetection | None: ...
    @property
    def keep_alive(self) -> KeepAlive | None: ...
    @property
    def start(self) -> Start: ...


class TunnelSettings(Protocol):
    """What it may know of a tunnel: all of Phase 2 but the routes."""

    @property
    def name(self) -> str: ...
    @property
    def proposals(self) -> tuple[Proposal, ...]: ...
    @property
    def pfs(self) -> KeyGroup | None: ...
    @property
    def additional_key_exchange(self) -> KeyEncapsulation | None: ...
    @property
    def sa_pairs(self) -> SaPairs: ...
    @property
    def dataplane(self) -> DataPlaneChoice: ...
    @property
    def interface(self) -> VirtualInterface | None: ...


class PairSettings(Protocol):
    """What it may know of two paired gateways."""

    @property
    def left(self) -> SiteSettings: ...
    @property
    def left_gateway(self) -> GatewaySettings: ...
    @property
    def right(self) -> SiteSettings: ...
    @property
    def right_gateway(self) -> GatewaySettings: ...


class TunnelPairSettings(Protocol):
    """What it may know of two paired tunnels."""

    @property
    def left(self) -> TunnelSettings: ...
    @property
    def right(self) -> TunnelSettings: ...
