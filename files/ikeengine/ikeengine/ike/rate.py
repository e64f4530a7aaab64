# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often something may happen that anybody can cause."""

from __future__ import annotations


class Rate:
    """``most`` at once, and that many a second."""

    __slots__ = ("_at", "_left", "_most")

    def __init__(self, most: int) -> None:
        self._most = self._left = float(most)
        self._at = 0.0

    def allows(self, now: float) -> bool:
        """Whether it may happen once more; that counts it."""
        self._left = min(self._most, self._left + (now - self._at) * self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
