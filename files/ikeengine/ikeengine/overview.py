# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator sees of all IKE SAs of a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import explanation
from .declared import Declared
from .ike.account import Accounts
from .sessions import Sessions
from .status import GatewayStatus, TunnelStatus, gateway_status, tunnel_status
from .vpn.selectors import Address


class Overview:
    """Reads, and changes nothing. Whatever takes the name of a gateway raises KeyError for an unknown one."""

    def __init__(self, declared: Declared, sessions: Sessions, accounts: Accounts) -> None:
        self._declared, self._sessions, self._accounts = declared, sessions, accounts

    def gateway(self, name: str) -> GatewayStatus:
        return gateway_status(self._declared.peers[name], self._sessions.of(name))

    def gateways(self) -> list[GatewayStatus]:
        return [self.gateway(name) for name in self._declared.peers]

    def tunnels_at(self, gateway: str) -> list[TunnelStatus]:
        """Those of one gateway."""
        peer, sessions = self._declared.peers[gateway], self._sessions.of(gateway)
        return [tunnel_status(peer, row, sessions) for row in self._declared.tunnels[gateway]]

    def tunnels(self) -> list[TunnelStatus]:
        return [row for name in self._declared.peers for row in self.tunnels_at(name)]

    def explain(self, gateway: str, unix: Callable[[float], float]) -> dict[str, Any]:
        """What `explanation.of_gateway` says of it."""
        peer = self._declared.peers[gateway]
        rows = zip(self._declared.tunnels[gateway], self.tunnels_at(gateway), strict=True)
        return explanation.of_gateway(peer.gateway, self.gateway(gateway), list(rows), self._accounts.of(gateway),
                                      self._accounts.failed(gateway), refused=peer.refused, unix=unix)

    def explain_address(self, address: Address, unix: Callable[[float], float]) -> list[dict[str, Any]]:
        """The same of every gateway that is, or was met, at the address, and of the last that was none; empty where
        nobody of that address is known."""
        declared = [name for name, peer in self._declared.peers.items()
                    if any(pair.remote.address == address for pair in peer.gateway.endpoints)]
        stranger = self._accounts.strangers.get(address)
        return [*(self.explain(name, unix) for name in dict.fromkeys([*declared, *self._accounts.met_at(address)])),
                *([explanation.of_stranger(stranger, unix=unix)] if stranger else [])]

    def strangers(self) -> list[Address]:
        """Who was none of our gateways, the latest last."""
        return list(self._accounts.strangers)
