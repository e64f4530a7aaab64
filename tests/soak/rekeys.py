# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeys, one after the other, begun by either end in turn, under a steady stream of packets each way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .site import PEERS, Json, Ours, give_hosts, lan, one_tunnel, wait_until_up, wire
from .stream import PER_SECOND, Stream

_OF_THEIRS = 5
"""One in so many is begun by the peer: strongSwan is ordered by programs, each of which costs more than a rekey."""


def run_children(folder: Path, peer: str, number: int) -> Json:
    return _run(folder, peer, number, "rekey_child")


def run_ike(folder: Path, peer: str, number: int) -> Json:
    return _run(folder, peer, number, "rekey_ike")


def _run(folder: Path, peer: str, number: int, what: str) -> Json:
    with wire() as made:
        give_hosts(made, [0])
        ours, theirs = Ours(made.ends[0], folder / "ours"), PEERS[peer](made.ends[1], folder / "theirs")
        try:
            theirs.begin(one_tunnel(1))
            ours.begin(one_tunnel(0))
            ours.ask("up", gateway="peer")
            wait_until_up(ours)
            orders: list[Callable[[], None]] = [getattr(ours, what)] * (_OF_THEIRS - 1) + [getattr(theirs, what)]
            began = time.monotonic()
            with Stream(made.ends, [(lan(0, 0), lan(1, 0))]) as stream:
                time.sleep(1)
                for count in range(number):
                    orders[count % len(orders)]()
                time.sleep(1)
            seconds = time.monotonic() - began
        except BaseException:
            print(ours.log, theirs.log, sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    out, back = stream.outcomes
    return {"rekeys": number, "seconds": round(seconds, 1), "asked_per_second": PER_SECOND,
            "lost": out.lost + back.lost, "out": out.figures, "back": back.figures}
