# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due next, of very many whose times change with every message."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

#: Rows beyond two for everything that has a time; those that do not count any more go when due, or when it is full.
_TO_SPARE = 256


class Timed(Protocol):
    """``noted_timer`` is its one time that counts, if it has any; only `Timers` sets it."""

    noted_timer: float | None


_T = TypeVar("_T", bound=Timed)


class Timers(Generic[_T]):
    """One time for each; what has none costs nothing."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._numbers = itertools.count()
        self._counting = 0

    def note(self, timed: _T, time: float | None) -> None:
        """Its time from now on, or None; what was noted before does not count any more."""
        if time == timed.noted_timer:
            return
        self._counting += (time is not None) - (timed.noted_timer is not None)
        timed.noted_timer = time
        if time is None:
            return
        heapq.heappush(self._heap, (time, next(self._numbers), timed))
        if len(self._heap) > 2 * self._counting + _TO_SPARE:
            self._heap = list({id(row[2]): row for row in self._heap if row[0] == row[2].noted_timer}.values())
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        while self._heap and self._heap[0][0] != self._heap[0][2].noted_timer:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[_T]:
        """Each whose time has come, also by what is noted meanwhile; it has none any more."""
        while self._heap and self._heap[0][0] <= now:
            time, _number, timed = heapq.heappop(self._heap)
            if timed.noted_timer == time:
                self.note(timed, None)
                yield timed
