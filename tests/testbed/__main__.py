# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.testbed``: beds from the command line, for people and for molecule."""

import argparse
import subprocess
import sys
from pathlib import Path

from .command import CommandFailed
from .host import BootFailed
from .requirements import missing
from .topology import Bed, BedExists, NoAddressLeft

_SSH_FAILED = 255


def main(arguments: list[str] | None = None) -> int:
    """Do what was asked; returns the exit status: 0 done, 1 failed, 2 this machine cannot."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.testbed", description="Beds of hosts on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say what this machine lacks, if anything")
    commands.add_parser("demo", help="build the demo's bed, run its playbook twice and prove the tunnels")
    for command, text in {
        "up": "build a bed",
        "down": "remove every trace of a bed",
        "status": "say what of a bed is running",
        "ssh-config": "print the ssh configuration that reaches its hosts",
        "shell": "a shell on one of its hosts",
    }.items():
        one = commands.add_parser(command, help=text)
        one.add_argument("name")
        if command == "up":
            one.add_argument("--init", choices=("systemd", "sshd"), default="systemd", help="what PID 1 is")
        if command == "shell":
            one.add_argument("host", choices=("hq", "branch"))
    asked = parser.parse_args(arguments)

    if lacking := missing():
        print("This machine cannot hold a test bed; nothing was changed:", file=sys.stderr)
        print("\n".join(f"  - {line}" for line in lacking), file=sys.stderr)
        return 2
    try:
        return carry_out(asked)
    except (BedExists, NoAddressLeft, CommandFailed, BootFailed, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def carry_out(asked: argparse.Namespace) -> int:
    if asked.command == "check":
        return 0
    if asked.command == "demo":
        from .demo import demo

        return demo()
    if asked.command == "up":
        Bed(asked.name, init=asked.init).up()
        return 0
    bed = Bed(asked.name)
    if asked.command == "down":
        bed.down()
    elif not bed.ssh_config.exists():
        print(f"error: the bed {asked.name!r} is not up", file=sys.stderr)
        return 1
    elif asked.command == "ssh-config":
        print(bed.ssh_config.read_text(), end="")
    elif asked.command == "shell":
        return shell(bed.ssh_config, asked.host)
    else:
        return status(bed)
    return 0


def shell(ssh_config: Path, host: str) -> int:
    """A shell on a host. It ends with its last command's status, which is no failure of ours; 255 is ssh's own."""
    ended = subprocess.call(["ssh", "-t", "-F", str(ssh_config), host])
    return ended if ended == _SSH_FAILED else 0


def status(bed: Bed) -> int:
    """Print a line for each part of `bed`; returns 0 if all of it is running."""
    running = [host.running for host in bed.hosts.values()]
    for (name, host), up in zip(bed.hosts.items(), running, strict=True):
        print(f"{name:11} {bed.addresses[name]:15} {f'running, PID {host.pid}' if up else 'stopped'}")
    for name, namespace in bed.namespaces.items():
        running.append(namespace.exists)
        print(f"{name:11} {'':15} {'there' if namespace.exists else 'gone'}")
    return 0 if all(running) else 1


if __name__ == "__main__":
    sys.exit(main())
