# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Message identifiers, of which each serves one exchange of an ISAKMP SA (RFC 2408 §3.1)."""

from __future__ import annotations

from collections.abc import Callable

_KEPT = 4096


class MessageIds:
    """Those that either end has used, so that what was recorded on the way cannot be played again: the last 4096."""

    __slots__ = ("_random", "_used")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._used: dict[int, None] = {}

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._used

    def fresh(self) -> int:
        """Not zero, and of no exchange before."""
        while True:
            number = int.from_bytes(self._random(4), "big")
            if number and number not in self._used:
                self.use(number)
                return number

    def use(self, message_id: int) -> None:
        self._used[message_id] = None
        if len(self._used) > _KEPT:
            del self._used[next(iter(self._used))]
