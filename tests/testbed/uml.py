# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second kernel, with ESP and AH in it: scripts run inside User-Mode Linux, on this machine's files."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import CHECKOUT

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
INIT = Path(__file__).with_name("uml-init.sh")
OWN = {"output", "exit_status"}


@dataclass(frozen=True, slots=True)
class UmlResult:
    """How a script ended: its exit status, all that it printed, and the files that it left in $RESULTS."""

    exit_status: int
    output: str
    files: dict[str, bytes]


class UmlFailed(RuntimeError):
    """The virtual machine did not run the script to its end; the message has its console and the output so far."""


def run_in_uml(script: str, *, timeout: float = 120, memory: str = "512M") -> UmlResult:
    """Run a bash script as root on a machine of its own, whose kernel has ESP, AH and XFRM.

    It sees this machine's files, starts in the checkout, and may change anything: changes are kept in its memory and
    end with it, except for what it leaves in the folder $RESULTS. It has one processor and no network but what it
    makes. `timeout` is in seconds, `memory` in the kernel's notation. Raises UmlFailed.
    """
    with tempfile.TemporaryDirectory(prefix="uml-") as name:
        folder = Path(name)
        results = folder / "results"
        results.mkdir()
        (folder / "script").write_text(script)
        console = _boot(folder, timeout, memory)
        output = (results / "output").read_text(errors="replace") if (results / "output").exists() else ""
        status = results / "exit_status"
        if not status.exists():
            raise UmlFailed(f"User-Mode Linux did not finish within {timeout:g} s\n{console}\n{output}")
        files = {path.name: path.read_bytes() for path in results.iterdir() if path.name not in OWN}
        return UmlResult(int(status.read_text()), output, files)


def _boot(folder: Path, timeout: float, memory: str) -> str:
    """Boot, wait for the end or kill it, and return what the console said."""
    kernel = shutil.which(KERNEL)
    modules = sorted(MODULES.glob("*"))
    if kernel is None or not modules:
        raise UmlFailed("User-Mode Linux is not installed: apt-get install user-mode-linux kmod")
    arguments = [
        f"mem={memory}",
        "root=/dev/root rootfstype=hostfs rootflags=/ ro quiet",
        f"init={INIT}",
        f"uml_dir={folder} umid=uml",
        "con=null con0=null,fd:1 con1=null",
        # The kernel hands what it does not know to init, in its environment.
        f"FOLDER={folder} MODULES={modules[-1]} WORK={CHECKOUT}",
    ]
    with (folder / "console").open("wb") as console:
        machine = subprocess.Popen(
            [kernel, *" ".join(arguments).split(" ")],
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
            # The guest's processes are in the group of the kernel's; no other process is.
            with suppress(ProcessLookupError):
                os.killpg(machine.pid, signal.SIGKILL)
            machine.wait()
    return (folder / "console").read_text(errors="replace")
