# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IKE SA that is to take the place of another with the same peer: until when it has to show that it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .account import Account

if TYPE_CHECKING:
    from .session import IkeSession

_PATIENCE = 1.5
"""How much longer than the end that began an IKE SA the other end waits for that one's decision."""


class Trial:
    """Whether both ends have it is asked where the peer does not show it by itself; in the end it goes, if it cannot
    take the others' place (`Context.settle`).

    A responder's patience is longer, since whoever began it decides; but where it sends already the peer has to show
    soon that it has it.
    """

    __slots__ = ("_asks_every", "_ends_at", "_relieves", "due")

    def __init__(self, session: IkeSession, now: float) -> None:
        settings = session.context.settings
        sends = not session.confirmed and any(child.outbound for child in session.children)
        patience = settings.half_open_timeout * (1.0 if session.initiator else _PATIENCE)
        self._ends_at = now + (settings.duplicate_grace if sends else patience)
        self._asks_every = 2 * settings.takeover_grace
        self._relieves: list[Account] = []
        #: When `handle_timer` wants to be called.
        self.due: float | None = self._ends_at if session.confirmed else now + (0.0 if sends else self._asks_every)

    def is_for(self, other: IkeSession) -> bool:
        """Whether it is to take the place of that one, or of one that was rekeyed to that."""
        return any(account is other.account for account in self._relieves)

    def add(self, other: IkeSession) -> None:
        self._relieves.append(other.account)

    def end_soon(self, now: float) -> None:
        """What the IKE SA carries is all that it will carry."""
        self._ends_at = self.due = now

    def handle_timer(self, session: IkeSession, now: float) -> None:
        if self.due is None or now < self.due:
            return
        if now >= self._ends_at:
            self.due = None
            session.context.settle(session, now, at_last=True)
            return
        self.due = min(self._ends_at, now + self._asks_every)
        if not session.confirmed:
            session.probe(now)
