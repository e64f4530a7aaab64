# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a peer counts as silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ikeengine.ike.last_heard import LastHeard

IDLE = 8.0


class Peer:
    """One child SA, whose packets come when the test says so, and who looks when it is due."""

    def __init__(self) -> None:
        self.last, self.packets, self.looks = LastHeard(0.0), 0, 0
        self.child: Any = SimpleNamespace(sa=None, inbound=True, received=0)

    def silent_at(self, *packets: float, until: float = 100.0) -> float:
        """When it is asked; packets come at those times."""
        now, waiting = 0.0, list(packets)
        while now < until:
            now = self.last.due(IDLE)
            while waiting and waiting[0] <= now:
                self.packets += 1
                waiting.pop(0)
            self.looks += 1
            if self.last.is_silent([self.child], lambda _sa: self.packets, IDLE, now):
                return now
        raise AssertionError("never")


def test_without_packets_it_is_looked_at_once():
    peer = Peer()
    assert peer.silent_at() == IDLE and peer.looks == 1


def test_a_message_puts_it_off():
    peer = Peer()
    peer.last.heard(5.0)
    assert peer.silent_at() == 5.0 + IDLE


def test_the_last_of_many_packets_is_known_to_an_eighth_of_the_idle_time():
    for stopped in (20.0, 20.3, 20.9, 21.5):
        packets = [number / 10 for number in range(round(stopped * 10) + 1)]
        asked = Peer().silent_at(*packets)
        assert stopped + IDLE <= asked <= stopped + IDLE * 9 / 8


def test_few_packets_are_found_later_and_none_is_overlooked():
    peer = Peer()
    assert 1.0 + IDLE <= peer.silent_at(1.0) <= 2 * IDLE


def test_once_it_was_asked_packets_of_before_count_no_more():
    peer = Peer()
    peer.silent_at(1.0, 2.0)
    assert peer.last.is_silent([peer.child], lambda _sa: peer.packets, IDLE, 50.0)
    peer.packets += 1
    assert not peer.last.is_silent([peer.child], lambda _sa: peer.packets, IDLE, 50.5)
