# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand peers on one daemon: how soon they are up, what they cost, and whether it ever stands still.

The peers are spokes in one process (`bench.load`), each with an address, an identity and a tunnel of its own. In every
round the hub brings all of them up once when it starts, and once they all come to it. Then it idles, with dead peer
detection every 20 seconds, answers ``status``, and reloads with one tunnel changed. `bench.watched` tells for how long
its event loop stood still meanwhile, at most, from the first answer on its control socket. Medians of the rounds, of
stalls the longest of all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from bench import hub, record  # noqa: E402
from bench.bed import Bed, Load  # noqa: E402
from bench.responders import LoopWatch, Ours, cpu_seconds, memory_kib  # noqa: E402

PEERS, ROUNDS, IDLE_SECONDS = 1000, 3, 60.0
WINDOW = 32
SUITE = hub.Suite("modp2048", 14)
USED = {"suite": "AES-256/SHA2-256/group 14 in both phases, pre-shared key, one child SA each, no PFS in it",
        "data plane": "userspace", "detection": "dead peers after 20 s of silence, at both ends",
        "window": f"peers that come to the hub do so {WINDOW} at a time"}


class Watched:
    """A hub with a watch on its event loop."""

    def __init__(self, bed: Bed, folder: Path, peers: int, start: str) -> None:
        self._watch = LoopWatch(folder / "stall.json")
        self._ours = Ours(bed.hub, folder, SUITE, range(1, peers + 1), start=start, program=self._watch.program)

    @contextmanager
    def running(self) -> Iterator[Ours]:
        """Begun; it serves when ``wait`` of what this gives has returned."""
        self._pid = self._ours.begin()
        try:
            yield self._ours
        finally:
            self._ours.stop()

    def stalled(self) -> dict[str, float]:
        """The longest since this was asked last, as `bench.watched` has it."""
        return self._watch.stalled(self._pid)

    @property
    def pid(self) -> int:
        return self._pid


def begun_by_the_hub(bed: Bed, peers: int, idle: float) -> dict[str, float]:
    """Everything from the start of the process on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        load = Load(bed, SUITE, peers)
        watched = Watched(bed, Path(folder), peers, "boot")
        try:
            began = time.monotonic()
            with watched.running() as ours:
                ours.wait()
                answered = time.monotonic()
                watched.stalled()
                up = load.come_up(peers)
                stalls = {"coming_up": watched.stalled()}
                spent, slept = cpu_seconds(watched.pid), time.monotonic()
                time.sleep(idle)
                idle_percent = 100 * (cpu_seconds(watched.pid) - spent) / (time.monotonic() - slept)
                stalls["idle"] = watched.stalled()
                installed = ours.children()
                stalls["status"] = watched.stalled()
                reloading = time.monotonic()
                result = ours.reload(1)
                reloaded = time.monotonic()
                stalls["reload"] = watched.stalled()
        finally:
            load.stop()
    if (installed, len(result["changed"])) != (peers, 1):
        raise SystemExit(f"{installed} child SAs of {peers}, {result['changed']} changed")
    return {"start": answered - began, "up": up - began, "idle": idle_percent, "reload": reloaded - reloading,
            **{f"stall_{name}{suffix}": row[key] for name, row in stalls.items()
               for key, suffix in (("ms", ""), ("busy_ms", "_busy"))}}


def begun_by_the_peers(bed: Bed, peers: int) -> dict[str, float]:
    """From the first message of the first peer on, with a daemon that serves already."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        load = Load(bed, SUITE, peers, window=WINDOW)
        watched = Watched(bed, Path(folder), peers, "answer")
        try:
            with watched.running() as ours:
                ours.wait()
                watched.stalled()
                before = memory_kib(watched.pid)
                up = load.bring_up(peers)
                grown, stall = memory_kib(watched.pid) - before, watched.stalled()
                installed = ours.children()
        finally:
            load.stop()
    if installed != peers:
        raise SystemExit(f"{installed} child SAs of {peers}")
    return {"up_answering": up, "kib": grown / peers, "stall_answering": stall["ms"],
            "stall_answering_busy": stall["busy_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=PEERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds")
    options = parser.parse_args()
    rounds = []
    with Bed() as bed:
        for number in range(options.rounds):
            run = begun_by_the_peers(bed, options.peers) | begun_by_the_hub(bed, options.peers, options.idle)
            print(f"round {number + 1}: {({name: round(value, 3) for name, value in run.items()})}", flush=True)
            rounds.append(run)
    record.write("scale", figures(rounds) | {"sas": options.peers, "rounds": options.rounds, "used": USED,
                                             "each": rounds})


def figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    def middle(name: str) -> float:
        return median(run[name] for run in rounds)

    stalls = [name for name in rounds[0] if name.startswith("stall_") and not name.endswith("_busy")]
    return {"kib_per_sa": round(middle("kib"), 1), "up_seconds": round(max(middle("up"), middle("up_answering")), 2),
            "loop_stall_ms_max": round(max(run[name] for run in rounds for name in stalls), 1),
            "reload_seconds": round(middle("reload"), 3), "idle_cpu_percent": round(middle("idle"), 2)}


if __name__ == "__main__":
    main()
