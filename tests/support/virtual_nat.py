# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A NAT for the virtual network whose mappings can move, and a stream of ESP packets through it that counts what is
lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.selectors import Address

from tests.support.virtual_network import End, VirtualNetwork


class Nat:
    """Shows what leaves the private address under a public one; each private port gets a public port of its own. Only
    what answers a mapping comes in: ``strict``, from the address and port that the mapping was made for."""

    def __init__(self, private: str, public: str, *, strict: bool = True) -> None:
        self._private, self.public = ip_address(private), ip_address(public)
        self._strict = strict
        self._ports = itertools.count(61000)
        self._mappings: dict[tuple[int, SocketAddress | None], int] = {}

    def move(self, public: str | None = None) -> None:
        """Forget all mappings: what leaves next gets other ports, or those of another address."""
        self.public = ip_address(public) if public else self.public
        self._mappings.clear()

    def __call__(self, datagram: Datagram) -> Datagram | None:
        """For `VirtualNetwork.tamper`."""
        local, remote = datagram.local, datagram.remote
        if local.address == self._private:
            key = local.port, remote if self._strict else None
            port = self._mappings.get(key) or self._mappings.setdefault(key, next(self._ports))
            return Datagram(SocketAddress(self.public, port), remote, datagram.data)
        if self._is_public(remote.address):
            for (port, peer), public in self._mappings.items():
                if (self.public, public) == (remote.address, remote.port) and peer in (None, local):
                    return Datagram(local, SocketAddress(self._private, port), datagram.data)
            return None
        return datagram

    def _is_public(self, address: Address) -> bool:
        return address == self.public or str(address).startswith("203.0.113.")


@dataclass
class Stream:
    """ESP packets of one end's outbound SA, each ``every`` seconds, as a data plane takes them at the other end: it
    counts them, and tells its manager where they come from.

    ``arrived`` are the times of departure of those that came.
    """

    network: VirtualNetwork
    sender: End
    receiver: End
    every: float = 0.01
    sent: int = 0
    arrived: list[float] = field(default_factory=list)
    _newest: dict[int, float] = field(default_factory=dict)
    _heard_from: dict[int, SocketAddress] = field(default_factory=dict)

    def packet(self) -> None:
        self.sent += 1
        child = next(iter(self.sender.sending.values()), None)
        if child is None:
            return  # it waits for an SA, or is lost
        self.network.fly(Datagram(child.local, child.remote, b"ESP"), self.arrival(child.spi_out, self.network.now))

    def arrival(self, spi: int, left_at: float) -> Callable[[End, Datagram], None]:
        """Takes a packet that left then."""
        def arrive(end: End, datagram: Datagram) -> None:
            child = end.inbound.get(spi)
            if child is None:
                return
            self.arrived.append(left_at)
            self.network.packets[spi] += 1
            if left_at <= self._newest.get(spi, -1.0):
                return
            self._newest[spi] = left_at
            if self._heard_from.setdefault(spi, child.remote) != datagram.remote:
                self._heard_from[spi] = datagram.remote
                end.manager.moved(spi, datagram.local, datagram.remote, self.network.now)

        return arrive


def flow(network: VirtualNetwork, seconds: float, *streams: Stream) -> None:
    """Let time pass with packets of all streams."""
    end_at = network.now + seconds
    while network.now < end_at:
        for stream in streams:
            stream.packet()
        network.run(streams[0].every)


def outage(stream: Stream, since: float) -> float:
    """The longest time, in seconds, in which no packet left that arrived."""
    times = [since, *(time for time in stream.arrived if time >= since), stream.network.now]
    return max(later - earlier for earlier, later in itertools.pairwise(times))
