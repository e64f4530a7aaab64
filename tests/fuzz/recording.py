# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon's protocol half in the state that an honest handshake brought it to, as often as one likes and soon.

An honest handshake is recorded once. All that is random in it is the same each time, so what the peer said then can be
said again to a new manager, which answers as the first did: so it costs one end's half of the work, and no key pair.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from ikeengine.crypto import key_encapsulation
from ikeengine.crypto.key_exchange import KeyExchange
from ikeengine.ike.context import Settings
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.algorithms import KeyGroup
from ikeengine.vpn.model import Side

from tests.support.virtual_network import BRANCH, HQ

BEGINNING = 1000.0
_PORTS = (500, 4500)
_made: dict[int, KeyExchange] = {}


class _SamePrivateKey:
    """In the place of a class of ML-KEM private keys."""

    def __init__(self, kind: Any) -> None:
        self._key = kind.generate()

    def generate(self) -> Any:
        return self._key


class _SameAnswer:
    """In the place of a class of ML-KEM public keys: the answer to the first key is always the same."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._first: tuple[bytes, tuple[bytes, bytes]] | None = None

    def from_public_bytes(self, data: bytes) -> Any:
        key = self._kind.from_public_bytes(data)
        if self._first is None:
            self._first = data, key.encapsulate()
        first, answer = self._first
        return SimpleNamespace(encapsulate=lambda: answer) if data == first else key


def one_key_pair_for_each_group() -> None:
    """From now on, in this process: what takes most of the time and would differ each time."""
    for kinds, stand_in in ((key_encapsulation.MLKEM_PRIVATE_KEYS, _SamePrivateKey),
                            (key_encapsulation.MLKEM_PUBLIC_KEYS, _SameAnswer)):
        kinds.update({name: stand_in(kind) for name, kind in kinds.items()})
    make = KeyExchange.__init__

    def copy(self: KeyExchange, group: KeyGroup) -> None:
        if group.number not in _made:
            make(self, group)
            _made[group.number] = self
        pair = _made[group.number]
        self.group, self._key_pair, self.public = pair.group, pair._key_pair, pair.public

    KeyExchange.__init__ = copy  # type: ignore[method-assign]


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
    assert all(row.state == "up" for end in ends for row in end.tunnels())
    addresses = [SocketAddress(ip_address(text), _PORTS[0]) for text in (HQ, BRANCH)]
    return Recording((initiator, responder)[attacked], addresses[attacked], addresses[1 - attacked], attacked == 0,
                     settings, heard[attacked])


def _manager(side: Side, settings: Settings) -> IkeSaManager:
    spis = itertools.count(0xC0000001)
    reqids: dict[object, int] = {}
    return IkeSaManager(side, allocate_spi=lambda *_asked: next(spis), encapsulate=lambda _gateway: False,
                        reqid=lambda *route: reqids.setdefault(route, len(reqids) + 1),
                        random=random.Random(side.name).randbytes, settings=settings)
