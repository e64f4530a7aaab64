# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPIs that are given once each, and do not pile up where negotiations come to nothing."""

from __future__ import annotations

import secrets

from ikeengine.dataplane.userspace.spis import MOST_GIVEN, SPI_MAX, SPI_MIN, Spis


def test_none_is_given_twice_before_it_is_free(monkeypatch):
    numbers = iter([5, 5, 6, 5])
    monkeypatch.setattr(secrets, "randbelow", lambda _most: next(numbers))
    spis = Spis()
    assert [spis.give(), spis.give()] == [SPI_MIN + 5, SPI_MIN + 6]
    spis.free(SPI_MIN + 5)
    spis.free(SPI_MIN + 5)
    assert spis.give() == SPI_MIN + 5


def test_what_comes_to_nothing_is_forgotten():
    spis = Spis()
    given = {spis.give() for _time in range(MOST_GIVEN + 1000)}
    assert len(spis) == MOST_GIVEN and SPI_MIN <= min(given) <= max(given) <= SPI_MAX
