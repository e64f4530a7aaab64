# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the peer was last known to live: by its messages, and by the packets of its child SAs (RFC 7296 §2.4, RFC 3706
§5.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..security_association import ChildSa
from .children import Child

#: Looks at the packets in one idle time, once there are some.
_LOOKS = 8


class LastHeard:
    """Packets cost nothing as they come: their number is looked at when silence would be due, and then, as long as some
    come, so often that the last of them is known to an eighth of the idle time."""

    __slots__ = ("_at", "_look_at")

    def __init__(self, now: float) -> None:
        self._at = now
        self._look_at: float | None = None

    def heard(self, now: float) -> None:
        """A message came."""
        self._at = now

    def doubt(self, children: Iterable[Child], received: Callable[[ChildSa], int]) -> None:
        """From now on the peer is silent until it is heard again."""
        for child in children:
            child.received = received(child.sa) if child.inbound else 0
        self._at, self._look_at = -math.inf, None

    def due(self, idle: float) -> float:
        """When to ask `is_silent` next."""
        return self._at + idle if self._look_at is None else self._look_at

    def is_silent(self, children: Iterable[Child], received: Callable[[ChildSa], int], idle: float, now: float) -> bool:
        """Whether nothing at all has come for ``idle`` seconds."""
        came = False
        for child in children:
            number = received(child.sa) if child.inbound else 0
            came = came or number > child.received
            child.received = number
        if came:
            self._at = now
        silent_at = self._at + idle
        if now >= silent_at:
            self._look_at = None
            return True
        if came or self._look_at is not None:
            self._look_at = min(now + idle / _LOOKS, silent_at)
        return False
