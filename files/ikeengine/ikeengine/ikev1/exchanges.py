# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Quick Modes of one ISAKMP SA: those that wait, and those that are under way, as many at once as may be."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ..ike.children import ChildState
from ..ike.refusal import Refusal
from ..ike.state import State
from ..vpn.model import Route
from .quick_mode import Initiated, QuickMode, Wish

if TYPE_CHECKING:
    from .session import Ikev1Session

_T = TypeVar("_T", bound=QuickMode)


class Exchanges:
    """A wish waits for the ISAKMP SA to be up, and for its turn; a Quick Mode that is over is kept for a while, for the
    peer that did not get its last message."""

    __slots__ = ("_by_message_id", "_whose", "_wishes")

    def __init__(self, session: Ikev1Session) -> None:
        self._whose = weakref.ref(session)  # a session that has closed is gone at once, with its keys
        self._wishes: deque[Wish] = deque()
        self._by_message_id: dict[int, QuickMode] = {}

    @property
    def _session(self) -> Ikev1Session:
        session = self._whose()
        assert session is not None
        return session

    def find(self, message_id: int) -> QuickMode | None:
        return self._by_message_id.get(message_id)

    def all(self) -> list[QuickMode]:
        """Those that are over, too; in the order in which they began."""
        return list(self._by_message_id.values())

    def under_way(self, kind: type[_T]) -> list[_T]:
        """Those that one end began, in order."""
        return [row for row in self._by_message_id.values() if isinstance(row, kind) and not row.is_over]

    def asked_for(self) -> set[tuple[str, Route]]:
        """The routes, by tunnel, whose first child SA is under way or waits."""
        wishes = (*self._wishes, *(row.wish for row in self.under_way(Initiated)))
        return {(wish.tunnel.name, wish.route) for wish in wishes if wish.rekeyed is None}

    def add(self, wishes: Iterable[Wish], now: float) -> None:
        """Begin each when its turn comes."""
        self._wishes.extend(wishes)
        self.proceed(now)

    def keep(self, exchange: QuickMode) -> None:
        self._by_message_id[exchange.message_id] = exchange
        self._session.message_ids.use(exchange.message_id)

    def forget(self, exchange: QuickMode) -> None:
        self._by_message_id.pop(exchange.message_id, None)

    def inherit(self, other: Exchanges) -> None:
        """Take over what waits in another ISAKMP SA; `proceed` begins it."""
        self._wishes.extend(other._wishes)
        other._wishes.clear()

    def abandon(self, now: float) -> None:
        """The ISAKMP SA is closed. What it has begun goes on where its child SAs are, if that is another one."""
        session = self._session
        heir = session.holder.exchanges
        if heir is not self:
            heir._wishes.extend(row.wish for row in self.under_way(Initiated))
            heir.proceed(now)
        for exchange in self._by_message_id.values():
            exchange.abandon(session, now)
        self._by_message_id.clear()
        self._wishes.clear()

    def proceed(self, now: float) -> None:
        """Begin what waits."""
        session = self._session
        begun = len(self.under_way(Initiated))
        while self._wishes and session.state is State.ESTABLISHED and begun < self._most_initiated:
            wish = self._wishes.popleft()
            if not self._is_still_wished(wish):
                continue
            try:
                exchange = Initiated(session, wish, now)
            except Refusal as refusal:
                session.fail(refusal.reason, tunnel=wish.tunnel.name)
                wish.fell_through(session, now)
                continue
            begun += 1
            self.keep(exchange)
            exchange.begin(session, now)

    @property
    def _most_initiated(self) -> int:
        """Others than ours may forget a Quick Mode that waits for message 3 when more begin, and say nothing."""
        settings = self._session.context.settings
        return settings.quick_modes_at_once if self._session.abilities.ours else settings.quick_modes_with_others

    def _is_still_wished(self, wish: Wish) -> bool:
        session, old = self._session, wish.rekeyed
        if not session.context.is_wanted(wish.tunnel, wish.route):
            if old is not None and old.state is ChildState.REKEYING:
                old.state = ChildState.INSTALLED
            return False
        if old is not None:
            return old.state is ChildState.REKEYING
        return not session.needs_no_other(wish.tunnel.name, wish.route)

    def next_timer(self) -> float | None:
        return min((row.next_timer() for row in self._by_message_id.values()), default=None)

    def handle_timer(self, now: float) -> None:
        for exchange in self.all():
            exchange.handle_timer(self._session, now)
