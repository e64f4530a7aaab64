# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a handshake costs a responder: CPU time and memory of our daemon and of strongSwan's charon, in turn.

IKEv2's four messages, or the nine of IKEv1's Main and Quick Mode, each time with a child SA.

One load initiator (`bench.load`) brings up so many spokes, each with an address, an identity and a child SA of its own.
Each run has a responder that was just started and a hundred spokes to warm up, and reads from /proc what the others
cost it: CPU time of all threads and all that the kernel does in its name; and by how much its memory grew. Both
responders speak one suite, log nothing, and have ESP in userspace, which installs each child SA. Medians of some
rounds, in milliseconds for a handshake and KiB for an IKE SA with its child.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from bench import hub, record  # noqa: E402
from bench.bed import Bed, Load  # noqa: E402
from bench.responders import Ours, Theirs, cpu_seconds, memory_kib  # noqa: E402
from tests.testbed.network import Namespace  # noqa: E402

HANDSHAKES, WARM_UP, ROUNDS = 2000, 100, 5
SUITES = (hub.Suite("modp2048", 14), hub.Suite("x25519", 31), hub.Suite("ecp256", 19),
          hub.Suite("ikev1_modp2048", 14, version=1, swan="modp2048"))
Make = Callable[[Namespace, Path, hub.Suite, Iterable[int]], Ours | Theirs]
MAKERS: tuple[Make, ...] = (Ours, lambda namespace, directory, suite, _spokes: Theirs(namespace, directory, suite))
USED = {
    "suite": "AES-256/SHA2-256 in both phases, pre-shared key, one child SA each, no PFS in it",
    "ours": "a gateway and a tunnel declared for each spoke; userspace data plane; one process, one thread",
    "charon": f"strongSwan's packaged charon-systemd; one connection for any peer, unique = never, no MOBIKE, no DPD; "
              f"kernel-libipsec; {' '.join(Theirs.settings.split())}; all of its 16 threads, and the plugins of "
              f"tests/testbed/strongswan in that order, which cost it least",
}


@contextmanager
def _running(responder: Ours | Theirs) -> Iterator[int]:
    pid = responder.start()
    try:
        yield pid
    finally:
        responder.stop()


def measure(bed: Bed, make: Make, suite: hub.Suite, handshakes: int) -> dict[str, float]:
    """One run with a responder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        responder = make(bed.hub, Path(folder), suite, range(1, WARM_UP + handshakes + 1))
        with _running(responder) as pid:
            initiator = Load(bed, suite, WARM_UP + handshakes)
            try:
                initiator.bring_up(WARM_UP)
                before, memory = cpu_seconds(pid), memory_kib(pid)
                seconds = initiator.bring_up(handshakes)
                spent, grown = cpu_seconds(pid) - before, memory_kib(pid) - memory
            finally:
                initiator.stop()
            installed = responder.children()
    if installed != WARM_UP + handshakes:
        raise SystemExit(f"{responder.name}: {installed} child SAs of {WARM_UP + handshakes}")
    return {"ms": spent * 1000 / handshakes, "kib": grown / handshakes, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--handshakes", type=int, default=HANDSHAKES)
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES])
    options = parser.parse_args()
    suites = [suite for suite in SUITES if suite.name in (options.suite or [suite.name])]
    runs: dict[str, dict[str, list[dict[str, float]]]] = {suite.name: {"ours": [], "charon": []} for suite in suites}
    with Bed() as bed:
        for number in range(options.rounds):
            for suite in suites:
                for make, name in zip(MAKERS, ("ours", "charon"), strict=True):
                    run = measure(bed, make, suite, options.handshakes)
                    runs[suite.name][name].append(run)
                    print(f"round {number + 1}: {suite.name} {name}: {run['ms']:.3f} ms, {run['kib']:.1f} KiB, "
                          f"{run['seconds']:.1f} s", flush=True)
    record.write("handshake", figures(runs) | {"handshakes": options.handshakes, "rounds": options.rounds,
                                               "used": USED, "each": runs})


def figures(runs: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, object]:
    """The medians of all runs."""
    found: dict[str, object] = {}
    for suite, sides in runs.items():
        ours, charon = (median(run["ms"] for run in sides[name]) for name in ("ours", "charon"))
        found[suite] = {"ours_ms": round(ours, 3), "charon_ms": round(charon, 3), "ratio": round(ours / charon, 3)}
    for name in ("ours", "charon"):
        found[f"{name}_kib_per_sa"] = round(median(run["kib"] for sides in runs.values() for run in sides[name]), 1)
    return found


if __name__ == "__main__":
    main()
