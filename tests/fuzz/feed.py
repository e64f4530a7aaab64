# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Octets that say what to do, read from front to end. Whatever they are, they can be read, and past their end are
zeros."""

from __future__ import annotations


class Feed:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        return self._place < len(self._data)

    def octet(self) -> int:
        return self.take(1)[0] if self else 0

    def take(self, size: int) -> bytes:
        """So many octets, or what is left of them."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken

    def sized(self) -> bytes:
        """Octets behind their number, which has two octets."""
        return self.take(int.from_bytes(self.take(2), "big"))

    def rest(self) -> bytes:
        return self.take(len(self._data))


def sized(data: bytes) -> bytes:
    """What `Feed.sized` reads back."""
    return len(data).to_bytes(2, "big") + data
