# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of its own on this machine: namespaces over the machine's packages, systemd or sshd as PID 1."""

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from .command import run
from .network import Namespace

INIT = Path(__file__).with_name("host-init.sh")
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": os.environ.get("TERM", "dumb"),
}
BOOT_SECONDS = 60
STOP_SECONDS = 10

Init = Literal["systemd", "sshd"]


class BootFailed(RuntimeError):
    """A host did not come up; the message ends with what its console said."""


def cgroup_root() -> Path | None:
    """Where this machine mounts cgroup v2: alone, or beside version 1; None where it is not mounted."""
    for candidate in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (candidate / "cgroup.procs").exists():
            return candidate
    return None


class Host:
    """One host. `folder` keeps its keys, console and PID; `namespace` is its network, made by the topology.

    Own mounts, PIDs, hostname, IPC, cgroups and network; own /etc, /run, /var and /root; nothing of the machine
    but its packages. With ``systemd`` it boots as a server does; with ``sshd`` there is no service manager at all.
    """

    def __init__(self, name: str, namespace: Namespace, folder: Path, *, init: Init = "systemd") -> None:
        self.name = name
        self.namespace = namespace
        self.folder = folder
        self.init: Init = init
        self._boot: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def pid(self) -> int:
        """The host's PID 1 as this machine sees it. Raises FileNotFoundError before `start`."""
        return int((self.folder / "pid").read_text())

    @property
    def running(self) -> bool:
        try:
            return os.readlink(f"/proc/{self.pid}/ns/net") == f"net:[{os.stat(self._network).st_ino}]"
        except OSError:
            return False

    @property
    def _network(self) -> str:
        return f"/run/netns/{self.namespace.name}"

    @property
    def _cgroup(self) -> Path:
        root = cgroup_root()
        if root is None:
            raise BootFailed("cgroup v2 is not mounted")
        return root / self.namespace.name

    def start(self, authorized_key: str) -> None:
        """Begin to boot, and return at once; `authorized_key` may log in as root. `wait` for the end of it."""
        (self.folder / "mnt").mkdir(parents=True)
        self.folder.chmod(0o700)
        (self.folder / "authorized_keys").write_text(authorized_key)
        key = self.folder / "ssh_host_ed25519_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key)])
        self._cgroup.mkdir()
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--"]
        with self.console.open("wb") as console:
            self._boot = subprocess.Popen(
                [*self.namespace.entry, *unshare, "/bin/sh", INIT, self.folder, self._cgroup, self.name, self.init],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
                start_new_session=True,
            )

    @property
    def host_key(self) -> str:
        """The public half of the key that its sshd shows: type and base64."""
        return " ".join((self.folder / "ssh_host_ed25519_key.pub").read_text().split()[:2])

    def wait(self, address: str) -> None:
        """Wait until it is booted and its sshd answers at `address`. Raises BootFailed."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self._boot is not None and self._boot.poll() is not None:
                raise BootFailed(f"{self.name}: its PID 1 ended\n{self.console.read_text()}")
            with suppress(OSError), socket.create_connection((address, 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    break
            time.sleep(0.02)
        else:
            raise BootFailed(f"{self.name}: no sshd at {address} after {BOOT_SECONDS} s\n{self.console.read_text()}")
        if self.init == "systemd":
            # "degraded" (a unit of the machine's that cannot run here) is a booted host as well.
            self.run(["systemctl", "is-system-running", "--wait"], check=False, timeout=BOOT_SECONDS)

    @property
    def entry(self) -> list[str]:
        """The words before a command that make it run in here."""
        return ["nsenter", "--target", str(self.pid), "--all", "--"]

    def run(
        self, argv: Sequence[str], *, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in here, as root, with none of this machine's environment. Raises as `command.run` does."""
        return run([*self.entry, *argv], check=check, input=input, timeout=timeout, env=ENVIRONMENT)

    def put(self, octets: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file of root's in here, with the folders above it. Raises subprocess.CalledProcessError."""
        install = ["install", "-D", "-m", f"{mode:o}", "/dev/stdin", path]
        subprocess.run([*self.entry, *install], input=octets, env=ENVIRONMENT, check=True, timeout=60)

    def get(self, path: str) -> bytes:
        """What a file in here holds. Raises subprocess.CalledProcessError."""
        read = subprocess.run(
            [*self.entry, "cat", path], env=ENVIRONMENT, check=True, timeout=60, stdout=subprocess.PIPE
        )
        return read.stdout

    def stop(self) -> None:
        """Kill everything in it and remove its cgroup; found by the cgroup alone, so a lost folder does not matter."""
        cgroup = self._cgroup
        if not cgroup.exists():
            return
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            (cgroup / "cgroup.kill").write_text("1")
            try:
                for path in sorted((entry for entry in cgroup.rglob("*") if entry.is_dir()), reverse=True):
                    path.rmdir()
                cgroup.rmdir()
                return
            except OSError:
                # Busy: the killed take a moment to die, and one that was just being born may have joined.
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
