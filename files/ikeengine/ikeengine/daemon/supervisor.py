# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon says to its supervisor and gets from it: sd_notify(3) and credentials (systemd.exec(5)).

Without systemd all of it is silent.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from .. import layout


def notify(*assignments: str) -> None:
    """Tell the supervisor, as ``READY=1``. A supervisor that does not listen is no error."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(assignments).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return


def supervised() -> bool:
    """Whether a service manager runs us (systemd.exec(5), "Environment Variables Set or Propagated")."""
    return any(name in os.environ for name in ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"))


def notify_reloading() -> None:
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval() -> float | None:
    """Seconds between the signs of life that the supervisor expects: half of its limit, as it asks for."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2_000_000 if limit.isdigit() and int(limit) else None


def credential(name: str) -> Path | None:
    """The file of a credential that the supervisor gave us, or None."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory, name) if directory else None
    return path if path is not None and path.exists() else None


def runtime_directory() -> Path:
    """Where the control socket lives; the supervisor makes it, or root does at the first start."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", layout.RUNTIME_DIRECTORY).partition(":")[0])
