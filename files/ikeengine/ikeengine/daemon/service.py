# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the command line to a daemon that serves, and back to an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from ..dataplane.interface import DataPlaneError
from ..vpn.declaration import DeclarationError
from .declared import Declared, UnreadableFile, load, parse
from .log import Log
from .planes import Unservable
from .privileges import PrivilegeError, drop_to, keep_secrets_in_memory, own_directory
from .udp import PortTaken


@dataclass(frozen=True)
class Options:
    """As the command line gives them."""

    declaration: Path
    secrets: Path
    control: Path
    user: str | None


class CannotStart(Exception):
    """The daemon cannot begin to serve; the text says why and what to do."""


def read(options: Options) -> Declared:
    """Raises CannotStart with all findings."""
    try:
        return parse(load(options.declaration), load(options.secrets))
    except DeclarationError as error:
        findings = "\n".join(f"  {finding.message}" for finding in error.findings)
        raise CannotStart(f"the declaration {options.declaration} is not valid:\n{findings}") from None
    except UnreadableFile as error:
        raise CannotStart(str(error)) from None


def serve(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotStart."""
    log = Log()
    logging.getLogger("asyncio").disabled = True  # what it would say comes to us through the loop's exception handler
    declared = read(options)
    try:
        own_directory(options.control.parent, options.user)
        if options.user is not None:
            drop_to(options.user)
        keep_secrets_in_memory()
        asyncio.run(_serve(declared, options.control, log))
    except (PrivilegeError, PortTaken, Unservable, DataPlaneError) as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(error.strerror or str(error)) from None


def flush() -> None:
    """Remove every policy, SA, route and device that an earlier run left. Raises CannotStart."""


async def _serve(declared: Declared, control: Path, log: Log) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _report(log, context))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, log.notice, "SIGHUP changes nothing: a reload goes through ikectl reload")
