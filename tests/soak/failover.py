# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer whose first address dies: the second serves, and the first again when it answers."""

from __future__ import annotations

import time
from pathlib import Path

from .site import ADDRESSES, PEERS, Json, Ours, declared, gateway, give_hosts, lan, tunnel, wait_until_up, wire
from .stream import Stream

_SECOND = "192.0.2.3"
_PER_SECOND = 200
DETECTION = {"idle": "1s", "retries": 2}


def run(folder: Path, peer: str, number: int) -> Json:
    """So many times."""
    outages = []
    with wire() as made:
        give_hosts(made, [0])
        near, far = made.ends
        far.ip(f"address add {_SECOND}/16 dev wan")
        ours, theirs = Ours(near, folder / "ours"), PEERS[peer](far, folder / "theirs")
        try:
            theirs.begin(_declared(1))
            for _time in range(number):
                ours.begin(_declared(0))
                wait_until_up(ours)
                with Stream(made.ends, [(lan(0, 0), lan(1, 0))], per_second=_PER_SECOND) as stream:
                    time.sleep(2)
                    # As if the road to it were cut: both ends' links stay up, and nobody says a word.
                    near.run(["iptables-legacy", "-A", "INPUT", "-s", ADDRESSES[1], "-j", "DROP"])
                    near.run(["iptables-legacy", "-A", "OUTPUT", "-d", ADDRESSES[1], "-j", "DROP"])
                    time.sleep(8)
                outages.append(max(row.longest_gap for row in stream.outcomes))
                assert ours.gateway["ike"][-1]["remote"].startswith(_SECOND), ours.gateway
                near.run(["iptables-legacy", "-F"])
                ours.kill()
        except BaseException:
            print(ours.log, theirs.log, sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    return {"failovers": number, "detection": DETECTION, "longest_outage_s": round(max(outages), 2),
            "outages_s": [round(row, 2) for row in outages]}


def _declared(place: int) -> Json:
    pairs = ([ADDRESSES[0]] * 2, [ADDRESSES[1], _SECOND])[::1 if place == 0 else -1]
    return declared(place, [gateway("peer", *pairs, start=("boot", "answer")[place], dead_peer_detection=DETECTION)],
                    [tunnel("lan", "peer", place, 0)])
