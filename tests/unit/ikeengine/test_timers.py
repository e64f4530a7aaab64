# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of each only the time that was noted last counts, and what is kept does not grow with the number of notes."""

from __future__ import annotations

from dataclasses import dataclass

from ikeengine.timers import Timers


@dataclass
class Clock:
    name: str
    noted_timer: float | None = None


def noted(**times: float) -> tuple[Timers[Clock], dict[str, Clock]]:
    timers, clocks = Timers[Clock](), {name: Clock(name) for name in times}
    for name, time in times.items():
        timers.note(clocks[name], time)
    return timers, clocks


def names(timers: Timers[Clock], now: float) -> list[str]:
    return [row.name for row in timers.due(now)]


def test_what_is_due_comes_in_order_and_once():
    timers, _ = noted(late=9.0, b=2.0, a=1.0, also_b=2.0)
    assert timers.next() == 1.0
    assert names(timers, 2.0) == ["a", "b", "also_b"]
    assert names(timers, 2.0) == [] and timers.next() == 9.0


def test_only_the_last_time_counts():
    timers, clocks = noted(one=1.0, other=2.0)
    timers.note(clocks["one"], 5.0)
    timers.note(clocks["other"], None)
    assert timers.next() == 5.0 and names(timers, 4.0) == []
    timers.note(clocks["one"], 1.0)
    assert names(timers, 9.0) == ["one"] and timers.next() is None


def test_what_is_noted_meanwhile_is_due_as_well():
    timers, clocks = noted(one=1.0, other=8.0)
    found = []
    for row in timers.due(3.0):
        found.append(row.name)
        if row is clocks["one"]:
            timers.note(clocks["other"], 2.0)
    assert found == ["one", "other"]


def test_many_notes_of_few_are_not_kept():
    timers, clocks = noted(one=0.0, other=0.0)
    for time in range(1, 10_000):
        for row in clocks.values():
            timers.note(row, float(time % 7) if time % 5 else None)
        assert len(timers._heap) < 300
    assert names(timers, 9999.0) == ["one", "other"] and timers.next() is None
