# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IKE SAs of a host, found by the SPIs of a message, by their gateway or by their child SAs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .ike.children import Child
from .ike.events import ChildInbound, ChildRemoved, Event
from .ike.session import IkeSession
from .ike.state import BEGINNING, State
from .vpn.selectors import Address
from .wire.header import Header

#: Closed IKE SAs whose last answer is kept for a peer that did not get it.
_CLOSED_KEPT = 256


class Sessions:
    """All that are not closed. A gateway has those that it made or that are authentic: a peer that only begins may be
    anybody."""

    def __init__(self) -> None:
        self._by_spi: dict[bytes, IkeSession] = {}
        #: Our SPIs of rekeys under way, of which the peer may make use before its answer is here.
        self.offered: set[bytes] = set()
        self._of_gateway: dict[str, list[IkeSession]] = {}
        self._at: dict[Address, list[IkeSession]] = {}  # of those that a gateway has
        self._gateway_of_child: dict[int, str] = {}  # by the SPI that it receives on
        self._last_exchanges: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}

    def __len__(self) -> int:
        return len(self._by_spi)

    def __contains__(self, session: IkeSession) -> bool:
        return self._by_spi.get(session.own_spi) is session

    def __iter__(self) -> Iterator[IkeSession]:
        """Each of them, even if some close meanwhile."""
        return iter(list(self._by_spi.values()))

    def add(self, session: IkeSession) -> None:
        self._by_spi[session.own_spi] = session

    def assign(self, session: IkeSession) -> None:
        """Its gateway has it from now on, if it had it not yet."""
        sessions = self._of_gateway.setdefault(session.name, [])
        if session not in sessions:
            sessions.append(session)
            self._place(session, session.remote.address)

    def follow(self, session: IkeSession) -> None:
        """Its peer may be at another address now."""
        if session.noted_address not in (None, session.remote.address):
            self._place(session, session.remote.address)

    def _place(self, session: IkeSession, address: Address | None) -> None:
        if session.noted_address is not None:
            there = self._at[session.noted_address]
            there.remove(session)
            if not there:
                del self._at[session.noted_address]
        session.noted_address = address
        if address is not None:
            self._at.setdefault(address, []).append(session)

    def remove(self, session: IkeSession) -> None:
        """It has closed."""
        self._by_spi.pop(session.own_spi, None)
        if session.last_exchange is not None:
            self._last_exchanges[session.own_spi] = session.last_exchange
            if len(self._last_exchanges) > _CLOSED_KEPT:
                del self._last_exchanges[next(iter(self._last_exchanges))]
        sessions = self._of_gateway.get(session.name, [])
        if session in sessions:
            sessions.remove(session)
            self._place(session, None)

    def meant(self, header: Header) -> IkeSession | None:
        for spi in (header.spi_r, header.spi_i):
            session = self._by_spi.get(spi)
            if session is not None and session.is_meant(header):
                return session
        return None

    def sender(self, header: Header) -> IkeSession | None:
        """Whose message of ours it is."""
        return self._by_spi.get(header.spi_i) or self._by_spi.get(header.spi_r)

    def has_spi(self, header: Header) -> bool:
        """Whether an IKE SA has one of these for its own, or is to have it, whatever else the message says."""
        return any(spi in self._by_spi or spi in self.offered for spi in (header.spi_i, header.spi_r))

    def answer_of_closed(self, header: Header, request: bytes) -> tuple[bytes, ...] | None:
        """The last answer of an IKE SA that has closed since, where its peer repeats the request."""
        for spi in (header.spi_r, header.spi_i):
            known, answer = self._last_exchanges.get(spi, (b"", ()))
            if known == request:
                return answer
        return None

    def of(self, gateway: str) -> Sequence[IkeSession]:
        return self._of_gateway.get(gateway, ())

    def at(self, remote: Address) -> Sequence[IkeSession]:
        """Those of gateways whose peer is at that address."""
        return self._at.get(remote, ())

    def established(self, gateway: str) -> list[IkeSession]:
        return [row for row in self.of(gateway) if row.state is State.ESTABLISHED]

    def beginning(self, gateway: str) -> list[IkeSession]:
        """Those that we have begun and that are not up yet."""
        return [row for row in self.of(gateway) if row.state in BEGINNING]

    def live(self, gateway: str) -> IkeSession | None:
        """The first that is established and not about to go."""
        return next((row for row in self.of(gateway) if row.serves), None)

    def sibling(self, session: IkeSession) -> IkeSession | None:
        """Another one with that peer that is up, or on its way out."""
        return next((row for row in self.of(session.name) if row is not session
                     and row.state in (State.ESTABLISHED, State.REPLACED)), None)

    def hear(self, event: Event) -> None:
        """Follow which child SAs there are."""
        if isinstance(event, ChildInbound):
            self._gateway_of_child[event.child.spi_in] = event.child.gateway
        elif isinstance(event, ChildRemoved):
            self._gateway_of_child.pop(event.child.spi_in, None)

    def child(self, spi_in: int) -> tuple[IkeSession, Child] | None:
        """The child SA that receives on that SPI, with its IKE SA."""
        return next(((session, child) for session in self.of(self._gateway_of_child.get(spi_in, ""))
                     for child in session.children if child.sa.spi_in == spi_in), None)

    def children(self) -> Iterator[tuple[IkeSession, Child]]:
        """Each child SA, with its IKE SA, even if some close meanwhile."""
        for sessions in list(self._of_gateway.values()):
            for session in list(sessions):
                for child in list(session.children):
                    yield session, child
