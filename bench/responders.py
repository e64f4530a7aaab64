# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons that a load is put on, each as a process in a namespace, and what the kernel says that they cost."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bench import hub
from tests.testbed.network import Namespace
from tests.testbed.strongswan import LIBIPSEC, Charon

SOURCES = Path(__file__).resolve().parents[1] / "files" / "ikeengine"
_START_SECONDS = 120
_PRIORITY = -10
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_kib(pid: int) -> int:
    """The process's share of the memory that it has resident."""
    return int(re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def put_first(pid: int) -> None:
    """Let what else the machine does disturb a process less, by the priority of it and of its session (sched(7))."""
    os.setpriority(os.PRIO_PROCESS, pid, _PRIORITY)
    with suppress(OSError):  # the kernel does not go by sessions
        Path(f"/proc/{pid}/autogroup").write_text(str(_PRIORITY))


class LoopWatch:
    """Tells how long the event loop of an ikeengine stood still that runs as ``program``."""

    def __init__(self, report: Path) -> None:
        """``report`` is where `bench.watched` may write."""
        self._report = report
        self.program = (str(Path(__file__).with_name("watched.py")), str(report))

    def stalled(self, pid: int) -> dict[str, float]:
        """The longest since this was asked last, as `bench.watched` has it."""
        time.sleep(0.2)  # a round of the loop that has answered may have more to do
        self._report.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
        while not self._report.exists():
            time.sleep(0.02)
        figures: dict[str, float] = json.loads(self._report.read_text())
        return figures


class Ikeengine:
    """Our daemon with what ``declaration`` and ``secrets`` say."""

    name = "ours"

    def __init__(self, namespace: Namespace, directory: Path, declaration: hub.Json, secrets: hub.Json,
                 program: Sequence[str] = ("-m", "ikeengine")) -> None:
        """``program`` is what Python runs."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        words = [*namespace.entry, sys.executable, *program]
        for name, data in (("declaration", declaration), ("secrets", secrets)):
            (directory / f"{name}.json").write_text(json.dumps(data))
            words += [f"--{name}", str(directory / f"{name}.json")]
        self._control = directory / "control.sock"
        self._words = [*words, "--control", str(self._control), "--log-level", "error"]

    def start(self) -> int:
        """The process that serves. Raises RuntimeError with its log."""
        pid = self.begin()
        self.wait()
        return pid

    def begin(self) -> int:
        """The process that will serve."""
        self._control.unlink(missing_ok=True)
        with (self._directory / "log").open("wb") as log:
            # A session of its own, as charon's: the scheduler shares out the processor by sessions.
            self._process = subprocess.Popen(self._words, cwd=SOURCES, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True)
        return self._process.pid

    def wait(self) -> None:
        """Until it answers. Raises RuntimeError with its log."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.ask("status")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"ikeengine did not start:\n{(self._directory / 'log').read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def children(self) -> int:
        """How many child SAs it holds."""
        return sum(len(route["sas"]) for tunnel in self.ask("status")["tunnels"] for route in tunnel["routes"])

    def counters(self) -> hub.Json:
        """What it has received and dropped so far."""
        counters: hub.Json = self.ask("status")["counters"]
        return counters

    def ask(self, command: str, **arguments: object) -> hub.Json:
        """The result of a command of the control protocol. Raises RuntimeError with the daemon's reason."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            stream = control.makefile("rwb")
            stream.write(json.dumps({"version": 1, "command": command, **arguments}).encode() + b"\n")
            stream.flush()
            answer: hub.Json = json.loads(stream.readline())
        if not answer["ok"]:
            raise RuntimeError(answer["error"]["message"])
        result: hub.Json = answer["result"]
        return result


class Ours(Ikeengine):
    """With a gateway declared for every spoke, and its userspace data plane."""

    def __init__(self, namespace: Namespace, directory: Path, suite: hub.Suite, spokes: Iterable[int], *,
                 start: str = "answer", program: Sequence[str] = ("-m", "ikeengine")) -> None:
        numbers = list(spokes)
        self._declared, self._keys = hub.hub(suite, numbers, start), hub.keys(numbers)
        super().__init__(namespace, directory, self._declared, self._keys, program)

    def reload(self, changed: int) -> hub.Json:
        """Have the first ``changed`` tunnels' routes begin at another network of ours; returns what came of it."""
        for tunnel in self._declared["tunnels"][:changed]:
            tunnel["routes"][0]["local"] = hub.OTHER_LAN
        return self.ask("reload", declaration=self._declared, secrets=self._keys)


class Theirs:
    """charon with one connection for all peers, and its userspace data plane."""

    name = "charon"
    settings = """\
ikesa_table_size = 4096
  ikesa_table_segments = 16
  install_routes = no
  keep_alive = 0"""
    """A hash table fit for the load; no route for each child, as its counterpart needs none either."""

    def __init__(self, namespace: Namespace, directory: Path, suite: hub.Suite, settings: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._suite = suite
        self._charon = Charon(namespace, directory, kernel=LIBIPSEC, level=-1, detail=-1,
                              settings=f"{self.settings}\n  {settings}")

    def start(self) -> int:
        self._charon.start()
        self._charon.load(hub.swanctl(self._suite))
        return self._charon.pid

    def stop(self) -> None:
        self._charon.kill()

    def children(self) -> int:
        return sum(child["state"] == "INSTALLED" for sa in self._charon.list_sas()
                   for child in sa["child-sas"].values())
