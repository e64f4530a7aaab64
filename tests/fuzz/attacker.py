# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that has the keys and is hostile: what it does to a live session, whatever its version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from ikeengine.ike.session import IkeSession
from ikeengine.ike.state import NO_SPI
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.wire.header import HEADER_SIZE, Header

from .feed import Feed
from .recording import BEGINNING, Recording
from .steps import Kind, Step, read

_MOST_SESSIONS = 16
_MOST_ANSWERS = 64
_WHILE = 300.0  # seconds in which all retransmissions and grace times end
_TIME_PASSES = 0x80
_A_CHILD = 0xC0000001

REKEY_IKE, REKEY_CHILD, DELETE_CHILD, DELETE_IKE = 0, 1, 3, 4
ORDERS: tuple[Callable[[IkeSaManager, float], object], ...] = (
    lambda manager, now: manager.rekey_ike("peer", now),
    lambda manager, now: manager.rekey_child("lan", now),
    lambda manager, now: manager.initiate("peer", now),
    lambda manager, now: manager.terminate("peer", now, "lan"),
    lambda manager, now: manager.terminate("peer", now),
    lambda manager, now: manager.expire(_A_CHILD, now, hard=False),
    lambda manager, now: manager.expire(_A_CHILD, now, hard=True),
    lambda manager, now: manager.fail_child(_A_CHILD, "no reason", now),
)


class Attacker(ABC):
    """Of an end that has heard ``stage`` datagrams of its honest peer; it comes from the honest peer's address.

    Whatever the end raises goes through; it must be nothing.
    """

    major: ClassVar[int]
    exchanges: ClassVar[tuple[int, ...]]

    def __init__(self, recording: Recording, stage: int, port: int) -> None:
        self.against_initiator = recording.initiates
        self.now = BEGINNING + 1
        self._manager = recording.replay(stage)
        self._local = SocketAddress(recording.local.address, port)
        self._remote = SocketAddress(recording.remote.address, port)

    def run(self, feed: Feed) -> None:
        """All steps; then look at what is left of the end, and let time run out for it."""
        for step in read(feed):
            self._act(step)
            self._settle()
        manager = self._manager
        manager.overview.gateways()
        manager.overview.tunnels()
        self.now += _WHILE
        manager.handle_timer(self.now)
        self._settle()

    def _act(self, step: Step) -> None:
        if step.kind is Kind.DATAGRAM:
            self.say(step.body)
            return
        if step.kind is Kind.ORDER:
            self._order(step.first_type)
            return
        sessions = list(self._manager._sessions)
        session = sessions[0 if step.oldest else -1] if sessions else None
        exchange = self.exchanges[step.exchange] if step.exchange < len(self.exchanges) else step.exchange
        if step.kind is Kind.CLEAR:
            self._say_in_clear(step, exchange, session)
        elif session is not None:
            self.say_sealed(step, exchange, session)

    def _settle(self) -> None:
        manager = self._manager
        manager.events()
        manager.next_timer()
        assert len(manager.datagrams_to_send()) <= _MOST_ANSWERS
        assert len(manager._sessions) <= _MOST_SESSIONS

    def _order(self, octet: int) -> None:
        if octet & _TIME_PASSES:
            self.now += (octet - _TIME_PASSES) ** 2 / 4
            self._manager.handle_timer(self.now)
        else:
            with suppress(LookupError):  # orders raise it where there is no such SA any more
                ORDERS[octet % len(ORDERS)](self._manager, self.now)

    def _say_in_clear(self, step: Step, exchange: int, session: IkeSession | None) -> None:
        spi_i, spi_r = (session.spi_i, session.spi_r) if session is not None else (b"\x01" * 8, NO_SPI)
        if self.against_initiator and spi_r == NO_SPI:
            spi_r = b"\x02" * 8
        self.say(Header(spi_i, spi_r, step.first_type, exchange, step.other or self.flags_in_clear, 0,
                        HEADER_SIZE + len(step.body), self.major).encode() + step.body)

    @property
    @abstractmethod
    def flags_in_clear(self) -> int:
        """Those of an honest peer's first message."""

    @abstractmethod
    def say_sealed(self, step: Step, exchange: int, session: IkeSession) -> None:
        """Say it as if the honest peer did, where that has keys already."""

    def say(self, data: bytes) -> None:
        self._manager.receive(Datagram(self._local, self._remote, data), self.now)
