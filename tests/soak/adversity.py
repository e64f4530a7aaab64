# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many gateways that come up at once over a wire that loses, doubles and reorders three datagrams in ten."""

from __future__ import annotations

import random
from pathlib import Path

from .bad_wire import bad_wire
from .site import ADDRESSES, PEERS, Json, Ours, declared, gateway, tunnel, wait_until_up, wire

SHARE = 0.3
_SECONDS = 400


def run(folder: Path, peer: str, number: int) -> Json:
    """So many gateways, each with a tunnel, at addresses of their own at the far end."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    far = [f"192.0.3.{place + 1}" for place in range(number)]
    with wire(bridged=False) as made, bad_wire(made.between, ("ours", "theirs"), SHARE, seed) as fates:
        made.ends[1].ip(*(f"address add {address}/16 dev wan" for address in far))
        ours, theirs = Ours(made.ends[0], folder / "ours"), PEERS[peer](made.ends[1], folder / "theirs")
        try:
            for place, end in ((1, theirs), (0, ours)):
                pairs = [(ADDRESSES[0], address)[::1 if place == 0 else -1] for address in far]
                end.begin(declared(
                    place, [gateway(f"peer{row}", *pair, start=("boot", "answer")[place])
                            for row, pair in enumerate(pairs)],
                    [tunnel(f"lan{row}", f"peer{row}", place, row) for row in range(number)]))
            seconds = wait_until_up(ours, _SECONDS)
            up = sum(row["state"] == "up" for row in ours.ask("status")["tunnels"])
        except BaseException:
            print(ours.log[-20000:], theirs.log[-20000:], sep="\n---\n")
            raise
        finally:
            ours.kill()
            theirs.kill()
    return {"tunnels": number, "up": up, "seconds": round(seconds, 1), "share": SHARE, **fates}
