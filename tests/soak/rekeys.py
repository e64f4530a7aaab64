# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rekeys, one after the other, begun by either end in turn, under a steady stream of packets each way."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.interop.site import eventually

from .site import PEERS, End, Json, Ours, give_hosts, lan, one_tunnel, wait_until_up, wire
from .stream import Stream

_CHILD, _IKE = "rekey_child", "rekey_ike"
_OF_OURS = 4
"""So many that we begin for one of the peer's: strongSwan is ordered by programs, each of which costs more than a rekey
does."""
_CROSSING = ((_CHILD, _CHILD), (_IKE, _IKE), (_CHILD, _IKE), (_IKE, _CHILD))


def run_children(folder: Path, peer: str, number: int) -> Json:
    return _run(folder, peer, number, *[(_CHILD, None)] * _OF_OURS, (None, _CHILD))


def run_ike(folder: Path, peer: str, number: int) -> Json:
    return _run(folder, peer, number, *[(_IKE, None)] * _OF_OURS, (None, _IKE))


def run_crossing(folder: Path, peer: str, number: int) -> Json:
    """Both ends begin at once: by turns both the child SA, both the IKE SA, or each another."""
    return _run(folder, peer, number, *_CROSSING)


def _run(folder: Path, peer: str, number: int, *pairs: tuple[str | None, str | None]) -> Json:
    with wire() as made:
        give_hosts(made, [0])
        ours, theirs = Ours(made.ends[0], folder / "ours"), PEERS[peer](made.ends[1], folder / "theirs")
        try:
            theirs.begin(one_tunnel(1))
            ours.begin(one_tunnel(0))
            ours.ask("up", gateway="peer")
            wait_until_up(ours)
            began = time.monotonic()
            with Stream(made.ends, [(lan(0, 0), lan(1, 0))]) as stream:
                time.sleep(1)
                for count in range(number):
                    _order((ours, theirs), pairs[count % len(pairs)])
                time.sleep(1)
            eventually(lambda: [len(ours.gateway["ike"]), len(ours.routes[0]["sas"])] == [1, 1],
                       lambda: str(ours.ask("status")))
            seconds = time.monotonic() - began
        except BaseException:
            print(ours.log, theirs.log, sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    return {"rekeys": number, "seconds": round(seconds, 1), **stream.figures}


def _order(ends: tuple[End, End], pair: tuple[str | None, str | None]) -> None:
    """Give the orders of a pair to the two ends at once, and wait until both are done."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(getattr(end, order)) for end, order in zip(ends, pair, strict=True) if order]:
            done.result()
