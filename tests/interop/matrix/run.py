# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All cells, on two machines at once: this one in userspace, and User-Mode Linux with the kernel's data plane."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.interop.matrix.axes import KERNEL, USERSPACE, Cell
from tests.interop.matrix.stage import Stage, stage
from tests.interop.matrix.trial import attempt
from tests.testbed.uml import run_in_uml
from tests.testbed.virtual_machine import MachineFailed

BOOT_SECONDS = 60
# A machine that is busy with other tests is several times slower than an idle one.
CELL_SECONDS = 20
OUTCOMES, CELLS = "outcomes.jsonl", "cells.json"
# Modules that the machine's init does not load.
MODULES = "iptable_nat xt_MASQUERADE esp6 ah6 des_generic md5 chacha20poly1305"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell ended; ``reason`` is None where it passed."""

    number: int
    reason: str | None
    seconds: float
    log: str = ""


def run(cells: Mapping[int, Cell]) -> dict[int, Outcome]:
    """Try all of them; every cell has an outcome."""
    planes = {plane: {number: cell for number, cell in cells.items() if cell.dataplane == plane}
              for plane in (USERSPACE, KERNEL)}
    with ThreadPoolExecutor(len(planes)) as pool:
        inside = pool.submit(_in_uml, planes[KERNEL])
        outcomes = list(_here(planes[USERSPACE], USERSPACE)) + inside.result()
    return {outcome.number: outcome for outcome in sorted(outcomes, key=lambda outcome: outcome.number)}


def _in_uml(cells: Mapping[int, Cell]) -> list[Outcome]:
    if not cells:
        return []
    with tempfile.TemporaryDirectory(prefix="matrix-") as name:
        (Path(name) / CELLS).write_text(json.dumps({number: cell.values for number, cell in cells.items()}))
        argv = [sys.executable, "-B", "-m", "tests.interop.matrix", "here", str(Path(name) / CELLS)]
        script = (f"modprobe -a {MODULES}\nexport PYTHONPATH={shlex.quote(':'.join(sys.path))}\n"
                  f"{shlex.join(argv)} > $RESULTS/{OUTCOMES}\n")
        try:
            result = run_in_uml(script, timeout=BOOT_SECONDS + CELL_SECONDS * len(cells), memory="1G")
        except MachineFailed as error:
            said, lines = str(error), b""
        else:
            said, lines = result.output, result.files[OUTCOMES]
    outcomes = [Outcome(**json.loads(line)) for line in lines.splitlines()]
    lost = cells.keys() - {outcome.number for outcome in outcomes}
    return outcomes + [Outcome(number, "the machine did not come to the end of this cell", 0.0, said)
                       for number in sorted(lost)]


def here(path: Path) -> None:
    """Inside: try the cells of a file and print an outcome a line."""
    cells = {int(number): Cell(**values) for number, values in json.loads(path.read_text()).items()}
    for outcome in _here(cells, KERNEL):
        print(json.dumps(asdict(outcome)), flush=True)


def _here(cells: Mapping[int, Cell], dataplane: str) -> Iterator[Outcome]:
    """What strongSwan has not comes last, so that its daemon is started once. Whatever failed may have left something
    behind, so the next cell has a stage of its own."""
    waiting = sorted(cells.items(), key=lambda item: item[1].peer)
    while waiting:
        with stage(dataplane) as made:
            failed = False
            while waiting and not failed:
                outcome = _tried(*waiting.pop(), made)
                failed = outcome.reason is not None
                yield outcome


def _tried(number: int, cell: Cell, made: Stage) -> Outcome:
    begun, read = time.monotonic(), {}
    try:
        ends = made.ends(cell)
        read = {end: len(end.log) for end in ends}
        attempt(cell, made)
    except Exception as error:
        log = "\n".join(f"--- {type(end).__name__}\n{end.log[start:]}" for end, start in read.items())
        return Outcome(number, f"{type(error).__name__}: {error}", time.monotonic() - begun, log)
    return Outcome(number, None, time.monotonic() - begun)
