# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets over the virtual network's tunnels, each counted that comes where no SA receives it."""

from __future__ import annotations

from .virtual_network import BRANCH, HQ

_STEP = 0.005


class Traffic:
    """A packet of every route from either end every 5 ms; it arrives after the network's latency."""

    def __init__(self, network):
        self.network, self.lost, self.sent = network, [], 0
        self._flying = []
        self._routes = {address: tuple(end.sending) for address, end in network.ends.items()}

    def run(self, seconds):
        network = self.network
        end_at, send_at = network.now + seconds, network.now
        while network.now < end_at:
            # What was sent before a datagram arrives before it.
            arrival = self._flying[0][0] - 1e-6 if self._flying else end_at
            network.run(max(0.0, min(arrival, send_at, end_at) - network.now))
            while self._flying and self._flying[0][0] - 1e-6 <= network.now:
                at, receiver, reqid, spi = self._flying.pop(0)
                self.sent += 1
                if spi not in network.ends[receiver].inbound:
                    self.lost.append((round(at - 1000, 3), receiver, reqid, spi))
            if network.now >= send_at:
                send_at += _STEP
                for address, other in ((HQ, BRANCH), (BRANCH, HQ)):
                    sending = network.ends[address].sending
                    for reqid in self._routes[address]:
                        spi = sending[reqid].spi_out if reqid in sending else None
                        self._flying.append((network.now + network.latency, other, reqid, spi))
