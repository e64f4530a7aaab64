# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SPIs that userspace gives to SAs to come."""

from __future__ import annotations

import secrets

#: Apart from the kernel's (0xc...), so that no SPI of one data plane is the other's.
SPI_MIN, SPI_MAX = 0xD0000000, 0xDFFFFFFF

#: More than can be under negotiation at once. Nobody says that one came to nothing, so the oldest is forgotten.
MOST_GIVEN = 1 << 16


class Spis:
    """Random ones, each given once until it is freed or forgotten."""

    def __init__(self) -> None:
        self._given: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._given)

    def give(self) -> int:
        while (spi := SPI_MIN + secrets.randbelow(SPI_MAX - SPI_MIN + 1)) in self._given:
            pass
        self._given[spi] = None
        if len(self._given) > MOST_GIVEN:
            self.free(next(iter(self._given)))
        return spi

    def free(self, spi: int) -> None:
        """One that was not given is no error."""
        self._given.pop(spi, None)
