# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: two gateways from nothing to a proved tunnel, by the playbook that a user would write.

Writes build/demo/result.json; every figure in it is measured on the hosts, at the router or by the clock.
"""

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import CHECKOUT
from .capture import Capture, Counts
from .command import run
from .proof import findings, seconds_to_up, table, tunnels
from .topology import FIRST, Bed

EXAMPLE = Path("examples/site-to-site")
FOLDER = CHECKOUT / "build" / "demo"
PINGS = 20
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RunFailed(RuntimeError):
    """The playbook ended with a failure; it has said why."""


def demo() -> int:
    """Build, run twice, prove; leaves the bed up. Returns 0 only if everything holds."""
    bed = Bed(FIRST)
    result_file = FOLDER / "result.json"
    result_file.unlink(missing_ok=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    bed.down()
    _say("Two gateways, a LAN host behind each, a router between them")
    bed.up()
    try:
        first_run = play(bed)[0]
        second_run, changed = play(bed)
    except RunFailed as error:
        print(f"\nNot proved: {error}\n{_afterwards(bed)}", file=sys.stderr)
        return 1
    renegotiate(bed)
    counts, ping, statuses = measure(bed)
    result = {
        "tunnels": tunnels(statuses),
        "ping": ping,
        "clear_packets": counts.clear,
        "second_run": {"changed": changed},
        "seconds": {
            "first_run": round(first_run, 3),
            "second_run": round(second_run, 3),
            "tunnel_up": seconds_to_up(statuses),
        },
    }
    said = findings(result)
    result_file.write_text(json.dumps({"ok": not said, **result}, indent=2) + "\n")
    _report(bed, result, counts, said)
    return 1 if said else 0


def play(bed: Bed) -> tuple[float, int]:
    """Run the example's playbook, showing what it prints; returns its seconds and how many tasks changed a host."""
    argv = ["ansible-playbook", "-i", str(EXAMPLE / "inventory.yml"), str(EXAMPLE / "site.yml")]
    _say(" ".join(argv))
    environment = {
        **os.environ,
        **bed.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **({"ANSIBLE_FORCE_COLOR": "true"} if sys.stdout.isatty() else {}),
    }
    started = time.monotonic()
    with subprocess.Popen(
        argv, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as playbook:
        printed = []
        for line in playbook.stdout or ():
            print(line, end="", flush=True)
            printed.append(line)
    seconds = time.monotonic() - started
    changes = RECAP.findall(COLOUR.sub("", "".join(printed)))
    if playbook.returncode != 0 or not changes:
        raise RunFailed(f"ansible-playbook ended with status {playbook.returncode}")
    return seconds, sum(map(int, changes))


def renegotiate(bed: Bed) -> None:
    """Take the tunnel down and up again, so that what is timed is one whole negotiation: during the first run one end
    may have its tunnels a moment before the other has, and waits for it."""
    ikectl(bed, "hq", "down", "branch")
    ikectl(bed, "hq", "up", "branch")


def measure(bed: Bed) -> tuple[Counts, dict[str, int], dict[str, dict[str, Any]]]:
    """Ping from LAN to LAN under the router's eyes, then ask both ends what they hold.

    Returns the packets at the router, the pings sent and received, and each host's status.
    """
    marker = secrets.token_bytes(16)
    argv = ["ping", "-n", "-q", "-c", str(PINGS), "-i", "0.05", "-W", "2", "-p", marker.hex(), "10.2.0.2"]
    with Capture(bed.router, "wan-hq", FOLDER / "router.pcap") as capture:
        said = bed.namespaces["lan-hq"].run(argv, check=False).stdout
    counted = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    ping = {"sent": int(counted[1]), "received": int(counted[2])} if counted else {"sent": 0, "received": 0}
    statuses = {host: ikectl(bed, host, "status") for host in bed.hosts}
    return capture.counts(bed.LANS, marker=marker), ping, statuses


def ikectl(bed: Bed, host: str, *words: str) -> dict[str, Any]:
    """What ``ikectl ... --json`` prints on a host, reached as a user reaches it: by ssh. Raises CommandFailed."""
    argv = ["ssh", "-F", str(bed.ssh_config), host, shlex.join(["ikectl", *words, "--json"])]
    answer: dict[str, Any] = json.loads(run(argv).stdout)
    return answer


def _say(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def _report(bed: Bed, result: dict[str, Any], counts: Counts, said: list[str]) -> None:
    seconds, ping, changed = result["seconds"], result["ping"], result["second_run"]["changed"]
    up = f"{seconds['tunnel_up'] * 1000:.0f} ms" if seconds["tunnel_up"] is not None else "never"
    _say("What each end says of the tunnel")
    print(table(result))
    print(f"""
LAN to LAN     {ping["sent"]} pings sent, {ping["received"]} received
at the router  {counts.esp} ESP packets, {counts.esp_in_udp} of ESP in UDP, {counts.clear} in clear text
playbook       {seconds["first_run"]:.1f} s, and again {seconds["second_run"]:.1f} s with {changed} changed
tunnel up      {up} from the first IKE message to SAs at both ends
""")
    print("Proved." if not said else "Not proved:\n" + "\n".join(f"  - {sentence}" for sentence in said))
    print(_afterwards(bed))


def _afterwards(bed: Bed) -> str:
    return f"""
The gateways stay up: make demo-shell HOST=hq, and there: ikectl status
To run the playbook yourself: set -a; . {bed.environment_file.relative_to(CHECKOUT)}; set +a
To remove every trace: make demo-down"""
