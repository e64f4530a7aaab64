# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stream counts as lost, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.soak.stream import Heard, Outcome, outcome

_INTERVAL = 0.01


def arrived(sent: int, numbers: Sequence[int]) -> Outcome:
    """Of one flow with so many packets, sent a hundredth of a second apart, those arrived in that order."""
    heard = Heard()
    for number in numbers:
        heard.note(number, number * _INTERVAL)
    said = {"sent": [sent], "refused": 0, "span": [[0.0, (sent - 1) * _INTERVAL]]}
    return outcome(said, {"heard": [heard.said]}, 1.0)


@pytest.mark.parametrize(("numbers", "lost", "gap"), [
    pytest.param(range(100), [], 0, id="nothing is lost"),
    pytest.param([*range(40), *range(60, 100)], [[40, 59]], 0.21, id="in the middle"),
    pytest.param(range(30, 100), [[0, 29]], 0.3, id="from the beginning"),
    pytest.param(range(50), [[50, 99]], 0.5, id="to the end"),
    pytest.param([], [[0, 99]], 0.99, id="everything"),
    pytest.param([*range(40), 41, 40, *range(42, 100)], [], 0.02, id="one is overtaken"),
    pytest.param([*range(100), 5, 5], [], 0, id="some arrive twice"),
])
def test_what_is_lost_and_for_how_long(numbers, lost, gap):
    found = arrived(100, numbers)
    assert found.lost == sum(last - first + 1 for first, last in lost)
    assert found.lost_by_flow == ({0: lost} if lost else {})
    assert found.longest_gap == pytest.approx(gap)


def test_flows_are_counted_apart():
    rows = [Heard(), Heard()]
    for number in range(10):
        rows[0].note(number, number * _INTERVAL)
    said = {"sent": [10, 10], "refused": 0, "span": [[0.0, 0.09]] * 2}
    found = outcome(said, {"heard": [row.said for row in rows]}, 0.1)
    assert (found.sent, found.received, found.lost, found.per_second) == (20, 10, 10, 200)
    assert found.lost_by_flow == {1: [[0, 9]]}
    assert found.longest_gap == pytest.approx(0.09)
