# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a playbook run takes that gives one host 1 tunnel, 200 tunnels, and the same 200 again.

A real ansible-playbook over real ssh to a host with systemd, on which the daemon is installed and runs. The host is a
hub; each tunnel has a gateway and a key of its own, and only answers: there are no peers, so the proof is off. All is
validated first, as ever. Medians of some rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench import record  # noqa: E402
from tests.testbed.topology import Bed  # noqa: E402

TUNNELS = 200
FOLDER = ROOT / "build" / "bench" / "apply"


def declared(tunnels: int) -> dict[str, Any]:
    """A hub with so many spokes that somebody else runs, and a key for each that is made at first need."""
    spokes = {f"spoke{number}": {"address": f"198.18.0.{number}", "networks": [f"10.100.{number}.0/24"],
                                 "managed": False} for number in range(1, tunnels + 1)}
    hub = {"address": "192.0.2.2", "networks": ["10.1.0.0/24"], "gateway": {"start": "answer"}}
    return {"ipsec_fleet": {"sites": {"hq": hub, **spokes}, "links": [{"hub": "hq", "spokes": "all"}]},
            "ipsec_psk_file": str(FOLDER / "psk.yml")}


class Controller:
    """A playbook for one host of a bed, and the runs of it."""

    def __init__(self, bed: Bed) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._environment = {**os.environ, **bed.environment, "ANSIBLE_NOCOLOR": "1"}
        self._host = {"ansible_host": bed.addresses["hq"], "ansible_user": "root",
                      "ansible_python_interpreter": "/usr/bin/python3"}
        roles = {"hosts": "hq", "gather_facts": False, "vars": {"ipsec_tunnel_proof": False},
                 "roles": ["tandem.vpn.ipsec_gateway", "tandem.vpn.ipsec_tunnel"]}
        nothing = {"hosts": "hq", "gather_facts": False, "tasks": [
            {"tandem.vpn.ipsec_config": {"state": "overridden", "gateways": [], "tunnels": []}}]}
        for name, play in (("site", roles), ("nothing", nothing)):
            (FOLDER / f"{name}.yml").write_text(json.dumps([play]))

    def run(self, tunnels: int) -> tuple[float, int]:
        """Seconds of one run of the roles, and how many tasks changed the host."""
        inventory = {"all": {"hosts": {"hq": {**self._host, **declared(tunnels)}}}}
        (FOLDER / "inventory.yml").write_text(json.dumps(inventory))
        return self._play("site")

    def forget(self) -> None:
        """Take everything that is declared out again."""
        self._play("nothing")

    def _play(self, name: str) -> tuple[float, int]:
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(FOLDER / "inventory.yml"),
                str(FOLDER / f"{name}.yml")]
        start = time.perf_counter()
        done = subprocess.run(argv, cwd=FOLDER, env=self._environment, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return seconds, int(done.stdout.rpartition("changed=")[2].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {"seconds_1": [], "seconds_200": [], "seconds_200_again": []}
    with Bed("bench", state=ROOT / "build" / "testbed") as bed:
        controller = Controller(bed)
        controller.run(1)  # installs the daemon
        for _ in range(rounds):
            for name, tunnels in (("seconds_1", 1), ("seconds_200", TUNNELS), ("seconds_200_again", TUNNELS)):
                if name != "seconds_200_again":
                    controller.forget()
                took, changed = controller.run(tunnels)
                if (changed == 0) is not (name == "seconds_200_again"):
                    raise SystemExit(f"{name}: {changed} tasks changed the host")
                seconds[name].append(took)
    record.write("apply", {**{name: round(median(each), 2) for name, each in seconds.items()}, "rounds": rounds,
                           "each": {name: [round(one, 2) for one in each] for name, each in seconds.items()}})


if __name__ == "__main__":
    main()
