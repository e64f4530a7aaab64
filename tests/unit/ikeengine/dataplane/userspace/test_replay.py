# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The anti-replay window against a model that simply remembers every number."""

from __future__ import annotations

import random

import pytest
from ikeengine.dataplane.userspace.replay import ReplayWindow


def test_window_edges():
    window = ReplayWindow(64)
    assert not window.accepts(0)
    for number in (1, 100):
        assert window.accepts(number) == number
        window.advance(number)
        assert not window.accepts(number)
    assert window.accepts(37) and not window.accepts(36), "64 numbers: 37 to 100"
    window.advance(10_000)
    assert not window.accepts(100) and window.accepts(9_999) and window.accepts((1 << 32) - 1)


def test_a_number_is_only_taken_once_its_packet_proved_authentic():
    window = ReplayWindow(64)
    assert window.accepts(5_000_000)
    assert window.accepts(1), "a forged number moved nothing"


@pytest.mark.parametrize("size", [64, 128])
def test_agrees_with_a_memory_of_everything(size):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    window, seen, top = ReplayWindow(size), set(), 0
    for _ in range(5000):
        number = max(0, top + chance.randint(-2 * size, size // 4))
        expected = number > 0 and number not in seen and number > top - size
        assert window.accepts(number) == (number if expected else 0)
        if expected:
            window.advance(number)
            seen.add(number)
            top = max(top, number)


def test_extended_numbers_cross_two_to_the_32_in_any_order_within_the_window():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    window = ReplayWindow(64, extended=True)
    window.advance((1 << 32) - 200)
    for start in range((1 << 32) - 199, (1 << 32) + 300, 32):
        block = list(range(start, start + 32))
        chance.shuffle(block)
        for number in block:
            assert window.expand(number & 0xFFFFFFFF) == number
            assert window.accepts(number & 0xFFFFFFFF) == number
            window.advance(number)
    assert not window.accepts(start & 0xFFFFFFFF), "a replay stays one"
