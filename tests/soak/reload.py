# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload that changes one of many tunnels, under packets over all the others."""

from __future__ import annotations

import time
from pathlib import Path

from .site import ADDRESSES, PEERS, Json, Ours, declared, gateway, give_hosts, keys, lan, tunnel, wait_until_up, wire
from .stream import Stream

_CHANGED = 7
_RELOADS = 3


def run(folder: Path, peer: str, number: int) -> Json:
    """So many tunnels of one gateway."""
    with wire() as made:
        give_hosts(made, range(number))
        ours, theirs = Ours(made.ends[0], folder / "ours"), PEERS[peer](made.ends[1], folder / "theirs")
        try:
            theirs.begin(_declared(1, number, 0))
            ours.begin(_declared(0, number, 0))
            wait_until_up(ours)
            flows = [(lan(0, row), lan(1, row)) for row in range(number) if row != _CHANGED]
            changes = []
            with Stream(made.ends, flows) as stream:
                time.sleep(1)
                for count in range(1, _RELOADS + 1):
                    changed = _declared(0, number, count)
                    changes.append(ours.ask("reload", declaration=changed, secrets=keys(changed)))
                    time.sleep(1)
            wait_until_up(ours)
        except BaseException:
            print(ours.log, theirs.log, sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    assert [row["changed"] for row in changes] == [[f"tunnel lan{_CHANGED}"]] * _RELOADS, changes
    return {"tunnels": number, "changed": 1, "reloads": _RELOADS, **stream.figures}


def _declared(place: int, number: int, version: int) -> Json:
    """Of each version the changed tunnel's life is another."""
    row = declared(place, [gateway("peer", ADDRESSES[place], ADDRESSES[1 - place], start=("boot", "answer")[place])],
                   [tunnel(f"lan{row}", "peer", place, row) for row in range(number)])
    row["proposals"].append({**row["proposals"][0], "name": "p3", "force_key_expiration": {"time": f"{8 - version}h"}})
    row["tunnels"][_CHANGED]["proposals"] = ["p3"]
    return row
