# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in force on a host: its gateways, each as it is kept up, and their tunnels; and who an address may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from .ike.rate import Whereabouts
from .peer import Peer
from .reload import keeps
from .vpn.model import Gateway, Route, Side, Tunnel
from .vpn.selectors import Address


class Declared:
    """``peers`` and ``tunnels`` are by the gateways' names."""

    def __init__(self, name: str) -> None:
        self.side = Side(name)
        self.peers: dict[str, Peer] = {}
        self.tunnels: dict[str, tuple[Tunnel, ...]] = {}
        self._by_remote: dict[Address | None, list[Peer]] = {}

    def adopt(self, side: Side) -> list[Peer]:
        """Put it in force. Returns those that are kept up no more."""
        peers = {}
        for gateway in side.gateways:
            peer = self.peers.get(gateway.name) or Peer.of(gateway)
            peer.declare(gateway)
            peers[gateway.name] = peer
        gone = [peer for name, peer in self.peers.items() if peers.get(name) is not peer]
        tunnels = side.tunnels_by_gateway()
        self.side, self.peers = side, peers
        self.tunnels = {name: tunnels.get(name, ()) for name in peers}
        self._by_remote = {}
        for peer in peers.values():
            for address in dict.fromkeys(pair.remote.address for pair in peer.gateway.endpoints):
                self._by_remote.setdefault(address, []).append(peer)
        return gone

    def expected_at(self, remote: Address) -> Sequence[Peer]:
        """Those that are declared to be at that address."""
        return self._by_remote.get(remote, ())

    def whereabouts(self, remote: Address) -> Whereabouts:
        """Who may be at that address."""
        if remote in self._by_remote:
            return Whereabouts.DECLARED
        return Whereabouts.ANYWHERE if None in self._by_remote else Whereabouts.NOBODY

    def may_be(self, local: Address, remote: Address) -> Iterator[Gateway]:
        """The gateways that a peer at these addresses may be, those first that are declared there."""
        expected = self.expected_at(remote)
        names = {peer.gateway.name for peer in expected}
        anywhere = (peer for peer in self._by_remote.get(None, ()) if peer.gateway.name not in names)
        return (peer.gateway for peer in chain(expected, anywhere)
                if not peer.refused and peer.gateway.pairs_between(local, remote))

    def open_tunnels(self, gateway: str) -> Sequence[Tunnel]:
        """Those that nobody took down."""
        peer = self.peers.get(gateway)
        return [row for row in self.tunnels[gateway] if row.name not in peer.held] if peer else ()

    def wants(self, tunnel: Tunnel, route: Route) -> bool:
        """Whether the route is still declared, under the same terms, and its tunnel not taken down."""
        return any(keeps(tunnel, route, row) for row in self.open_tunnels(tunnel.gateway) if row.name == tunnel.name)

    def check(self, gateway: str, tunnel: str | None) -> None:
        """Raises KeyError for a gateway, or a tunnel of it, that is not declared."""
        if tunnel is not None and all(row.name != tunnel for row in self.tunnels[gateway]):
            raise KeyError(tunnel)
