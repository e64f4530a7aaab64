# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one scenario here, which is inside User-Mode Linux, and leaves its figures: ``inside.py NAME PEER NUMBER``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.testbed import command

from . import adversity, crash, failover, mobility, rekeys, reload

SCENARIOS = {"child_rekeys": rekeys.run_children, "ike_rekeys": rekeys.run_ike,
             "crossing_rekeys": rekeys.run_crossing, "adversity": adversity.run,
             "reload": reload.run, "crash": crash.run, "failover": failover.run, "mobility": mobility.run}


#: All hosts here share one processor and its queue of what devices have received. On a busy machine it runs over, which
#: says nothing of a tunnel.
_BACKLOG = "net.core.netdev_max_backlog=100000"
#: Who has to keep a pace is not held up for the others' sake.
_NO_THROTTLE = "kernel.sched_rt_runtime_us=-1"


def main(name: str, peer: str, number: str) -> None:
    command.run(["sysctl", "-q", "-w", _BACKLOG, _NO_THROTTLE])
    folder = Path("/run/soak")
    folder.mkdir()
    figures = SCENARIOS[name](folder, peer, int(number))
    (Path(os.environ["RESULTS"]) / "figures").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
