# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves: build/interop/matrix.json, and a log of each cell that failed."""

from __future__ import annotations

import json
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ikeengine import __version__

from tests.interop.matrix.axes import AXES, Cell
from tests.interop.matrix.run import Outcome
from tests.testbed import CHECKOUT
from tests.testbed.command import run

Json = dict[str, Any]

FOLDER = CHECKOUT / "build" / "interop"
MATRIX, LOGS = FOLDER / "matrix.json", FOLDER / "logs"


def write(cells: Mapping[int, Cell], outcomes: Mapping[int, Outcome], seconds: float) -> Json:
    """Write both in the place of what an earlier run left; returns what is in matrix.json."""
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    failed = {number for number in cells if outcomes[number].reason is not None}
    for number in failed:
        _log(number).write_text(f"{cells[number]}\n{outcomes[number].reason}\n{outcomes[number].log}")
    slowest = max(outcomes.values(), key=lambda outcome: outcome.seconds)
    made = {
        **counted(cells, failed),
        "failed": [{"number": number, "cell": cells[number].values, "peer": cells[number].peer,
                    "reason": outcomes[number].reason, "log": str(_log(number).relative_to(CHECKOUT))}
                   for number in sorted(failed)],
        "seconds": round(seconds, 1), "slowest": {"number": slowest.number, "seconds": round(slowest.seconds, 1)},
        "versions": _versions(),
    }
    MATRIX.write_text(json.dumps(made, indent=1) + "\n")
    return made


def counted(cells: Mapping[int, Cell], failed: set[int]) -> Json:
    """How many cells there are and how many passed: in all, by peer, and by each value of each axis."""
    def count(holds: Any) -> Json:
        chosen = {number for number, cell in cells.items() if holds(cell)}
        return {"cells": len(chosen), "passed": len(chosen - failed)}

    return {
        **count(lambda cell: True),
        "peers": {peer: count(lambda cell, peer=peer: cell.peer == peer) for peer in ("strongSwan", "ikeengine")},
        "axes": {axis: {value: count(lambda cell, axis=axis, value=value: cell.values[axis] == value)
                        for value in values} for axis, values in AXES.items()},
    }


def _log(number: int) -> Path:
    return LOGS / f"{number:03}.log"


def _versions() -> dict[str, str]:
    # Without a daemon it says its own version, and then that there is none.
    said = run(["swanctl", "--version"], check=False)
    strongswan = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return {"ikeengine": __version__, "strongSwan": strongswan[0] if strongswan else "unknown",
            "Linux": platform.release(), "User-Mode Linux": run(["linux.uml", "--version"]).stdout.strip(),
            "Python": platform.python_version()}
