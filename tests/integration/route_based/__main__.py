# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.integration.route_based KIND``: every case on one bed, and a JSON line for each."""

import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .bed import built
from .cases import CASES
from .forked import forked


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/run") as folder, built(sys.argv[1], Path(folder), forked) as bed:
        for case in CASES:
            began, failure = time.monotonic(), None
            try:
                bed.come_up()
                case(bed)
            except Exception:
                failure = traceback.format_exc() + "".join(f"\nend {end.number}:\n{end.log}" for end in bed.ends)
            took = round(time.monotonic() - began, 1)
            print(json.dumps({"case": case.__name__, "failure": failure, "seconds": took}), flush=True)


if __name__ == "__main__":
    main()
