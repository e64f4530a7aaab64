# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to hold both ends of every tunnel of a full mesh against each other, and with how much memory.

A fleet of 1,000 sites that are all joined has 499,500 tunnels, each with its own key and 100 of them with a fault. Each
run is a process of its own, which unfolds the fleet's definition (``seconds_unfolded``) and validates what comes out
(``seconds``); its peak memory holds both. A fleet of a quarter of the tunnels shows that the work is linear. Medians.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from ikeengine.vpn import rules  # noqa: E402

from bench import planted, record  # noqa: E402

GATEWAYS, QUARTER = 1000, 500  # 499,500 and 124,750 tunnels
FAULTS = 100


def measure(sites: int, seed: int) -> dict[str, float]:
    """One run, in this process."""
    draw = random.Random(seed)
    start = time.perf_counter()
    sides = planted.mesh(sites)
    unfolded = time.perf_counter()
    sides, faults = planted.plant(sides, FAULTS, draw)
    ready = time.perf_counter()
    validation = rules.validate(sides)
    end = time.perf_counter()
    expected, found = planted.expected(faults), planted.found(validation.findings)
    return {"seconds_unfolded": unfolded - start, "seconds": end - ready,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "planted": len(faults), "found": sum(planted.expected([fault]) <= found for fault in faults),
            "others": (found - expected).total(),
            "tunnels": sum(len(pair.tunnels) + len(pair.left_only) + len(pair.right_only)
                           for pair in validation.pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--one", type=int, metavar="SITES", help="one run in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.seed)))
        return
    runs: dict[int, list[dict[str, float]]] = {GATEWAYS: [], QUARTER: []}
    for number in range(options.runs):
        for sites, results in runs.items():
            said = subprocess.run([sys.executable, __file__, "--one", str(sites), "--seed", str(options.seed + number)],
                                  check=True, stdout=subprocess.PIPE, text=True).stdout
            results.append(json.loads(said))
    whole, quarter = runs[GATEWAYS], runs[QUARTER]
    record.write("validate", {
        "gateways": GATEWAYS, "tunnels": int(whole[0]["tunnels"]),
        "seconds": round(median(run["seconds"] for run in whole), 2),
        "peak_rss_mib": round(median(run["peak_rss_mib"] for run in whole)),
        "seconds_quarter": round(median(run["seconds"] for run in quarter), 2),
        "findings_planted": int(whole[0]["planted"]), "findings_found": int(min(run["found"] for run in whole)),
        "findings_beside": int(max(run["others"] for run in whole)),
        "seconds_unfolded": round(median(run["seconds_unfolded"] for run in whole), 2),
        "seconds_each": [round(run["seconds"], 2) for run in whole], "runs": options.runs, "seed": options.seed,
    })


if __name__ == "__main__":
    main()
