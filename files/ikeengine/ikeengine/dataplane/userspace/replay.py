# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The anti-replay window of an inbound SA (RFC 4303 §3.4.3 and Appendix A)."""

from __future__ import annotations

_LOW = 0xFFFFFFFF


class ReplayWindow:
    """Numbers from ``top - size + 1`` up to ``top`` that have not been seen are acceptable, and all after ``top``.

    ``extended`` numbers are 64 bits of which packets carry the lower half; ``expand`` finds the whole.
    """

    __slots__ = ("_extended", "_mask", "_seen", "_size", "_top")

    def __init__(self, size: int = 128, extended: bool = False) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self._extended = extended
        self._top = 0
        self._seen = 0  # bit n: top - n has arrived

    def expand(self, low: int) -> int:
        """The whole sequence number of a packet that carries ``low`` (RFC 4303 Appendix A2.1)."""
        if not self._extended:
            return low
        high, top_low = self._top >> 32, self._top & _LOW
        bottom = top_low - self._size + 1
        if bottom >= 0:
            return (high if low >= bottom else high + 1) << 32 | low
        if high and low >= bottom & _LOW:
            return high - 1 << 32 | low
        return high << 32 | low

    def accepts(self, low: int) -> int:
        """The whole number of a packet that carries ``low``, where it is worth the price of checking the packet's
        integrity; else 0, which is never sent."""
        sequence = self.expand(low) if self._extended else low
        behind = self._top - sequence
        if behind < 0 or (behind < self._size and not self._seen >> behind & 1):
            return sequence
        return 0

    def advance(self, sequence: int) -> bool:
        """Note a number whose packet proved authentic; whether it is newer than all before."""
        ahead = sequence - self._top
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & self._mask if ahead < self._size else 1
            self._top = sequence
            return True
        self._seen |= 1 << -ahead
        return False
