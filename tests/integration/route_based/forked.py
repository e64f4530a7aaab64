# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons forked from a process that has imported them once, which takes an emulated processor the most time."""

from __future__ import annotations

import ctypes
import os
import runpy
import sys
import time
import traceback
from collections.abc import Sequence
from typing import IO

import ikeengine.daemon.service  # noqa: F401  what the children are not to import again

from tests.testbed.network import NAMESPACES, Namespace

from .bed import SOURCES

_CLONE_NEWNET = 0x40000000
_PAUSE = 0.02


class Forked:
    """See `bed.Process`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 0)
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() > deadline:
                raise TimeoutError(f"process {self._pid} does not end")
            time.sleep(_PAUSE)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)


def forked(arguments: Sequence[str], namespace: Namespace, log: IO[bytes]) -> Forked:
    """A daemon as a child of this process."""
    pid = os.fork()
    if pid:
        return Forked(pid)
    status = 0
    try:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        with (NAMESPACES / namespace.name).open() as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        os.chdir(SOURCES)
        sys.argv = ["ikeengine", *arguments]
        runpy.run_module("ikeengine", run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
