# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.interop.matrix list``, ``try [NUMBER...]``, ``page``; ``here FILE`` is for the machine inside."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.interop.matrix import page, report, run
from tests.interop.matrix.cells import numbered


def main(command: str = "list", *arguments: str) -> int:
    if command == "here":
        run.here(Path(*arguments))
    elif command == "page":
        page.write(json.loads(report.MATRIX.read_text()))
    elif command == "try":
        return _try({int(number) for number in arguments})
    else:
        for number, cell in numbered().items():
            print(number, cell, sep="\t")
    return 0


def _try(wanted: set[int]) -> int:
    """Those cells, or all."""
    cells = {number: cell for number, cell in numbered().items() if not wanted or number in wanted}
    begun = time.monotonic()
    matrix = report.write(cells, run.run(cells), time.monotonic() - begun)
    for row in matrix["failed"]:
        print(row["number"], cells[row["number"]], row["reason"], row["log"], sep="\n")
    print(f"{matrix['passed']} of {matrix['cells']} passed in {matrix['seconds']} s")
    return int(bool(matrix["failed"]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
