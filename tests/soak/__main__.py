# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.soak``: the long form of every scenario, or of those that are named; ``--short`` the short one."""

from __future__ import annotations

import argparse
import sys
import time

from tests.testbed.virtual_machine import MachineFailed

from . import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help=f"of {', '.join(campaign.SCENARIOS)}; else all")
    parser.add_argument("--short", action="store_true", help="as often as the tests do")
    parser.add_argument("--peer", choices=campaign.BOTH, help="against that one alone")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(campaign.SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    bad = 0
    for name in chosen.names or campaign.SCENARIOS:
        scenario = campaign.SCENARIOS[name]
        peers = scenario.short_peers if chosen.short else scenario.peers
        for peer in peers if chosen.peer is None else {chosen.peer} & set(scenario.peers):
            bad += not _run(name, peer, "short" if chosen.short else "long")
    print(f"figures: {campaign.RESULT}")
    return 1 if bad else 0


def _run(name: str, peer: str, form: str) -> bool:
    began = time.monotonic()
    try:
        figures = campaign.run(name, peer, getattr(campaign.SCENARIOS[name], form))
    except (campaign.SoakFailed, MachineFailed) as error:
        print(f"{name} with {peer} FAILED:\n{error}", flush=True)
        campaign.keep(name, peer, form, {"failed": str(error)[-2000:]})
        return False
    figures["took_s"] = round(time.monotonic() - began)
    campaign.keep(name, peer, form, figures)
    holds = campaign.holds(name, form, figures)
    print(f"{name} with {peer}{'' if holds else ' FAILED'}: {figures}", flush=True)
    return holds


if __name__ == "__main__":
    sys.exit(main())
