# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's log: what ``journalctl`` and ``ikectl log`` show of it."""

from __future__ import annotations

import io

from ikeengine.daemon.log import Entry, Level, Log


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_journal_reads_the_priority_from_the_line() -> None:
    stream = io.StringIO()
    Log(stream=stream, journal=True).error("the data plane refused an SA", tunnel="lan")
    assert stream.getvalue() == "<3>the data plane refused an SA tunnel=lan\n"


def test_people_read_the_time_and_the_level() -> None:
    stream = io.StringIO()
    Log(stream=stream, journal=False, clock=Clock()).notice("gateway established", gateway="branch")
    stamp, level, rest = stream.getvalue().split(maxsplit=2)
    assert len(stamp) == len("1970-01-01T00:16:40")
    assert (level, rest) == ("notice", "gateway established gateway=branch\n")


def test_a_field_that_there_is_nothing_to_say_of_is_left_out() -> None:
    log = Log(stream=(stream := io.StringIO()), journal=True)
    log.warning("negotiation failed", tunnel=None, notify=None, lines=0, reason="")
    assert stream.getvalue() == "<4>negotiation failed lines=0 reason=\n"
    assert log.entries(1)[0].fields == {"lines": 0, "reason": ""}


def test_the_ring_keeps_the_newest() -> None:
    log = Log(stream=io.StringIO(), kept=3)
    for number in range(5):
        log.info(f"line {number}")
    assert [entry.message for entry in log.entries(10)] == ["line 2", "line 3", "line 4"]
    assert [entry.message for entry in log.entries(1)] == ["line 4"]
    assert log.entries(0) == []


def test_what_is_below_the_level_is_nowhere() -> None:
    stream = io.StringIO()
    log = Log(level=Level.NOTICE, stream=stream)
    log.debug("a detail")
    assert stream.getvalue() == "" and log.entries(10) == []


def test_a_noisy_peer_is_held_to_five_lines_and_the_rest_counted() -> None:
    clock = Clock()
    log = Log(stream=io.StringIO(), clock=clock)
    for _ in range(100):
        log.from_network("198.51.100.9:500", "dropped an IKE datagram")
    log.from_network("198.51.100.10:500", "dropped an IKE datagram")
    assert [entry.fields["peer"] for entry in log.entries(200)] == ["198.51.100.9:500"] * 5 + ["198.51.100.10:500"]
    clock.now += 5
    log.from_network("198.51.100.9:500", "dropped an IKE datagram")
    assert log.entries(1)[0].fields["suppressed"] == 95


def test_many_forged_senders_take_bounded_memory_and_lines_and_hide_no_other_message() -> None:
    clock = Clock()
    log = Log(stream=io.StringIO(), clock=clock)
    for number in range(3000):
        log.from_network(f"198.51.100.9:{number}", "dropped an IKE datagram")
    assert len(log._limit._peers) == 1024
    assert len(log.entries(3000)) == 50
    log.from_network("gateway branch", "negotiation failed")
    assert log.entries(1)[0].message == "negotiation failed"
    clock.now += 1
    for number in range(3000):
        log.from_network(f"198.51.100.8:{number}", "dropped an IKE datagram")
    assert len(log.entries(3000)) == 50 + 1 + 2


def test_a_peer_cannot_forge_a_line() -> None:
    entry = Entry(0.0, Level.WARNING, "negotiation failed", {"identity": "evil\n<0>kernel panic\x1b[31m"})
    assert str(entry) == "negotiation failed identity=evil\\n<0>kernel panic\\x1b[31m"


def test_a_follower_hears_while_it_follows() -> None:
    log, heard = Log(stream=io.StringIO()), []
    with log.followed(lambda entry: heard.append(entry.message)):
        log.info("one")
    log.info("two")
    assert heard == ["one"]


def test_a_closed_stream_stops_nothing() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log = Log(stream=Closed())
    log.info("still in the ring")
    assert log.entries(1)[0].message == "still in the ring"
