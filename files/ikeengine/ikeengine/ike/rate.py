# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often something may happen that anybody can cause."""

from __future__ import annotations

from enum import Enum, auto


class Whereabouts(Enum):
    """Who may be at an address, as far as is declared."""

    #: A gateway is declared there.
    DECLARED = auto()
    #: None is, but one may be anywhere.
    ANYWHERE = auto()
    #: Nobody whom we know.
    NOBODY = auto()


class Rate:
    """``most`` at once, and that many a second, or so many as ``a_second`` says."""

    __slots__ = ("_a_second", "_at", "_left", "_most")

    def __init__(self, most: int, a_second: float | None = None) -> None:
        self._most = self._left = float(most)
        self._a_second = a_second or self._most
        self._at = 0.0

    def allows(self, now: float) -> bool:
        """Whether it may happen once more; that counts it."""
        self._left = min(self._most, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class AnswerRate:
    """How often those who may be peers are answered what anybody can send: ``most`` at once, and that many a second.
    Who is at a declared address has a rate apart, which nobody uses up from elsewhere."""

    __slots__ = ("_rates",)

    def __init__(self, most: int) -> None:
        self._rates = {who: Rate(most) for who in (Whereabouts.DECLARED, Whereabouts.ANYWHERE)}

    def allows(self, who: Whereabouts, now: float) -> bool:
        """Whether one more is answered; that counts it."""
        rate = self._rates.get(who)
        return rate is not None and rate.allows(now)
