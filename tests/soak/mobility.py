# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A NAT whose mapping of one end moves in the middle of a flow: other ports, then another address."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.interop.site import Engine
from tests.support.roaming import Json, Pair
from tests.testbed.roaming import PUBLIC, road

_PORTS = ("30000-39999", "40000-49999")


def run(folder: Path, _peer: str, number: int) -> Json:
    """So many moves."""
    outages = []
    with road("soak") as made:
        made.plug(0)
        made.translate(PUBLIC[0], "20000-29999")
        pair = Pair(made, Engine(made.head, folder / "head"), Engine(made.branch, folder / "branch"))
        try:
            pair.start(2, "kernel")
            outages = [pair.outage(partial(made.translate, PUBLIC[row // 2 % 2], _PORTS[row % 2]))
                       for row in range(number)]
        except BaseException:
            print(pair.logs())
            raise
        finally:
            pair.kill()
    return {"moves": number, "longest_outage_s": round(max(outages), 2),
            "outages_s": [round(row, 2) for row in outages]}
