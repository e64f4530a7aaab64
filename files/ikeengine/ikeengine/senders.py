# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which child SA each route is sent, of all that carry it: whichever a data plane got last."""

from __future__ import annotations

from collections.abc import Iterable

from .ike.children import Child
from .ike.events import ChildMoved, ChildOutbound, ChildRemoved, Event
from .ike.session import IkeSession
from .security_association import ChildSa, CoveredRoute
from .sessions import Sessions


class Senders:
    """Kept by the events that data planes follow."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._by_reqid: dict[int, ChildSa] = {}

    def sends(self, child: ChildSa, route: CoveredRoute) -> bool:
        """Whether what the route takes leaves by that child SA."""
        return self._by_reqid.get(route.reqid) is child

    def elsewhere(self, session: IkeSession, child: Child) -> Child | None:
        """The child SA of another IKE SA with that peer that sends for a route of ``child``."""
        senders = [sa for reqid in child.sa.reqids if (sa := self._by_reqid.get(reqid)) is not None]
        return next((row for other in self._sessions.of(session.name) if other is not session
                     for row in other.children if row.is_live and row.sa in senders), None)

    def release(self, gone: ChildSa) -> None:
        """What waits for the end of that child SA, of another IKE SA, sends now: before it goes."""
        for session in self._sessions.of(gone.gateway):
            for child in session.children:
                if child.replaces is not None and child.replaces.sa is gone:
                    session.activate_outbound(child)

    def hear(self, event: Event) -> Iterable[IkeSession]:
        """Follow the event; returns the sessions whose timers it changes."""
        if isinstance(event, ChildOutbound):
            self._by_reqid |= dict.fromkeys(event.child.reqids, event.child)
        elif isinstance(event, ChildMoved):
            self._by_reqid |= {reqid: event.child for reqid in event.child.reqids
                               if reqid in self._by_reqid and self._by_reqid[reqid].spi_in == event.child.spi_in}
        elif isinstance(event, ChildRemoved):
            return self._revive(event.child)
        return ()

    def _revive(self, gone: ChildSa) -> Iterable[IkeSession]:
        """Where the sender went and an earlier one is still up, the earlier one is rekeyed: to install its keys once
        more would repeat sequence numbers."""
        orphaned = {reqid for reqid in gone.reqids if self._by_reqid.get(reqid) == gone}
        for reqid in orphaned:
            del self._by_reqid[reqid]
        if not orphaned:
            return ()
        sessions = self._sessions.of(gone.gateway)
        for session in sessions:
            for child in session.children:
                if child.is_live and not orphaned.isdisjoint(child.sa.reqids):
                    child.rekey_at = session.created_at  # at once
        return sessions
