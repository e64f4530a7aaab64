# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine must offer for a test bed. Looked at only: nothing is changed, loaded or installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .host import cgroup_root

PYTHON = (3, 11)
SYSTEMD = 250
CAP_SYS_ADMIN = 21


def missing() -> list[str]:
    """A sentence for each thing that this machine lacks; empty if a test bed can be built."""
    privileged = _privileged()
    found = [
        f"Python {'.'.join(map(str, PYTHON))} or later: this is {sys.version.split()[0]}"
        if sys.version_info < PYTHON
        else "",
        "" if privileged else "root: namespaces, mounts and packages need it; run this as root (sudo)",
        _distribution(),
        _systemd(),
        _tun(),
        _namespaces(privileged),
        "" if cgroup_root() else "cgroup v2, mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified: systemd needs it",
        _overlay(),
    ]
    return [sentence for sentence in found if sentence]


def _privileged() -> bool:
    """Root with root's capabilities: a container's root may have none."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return os.geteuid() == 0 and effective is not None and bool(int(effective[1], 16) >> CAP_SYS_ADMIN & 1)


def _distribution() -> str:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        text = ""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    family = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    if "debian" in family and shutil.which("apt-get"):
        return ""
    return f"Debian 12 or a relative of it, with apt-get: this is {release.get('PRETTY_NAME', 'something else')}"


def _systemd() -> str:
    program = Path("/lib/systemd/systemd")
    if not program.exists():
        return ""  # then `make system-packages` installs the distribution's
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.match(r"systemd (\d+)", version)
    if number and int(number[1]) >= SYSTEMD:
        return ""
    return f"systemd {SYSTEMD} or later: this is {number[1] if number else 'of unknown version'}"


def _tun() -> str:
    try:
        # Opening the device creates no interface; it shows that the kernel has the driver and lets us use it.
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except PermissionError:
        return "" if os.geteuid() != 0 else "/dev/net/tun that may be opened: the userspace data plane needs it"
    except OSError as error:
        return f"/dev/net/tun ({os.strerror(error.errno or 0)}): the userspace data plane needs the kernel's TUN driver"
    return ""


def _namespaces(privileged: bool) -> str:
    kinds = ("net", "mnt", "pid", "uts", "ipc", "cgroup")
    lacking = [kind for kind in kinds if not Path(f"/proc/self/ns/{kind}").exists()]
    if lacking:
        return f"namespaces of the kernel: {', '.join(lacking)}"
    if privileged:
        argv = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"]
        tried = subprocess.run(argv, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            return f"leave to make namespaces: {tried.stderr.strip()}"
    return ""


def _overlay() -> str:
    if re.search(r"\boverlay$", Path("/proc/filesystems").read_text(), re.MULTILINE):
        return ""
    # Where it is a module that is not loaded yet, the first mount loads it.
    if Path(f"/lib/modules/{os.uname().release}/kernel/fs/overlayfs").exists():
        return ""
    return "overlayfs in the kernel: a host's root is a layer over the machine's packages"
