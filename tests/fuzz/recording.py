# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon's protocol half in the state that an honest handshake brought it to, as often as one likes and soon.

An honest handshake is recorded once. All that is random in it is the same each time - `key_pairs` must have been told
so -, so what the peer said then can be said again to a new manager, which answers as the first did: it costs one end's
half of the work, and no key pair.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ikeengine.ike.context import Settings
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.model import Side

from tests.support.virtual_network import BRANCH, HQ

BEGINNING = 1000.0
_PORTS = (500, 4500)


@dataclass(frozen=True)
class Recording:
    """``said`` are the datagrams that the end under attack heard from its honest peer, in order."""

    side: Side
    local: SocketAddress
    remote: SocketAddress
    initiates: bool
    settings: Settings
    said: Sequence[Datagram]

    def replay(self, stage: int) -> IkeSaManager:
        """A new manager that has heard the first ``stage`` datagrams."""
        manager = _manager(self.side, self.settings)
        if self.initiates:
            manager.initiate("peer", BEGINNING)
        for datagram in self.said[:stage]:
            manager.receive(datagram, BEGINNING)
        manager.datagrams_to_send()
        manager.events()
        return manager


def record(initiator: Side, responder: Side, *, attacked: int, settings: Settings | None = None) -> Recording:
    """Bring a tunnel up and keep what the end ``attacked``, 0 for the initiator, heard."""
    settings = settings or Settings()
    ends = [_manager(row, settings) for row in (initiator, responder)]
    heard: list[list[Datagram]] = [[], []]
    ends[0].initiate("peer", BEGINNING)
    while flying := [(1 - number, Datagram(row.remote, row.local, row.data))
                     for number, end in enumerate(ends) for row in end.datagrams_to_send()]:
        for number, datagram in flying:
            heard[number].append(datagram)
            ends[number].receive(datagram, BEGINNING)
    assert all(row.state == "up" for end in ends for row in end.overview.tunnels())
    addresses = [SocketAddress(ip_address(text), _PORTS[0]) for text in (HQ, BRANCH)]
    return Recording((initiator, responder)[attacked], addresses[attacked], addresses[1 - attacked], attacked == 0,
                     settings, heard[attacked])


def _manager(side: Side, settings: Settings) -> IkeSaManager:
    spis = itertools.count(0xC0000001)
    reqids: dict[object, int] = {}
    return IkeSaManager(side, allocate_spi=lambda *_asked: next(spis), encapsulate=lambda _gateway: False,
                        reqid=lambda *route: reqids.setdefault(route, len(reqids) + 1),
                        random=random.Random(side.name).randbytes, settings=settings)
