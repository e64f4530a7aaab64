# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that waits for its answer, sent again and again (RFC 2408 §5.1)."""

from __future__ import annotations

from ..ike.context import Context
from ..ike.pace import Pace


class Repeater:
    """``data`` is due again at ``due``; the pauses grow, with jitter."""

    __slots__ = ("_context", "_pace", "_pause", "_tries_left", "data", "due")

    def __init__(self, context: Context, data: bytes, now: float, pace: Pace | None = None) -> None:
        self._context = context
        self._pace = pace or Pace.usual(context.settings)
        self._pause, self._tries_left = self._pace.first, self._pace.tries
        self.data = data
        self.due = now + self._pause

    def once_more(self, now: float) -> None:
        """Have it sent at once, beside the times that it is sent anyway."""
        self.due, self._tries_left = now, self._tries_left + 1

    def again(self, now: float) -> bool:
        """Count one more try, whose data is the caller's to send; False when the last one is over."""
        if self._tries_left == 0:
            return False
        self._tries_left -= 1
        self._pause, lasting = self._pace.after(self._pause, self._context)
        self.due = now + lasting
        return True
