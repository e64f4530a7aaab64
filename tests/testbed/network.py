# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces and their links, by iproute2."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .command import run

NAMESPACES = Path("/run/netns")


def ip(*lines: str, namespace: str | None = None) -> None:
    """Run `lines` as one batch of ``ip`` commands, in `namespace` or the machine's own. Raises CommandFailed."""
    run(["ip", *(["-n", namespace] if namespace else []), "-batch", "-"], input="\n".join(lines) + "\n")


class Namespace:
    """A network namespace with a name: all that a LAN host or a router needs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        ip(f"netns add {self.name}")
        self.ip("link set lo up")

    @property
    def exists(self) -> bool:
        return (NAMESPACES / self.name).exists()

    @property
    def entry(self) -> list[str]:
        """The words before a command that make it run in here."""
        # Not `ip netns exec`: it mounts another /sys, which hides the cgroups.
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--"]

    def ip(self, *lines: str) -> None:
        ip(*lines, namespace=self.name)

    def run(
        self, argv: Sequence[str], *, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in here. Raises as `command.run` does."""
        return run([*self.entry, *argv], check=check, input=input, timeout=timeout)

    def forward(self, does: bool = True) -> None:
        """Let it forward IPv4, as a router does, or not."""
        self.run(["sysctl", "-q", "-w", f"net.ipv4.ip_forward={does:d}"])

    def delete(self) -> None:
        """Kill whoever still runs in it, then remove it and, with it, its links. May be repeated."""
        if not self.exists:
            return
        for pid in run(["ip", "netns", "pids", self.name], check=False).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        # The kernel removes a dead namespace's links when it gets round to it; nobody should see them meanwhile.
        for name in links(self.name):
            run(["ip", "-n", self.name, "link", "delete", name], check=False)
        ip(f"netns delete {self.name}")


def tidy() -> None:
    """Remove the folder of all namespaces, which ``ip netns`` made and mounted over itself, once it is empty."""
    with suppress(OSError):
        if not any(NAMESPACES.iterdir()):
            run(["umount", str(NAMESPACES)], check=False)
            NAMESPACES.rmdir()


def links(namespace: str | None = None, *, master: str | None = None) -> list[str]:
    """Names of the links in `namespace` (or the machine's own), or only the ports of the bridge `master`."""
    argv = ["ip", *(["-n", namespace] if namespace else []), "-json", "link", "show"]
    listed = run([*argv, *(["master", master] if master else [])], check=False).stdout
    return [link["ifname"] for link in json.loads(listed or "[]") if "ifname" in link]
