# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tunnel carries whose ESP is in userspace at both ends: ours and strongSwan's kernel-libipsec, in turn.

Each run starts two daemons in two namespaces that a cable joins, brings up one tunnel, pings through it and then fills
it with one TCP connection, first one way, then the other. Both daemons, the source and the sink share the machine's
processors, before what else it does. Medians of some rounds: Mbit/s of TCP's payload over both ways, and milliseconds
of a ping's round trip.
``stall_ms_max`` is the longest that an event loop of ours did not look whether IKE had something to do, by the clock,
during which others may have had the processor, and ``stall_busy_ms_max`` by the processor's time that it used.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from bench import couple, record, traffic  # noqa: E402
from bench.couple import OurCouple, Suite, TheirCouple  # noqa: E402
from bench.responders import put_first  # noqa: E402
from tests.testbed.network import Namespace, ip, tidy  # noqa: E402

ROUNDS, SECONDS, PINGS = 5, 4.0, 100
SUITES = (Suite("gcm", "AES-GCM-128", None, "aes128gcm16"), Suite("cbc", "AES-256", "SHA2-256", "aes256-sha256"))
COUPLES = (OurCouple, TheirCouple)
USED = {
    "ours": "ikeengine's userspace data plane at both ends; one process, one thread each",
    "libipsec": f"strongSwan's packaged charon-systemd with kernel-libipsec at both ends; no log; all of its threads; "
                f"plugins {TheirCouple.plugins}",
}
Run = dict[str, float]


@contextmanager
def _bed() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces joined by a cable, each with an address of its LAN."""
    ends = tuple(Namespace(f"bench{os.getpid()}{name}") for name in ("a", "b"))
    try:
        for end in ends:
            end.create()
        ip(f"link add cable netns {ends[0].name} type veth peer name cable netns {ends[1].name}")
        for end, address, host in zip(ends, couple.ADDRESSES, couple.HOSTS, strict=True):
            end.ip(f"address add {address}/24 dev cable", "link set cable up", f"address add {host}/32 dev lo")
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.delete()
        tidy()


def round_trip(ends: tuple[Namespace, Namespace]) -> float:
    """The median of some pings, in milliseconds."""
    here, there = couple.HOSTS
    told = ends[0].run(["ping", "-n", "-c", str(PINGS), "-i", "0.01", "-I", here, there]).stdout
    return median(map(float, re.findall(r"time=([\d.]+) ms", told)))


def throughput(ends: tuple[Namespace, Namespace], source: int, seconds: float) -> float:
    """Mbit/s from the end with that number to the other."""
    here, there = couple.HOSTS[source], couple.HOSTS[1 - source]
    words = [sys.executable, traffic.__file__]
    with (subprocess.Popen([*ends[1 - source].entry, *words, "sink", there, str(seconds)], stdout=subprocess.PIPE,
                           text=True, start_new_session=True) as sink):
        put_first(sink.pid)
        assert sink.stdout is not None and sink.stdout.readline().strip() == traffic.LISTENING
        with subprocess.Popen([*ends[source].entry, *words, "source", here, there],
                              start_new_session=True) as filling:
            put_first(filling.pid)
            try:
                told, _ = sink.communicate(timeout=seconds + 60)
            finally:
                filling.kill()
                sink.kill()
    return float(told)


def measure(make: type[OurCouple] | type[TheirCouple], suite: Suite, seconds: float) -> Run:
    """One run in a bed of its own."""
    with _bed() as ends, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tunnel = make(ends, Path(folder), suite)
        try:
            tunnel.start()
            run = {"rtt_ms": round_trip(ends)}
            run |= {"there_mbit": throughput(ends, 0, seconds), "back_mbit": throughput(ends, 1, seconds)}
            run |= tunnel.figures()
        finally:
            tunnel.stop()
    return run | {"mbit": (run["there_mbit"] + run["back_mbit"]) / 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each connection, after its warm-up")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES])
    parser.add_argument("--only", action="append", choices=[made.name for made in COUPLES], help="no figures then")
    options = parser.parse_args()
    suites = [suite for suite in SUITES if suite.name in (options.suite or [suite.name])]
    couples = [made for made in COUPLES if made.name in (options.only or [made.name])]
    runs: dict[str, dict[str, list[Run]]] = {suite.name: {made.name: [] for made in couples} for suite in suites}
    for number in range(options.rounds):
        for suite in suites:
            for made in couples:
                run = measure(made, suite, options.seconds)
                runs[suite.name][made.name].append(run)
                print(f"round {number + 1}: {suite.name} {made.name}: "
                      + ", ".join(f"{name} {value:.4g}" for name, value in run.items()), flush=True)
    if len(couples) == len(COUPLES):
        record.write("dataplane", figures(runs) | {"rounds": options.rounds, "seconds": options.seconds, "used": USED,
                                                   "each": runs})


def figures(runs: dict[str, dict[str, list[Run]]]) -> dict[str, object]:
    """The medians of all runs."""
    found: dict[str, object] = {}
    for suite, sides in runs.items():
        ours, theirs = (median(run["mbit"] for run in sides[made.name]) for made in COUPLES)
        found[suite] = {"ours_mbit": round(ours), "libipsec_mbit": round(theirs), "ratio": round(ours / theirs, 2)}
    found["rtt_ms"] = {made.name: round(median(run["rtt_ms"] for sides in runs.values() for run in sides[made.name]), 3)
                       for made in COUPLES}
    for name in ("stall_ms_max", "stall_busy_ms_max"):
        found[name] = round(max(run[name] for sides in runs.values() for run in sides["ours"]), 1)
    return found


if __name__ == "__main__":
    main()
