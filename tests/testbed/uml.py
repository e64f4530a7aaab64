# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second kernel, with ESP and AH in it: scripts run inside User-Mode Linux, on this machine's files."""

import shutil
from pathlib import Path

from . import CHECKOUT
from .virtual_machine import MachineFailed, Result, run

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
INIT = Path(__file__).with_name("uml-init.sh")


def run_in_uml(script: str, *, timeout: float = 120, memory: str = "512M") -> Result:
    """Run a bash script as root on a machine of its own, whose kernel has ESP, AH and XFRM, but no xfrm interfaces.

    It sees this machine's files, starts in the checkout, and may change anything: changes are kept in its memory and
    end with it, except for what it leaves in the folder $RESULTS. It has one processor and no network but what it
    makes. `timeout` is in seconds, `memory` in the kernel's notation. Raises MachineFailed.
    """
    kernel = shutil.which(KERNEL)
    modules = sorted(MODULES.glob("*"))
    if kernel is None or not modules:
        raise MachineFailed("User-Mode Linux is not installed: apt-get install user-mode-linux kmod")

    def command(folder: Path) -> list[str]:
        arguments = [
            f"mem={memory}",
            "root=/dev/root rootfstype=hostfs rootflags=/ ro quiet",
            f"init={INIT}",
            f"uml_dir={folder} umid=uml",
            "con=null con0=null,fd:1 con1=null",
            # The kernel hands what it does not know to init, in its environment.
            f"FOLDER={folder} MODULES={modules[-1]} WORK={CHECKOUT}",
        ]
        return [kernel, *" ".join(arguments).split(" ")]

    return run("User-Mode Linux", script, timeout, command)
