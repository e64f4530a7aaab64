# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns against every target, on all processors: python -m tests.fuzz --inputs 1000000."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SHARES = {"ikev2-sessions": 35, "ikev1-sessions": 15, "certificates": 10, "ikev2-decoders": 25, "ikev1-decoders": 15}
"""Of a hundred inputs, how many each target gets."""
PARTS = 2
"""Processes in turn, or beside each other, for each target."""


class Campaign(NamedTuple):
    target: str
    inputs: int
    seed: int
    keep: Path


class Failed(Exception):
    """A campaign found something; the text is all that it said, with the input as libFuzzer shows it."""


def run(inputs: int, seed: int, keep: Path) -> dict[str, dict[str, float]]:
    """For each target the number of inputs, the slowest one's milliseconds and the most that memory grew.

    ``keep`` is a folder for what is worth keeping: culprits, and inputs that reached something new. Raises Failed.
    """
    campaigns = [Campaign(target, inputs * share // 100 // PARTS, (seed + part) % 2**32 or 1, keep / target / str(part))
                 for part in range(PARTS) for target, share in SHARES.items()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_run_one, campaigns))
    found: dict[str, dict[str, float]] = {}
    for campaign, result in zip(campaigns, results, strict=True):
        row = found.setdefault(campaign.target, {"inputs": 0, "slowest_ms": 0.0, "grown_kib": 0})
        row["inputs"] += result["inputs"]
        row["slowest_ms"] = max(row["slowest_ms"], result["slowest_ms"])
        row["grown_kib"] = max(row["grown_kib"], result["grown_kib"])
    return found


def _run_one(campaign: Campaign) -> dict[str, float]:
    argv = [sys.executable, "-m", "tests.fuzz.campaign", campaign.target, "--inputs", str(campaign.inputs), "--seed",
            str(campaign.seed), "--keep", str(campaign.keep)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or not done.stdout.startswith("{"):
        said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("INFO: Instrumenting"))
        raise Failed(f"{' '.join(argv)}: exit status {done.returncode}:\n{done.stdout}{said}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TANDEM_SEED") or secrets.randbits(32)))
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz")
    options = parser.parse_args()
    print(f"TANDEM_SEED={options.seed}", flush=True)
    try:
        print(json.dumps(run(options.inputs, options.seed, options.keep), indent=2))
    except Failed as failure:
        raise SystemExit(str(failure)) from None


if __name__ == "__main__":
    main()
