# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that waits for its answer, sent again and again (RFC 2408 §5.1)."""

from __future__ import annotations

from ..ike.context import Context


class Repeater:
    """``data`` is due again at ``due``; the pauses grow, with jitter."""

    __slots__ = ("_context", "_interval", "_steady", "_tries_left", "data", "due")

    def __init__(self, context: Context, data: bytes, now: float, tries: int | None = None,
                 steady: float | None = None) -> None:
        """``steady`` is the pause where all are to be the same."""
        self._context = context
        self._steady = steady
        self._interval = steady or context.settings.retransmit_first
        self._tries_left = context.settings.retransmit_tries if tries is None else tries
        self.data = data
        self.due = now + self._interval

    def again(self, now: float) -> bool:
        """Count one more try, whose data is the caller's to send; False when the last one is over."""
        if self._tries_left == 0:
            return False
        settings = self._context.settings
        self._tries_left -= 1
        self._interval = self._steady or min(self._interval * settings.retransmit_factor, settings.retransmit_longest)
        self.due = now + self._interval * (0.9 + 0.2 * self._context.fraction())
        return True
