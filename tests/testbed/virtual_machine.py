# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script on a machine of its own, with another kernel on this machine's files: what all such machines share."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OWN = {"output", "exit_status"}


@dataclass(frozen=True, slots=True)
class Result:
    """How a script ended: its exit status, all that it printed, and the files that it left in $RESULTS."""

    exit_status: int
    output: str
    files: dict[str, bytes]


class MachineFailed(RuntimeError):
    """The virtual machine did not run the script to its end; the message has its console and the output so far."""


def run(name: str, script: str, timeout: float, command: Callable[[Path], Sequence[str]]) -> Result:
    """Boot the machine that `command` starts, and wait for its end or kill it after so many seconds.

    `command` gets a folder with the file `script` and the folder `results`, which the machine's init takes it from and
    puts it into. Raises MachineFailed.
    """
    with tempfile.TemporaryDirectory(prefix="machine-") as made:
        folder = Path(made)
        results = folder / "results"
        results.mkdir()
        (folder / "script").write_text(script)
        console = _boot(command(folder), folder / "console", timeout)
        output = (results / "output").read_text(errors="replace") if (results / "output").exists() else ""
        status = results / "exit_status"
        if not status.exists():
            raise MachineFailed(f"{name} did not finish within {timeout:g} s\n{console}\n{output}")
        files = {path.name: path.read_bytes() for path in results.iterdir() if path.name not in OWN}
        return Result(int(status.read_text()), output, files)


def _boot(command: Sequence[str], said: Path, timeout: float) -> str:
    """Returns what the console said."""
    with said.open("wb") as console:
        machine = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            # Its memory is a file; on a real disk every page of it would be written out.
            env={**os.environ, "TMPDIR": "/dev/shm"},
            start_new_session=True,
        )
        try:
            machine.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # A guest's processes may be processes here, in the group of the machine's; no other process is.
            with suppress(ProcessLookupError):
                os.killpg(machine.pid, signal.SIGKILL)
            machine.wait()
    return said.read_text(errors="replace")
