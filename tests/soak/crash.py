# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that is killed and started again, as a service manager does, under packets each way; nothing in clear."""

from __future__ import annotations

import time
from pathlib import Path

from tests.testbed.capture import Capture, frames

from .site import PEERS, Json, Ours, give_hosts, lan, one_tunnel, wait_until_up, wire
from .stream import Stream

_NETWORKS = ["10.1.0.0/16", "10.2.0.0/16"]
_IPV4, _OURS, _THEIRS = b"\x08\x00", bytes((10, 1)), bytes((10, 2))
_PER_SECOND = 200


def run(folder: Path, peer: str, number: int) -> Json:
    """So many crashes; each time packets have to pass again before the next."""
    outages, protected = [], 0
    clear = {"ikeengine": 0, peer: 0}  # whose they are: strongSwan without traps sends in clear while it has no SA
    with wire() as made:
        give_hosts(made, [0])
        ours, theirs = Ours(made.ends[0], folder / "ours"), PEERS[peer](made.ends[1], folder / "theirs")
        try:
            theirs.begin(one_tunnel(1))
            ours.begin(one_tunnel(0, start="boot"))
            wait_until_up(ours)
            for crash in range(number):
                with (Capture(made.between, "theirs", folder / f"pcap{crash}") as capture,
                      Stream(made.ends, [(lan(0, 0), lan(1, 0))], per_second=_PER_SECOND) as stream):
                    time.sleep(1)
                    ours.kill()
                    ours.begin(one_tunnel(0, start="boot"))
                    wait_until_up(ours)
                    time.sleep(2)
                outages.append(max(row.longest_gap for row in stream.outcomes))
                protected += capture.counts(_NETWORKS).esp
                clear["ikeengine"] += _in_clear(capture, _OURS, _THEIRS)
                clear[peer] += _in_clear(capture, _THEIRS, _OURS)
        except BaseException:
            print(ours.log, theirs.log, sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    return {"crashes": number, "longest_outage_s": round(max(outages), 2),
            "outages_s": [round(row, 2) for row in outages], "packets_protected": protected, "packets_in_clear": clear}


def _in_clear(capture: Capture, source: bytes, destination: bytes) -> int:
    """Packets from one LAN to the other, by the first octets of their addresses."""
    return sum((frame[12:14], frame[26:28], frame[30:32]) == (_IPV4, source, destination)
               for frame in frames(capture.path.read_bytes()))
