# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One campaign: a target, so many inputs, in this process. `atheris` leads it by the coverage of the daemon's code.

It ends with a line of JSON on standard output, or with an exception and the input that made it on standard error.
An input has 50 ms of CPU time; one that takes more does so three times in a row. From a tenth of the inputs on, the
process's memory may grow by no more than 32 MiB.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

with atheris.instrument_imports(include=["ikeengine"]):
    from tests.fuzz import certificates, decoders, ikev1_sessions, ikev2_sessions, mutation
    from tests.support import key_pairs

LIMIT = 0.050
MOST_OCTETS = 4096
MOST_GROWTH_KIB = 32 << 10
_PAGE_KIB = resource.getpagesize() // 1024

Target = Callable[[bytes], None]
Mutator = Callable[[bytes, int, int, mutation.Change], bytes]
TARGETS: dict[str, tuple[Target, Mutator]] = {
    "certificates": (certificates.decode, mutation.mutate_certificates),
    "ikev1-decoders": (decoders.decode_ikev1, mutation.mutate_chain),
    "ikev1-sessions": (ikev1_sessions.attack, mutation.mutate_steps),
    "ikev2-decoders": (decoders.decode_ikev2, mutation.mutate_chain),
    "ikev2-sessions": (ikev2_sessions.attack, mutation.mutate_steps),
}


def corpus(target: str) -> Path:
    """Its seeds, one in a line, hexadecimal."""
    return Path(__file__).parent / "corpus" / f"{target}.hex"


class TooSlow(Exception):
    """An input took more than its CPU time."""


class Leak(Exception):
    """Memory grows with the number of inputs."""


class Campaign:
    """Counts inputs and holds each against the limits."""

    def __init__(self, target: Target, inputs: int) -> None:
        self._target, self._inputs = target, inputs
        self._count = 0
        self._slowest = 0.0
        self._memory = 0

    def take(self, data: bytes) -> None:
        """Ends the process after the last input."""
        took = self._timed(data)
        if took > LIMIT:
            took = min(took, self._timed(data), self._timed(data))
            if took > LIMIT:
                raise TooSlow(f"{took * 1000:.0f} ms of CPU time")
        self._slowest = max(self._slowest, took)
        self._count += 1
        if self._count == self._inputs // 10:
            self._memory = _resident_kib()
        elif self._count == self._inputs:
            self._end()

    def _timed(self, data: bytes) -> float:
        began = time.thread_time()
        self._target(data)
        return time.thread_time() - began

    def _end(self) -> None:
        gc.collect()
        grown = _resident_kib() - self._memory
        if grown > MOST_GROWTH_KIB:
            raise Leak(f"{grown} KiB")
        print(json.dumps({"inputs": self._count, "slowest_ms": round(self._slowest * 1000, 1), "grown_kib": grown}),
              flush=True)
        os._exit(0)


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--inputs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=Path, metavar="FILE", help="take this one input, and no other")
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz",
                        help="a folder for inputs that reached something new, and for culprits")
    options = parser.parse_args()
    target, mutator = TARGETS[options.target]
    if options.only:
        target(options.only.read_bytes())
        return
    kept, seeds = options.keep / "reached", options.keep / "seeds"
    for folder in (kept, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, line in enumerate(corpus(options.target).read_text().split()):
        (seeds / str(number)).write_bytes(bytes.fromhex(line))
    gc.collect()
    gc.freeze()
    # libFuzzer's own limits are far off: they are for what never comes back.
    arguments = [sys.argv[0], f"-seed={options.seed}", f"-max_len={MOST_OCTETS}", "-timeout=60", "-rss_limit_mb=2048",
                 "-verbosity=0", "-reload=0", "-len_control=0", f"-artifact_prefix={options.keep}/culprit-"]
    atheris.Setup([*arguments, str(kept), str(seeds)], Campaign(target, options.inputs).take,
                  custom_mutator=lambda data, most, seed: mutator(data, most, seed, atheris.Mutate))
    atheris.Fuzz()


if __name__ == "__main__":
    with key_pairs.one_for_each_group():
        main()
