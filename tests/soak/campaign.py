# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios are run, how often in either form, what their figures have to be, and the file that gets them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.testbed import CHECKOUT
from tests.testbed.uml import run_in_uml

RESULT = CHECKOUT / "build/soak/result.json"
BOTH = ("ikeengine", "strongswan")
_MODULES = "bridge iptable_nat xt_MASQUERADE"
_PATH = (CHECKOUT, CHECKOUT / "build/dev", CHECKOUT / "files/ikeengine")

Json = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """``long`` and ``short`` are how many of what it is about in either form; ``seconds`` what each of them may take,
    beside the time that a machine needs to boot. ``holds`` says whether figures are what they have to be."""

    long: int
    short: int
    seconds: float
    holds: Callable[[Json], bool]
    peers: tuple[str, ...] = BOTH
    #: Against whom in the short form, which is to end in a few minutes.
    short_peers: tuple[str, ...] = ("ikeengine",)


def _nothing_lost(figures: Json) -> bool:
    return bool(figures["out"]["sent"] and figures["back"]["sent"]) and figures["lost"] == 0


def _within(seconds: float) -> Callable[[Json], bool]:
    return lambda figures: figures["longest_outage_s"] <= seconds


def _nothing_in_clear(figures: Json) -> bool:
    return figures["packets_protected"] > 0 and figures["packets_in_clear"]["ikeengine"] == 0


SCENARIOS = {
    "child_rekeys": Scenario(1000, 100, 2, _nothing_lost, short_peers=BOTH),
    "ike_rekeys": Scenario(100, 10, 10, _nothing_lost, short_peers=("strongswan",)),
    "crossing_rekeys": Scenario(100, 12, 10, _nothing_lost, short_peers=("strongswan",)),
    "adversity": Scenario(100, 20, 20, lambda figures: figures["up"] == figures["tunnels"]),
    "reload": Scenario(200, 40, 4, _nothing_lost, short_peers=("strongswan",)),
    "crash": Scenario(10, 1, 60, lambda figures: _within(5)(figures) and _nothing_in_clear(figures),
                      short_peers=("strongswan",)),
    "failover": Scenario(10, 1, 60, _within(4)),
    "mobility": Scenario(10, 2, 30, _within(2), ("ikeengine",), ()),
}
_BOOT_SECONDS = 150
_ENOUGH = 0.95
"""Of the packets a second that are asked for. In the short form a busy machine has no time to make up for a pause."""


class SoakFailed(Exception):
    """A scenario did not come to its end; the message has all that was said."""


def run(name: str, peer: str, number: int) -> Json:
    """One scenario on a machine of its own. Raises SoakFailed, and MachineFailed where there is none."""
    path = ":".join(map(str, _PATH))
    command = shlex.join([sys.executable, "-B", "-m", "tests.soak.inside", name, peer, str(number)])
    result = run_in_uml(f"modprobe -a {_MODULES}\nexport PYTHONPATH={shlex.quote(path)}\n{command}\n",
                        timeout=_BOOT_SECONDS + number * SCENARIOS[name].seconds, memory="1G")
    if result.exit_status:
        raise SoakFailed(result.output)
    figures: Json = json.loads(result.files["figures"])
    return figures


def holds(name: str, form: str, figures: Json) -> bool:
    """Whether figures of that form are what they have to be."""
    is_steady = all(figures[way]["per_second"] >= figures["asked_per_second"] * _ENOUGH
                    for way in ("out", "back") if way in figures)
    return SCENARIOS[name].holds(figures) and (is_steady or form == "short")


def keep(name: str, peer: str, form: str, figures: Json) -> None:
    """Into the file of figures, by scenario, peer and form, beside all others."""
    kept: Json = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    kept.setdefault(name, {}).setdefault(peer, {})[form] = {"holds": holds(name, form, figures), **figures}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    new = RESULT.with_suffix(".new")
    new.write_text(json.dumps(kept, indent=1) + "\n")
    os.replace(new, RESULT)
