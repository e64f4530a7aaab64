# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's command line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from . import __version__, layout
from .daemon import supervisor
from .daemon.log import Level

_DIRECTORY = Path(layout.DIRECTORY)
_PAUSE = 1.0
"""Seconds until a supervisor, which starts us again for ever, may do so where we cannot start: after a crash it does so
at once, and before release 254 systemd has but one pause for both."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0: ended in order. 1: could not start, and said why. 2: wrong usage."""
    options = _parser().parse_args(arguments)
    from .daemon import declared  # after the arguments: a wrong one is told at once

    settings = declared.Options(
        declaration=options.declaration or _file(layout.DECLARATION),
        secrets=options.secrets or _file(layout.SECRETS),
        control=options.control or supervisor.runtime_directory() / layout.CONTROL_SOCKET,
        user=options.user, debug_keys=options.debug_keys, log_level=Level[options.log_level.upper()])
    try:
        if options.check:
            declared.read(settings, time.time())
            return 0
        from .daemon import service  # sockets, data planes and the protocol: what --check can do without

        if options.abilities:
            print(json.dumps(service.abilities()))
        elif options.flush:
            service.flush(settings)
        else:
            service.serve(settings)
    except declared.CannotStart as error:
        print(f"ikeengine: {error}", file=sys.stderr)
        if supervisor.supervised():
            time.sleep(_PAUSE)
        return 1
    return 0


def _file(name: str) -> Path:
    return supervisor.credential(name) or _DIRECTORY / name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ikeengine", description="The IKE daemon of tandem.vpn, in the foreground.")
    parser.add_argument("--declaration", type=Path, metavar="FILE",
                        help=f"what to start with (default: {_file(layout.DECLARATION)}); "
                             "a file that is not there declares nothing")
    parser.add_argument("--secrets", type=Path, metavar="FILE", help=f"its keys (default: {_file(layout.SECRETS)})")
    parser.add_argument("--control", type=Path, metavar="SOCKET",
                        help="the control socket (default: control.sock in $RUNTIME_DIRECTORY or /run/ikeengine)")
    parser.add_argument("--user", metavar="NAME", help="read the files as root, then become this user")
    parser.add_argument("--log-level", choices=[level.name.lower() for level in Level], default="info",
                        help="the least important that is logged (default: info)")
    parser.add_argument("--debug-keys", type=Path, metavar="DIRECTORY",
                        help="write the keys of every SA there for Wireshark, as a service never does: whoever has "
                             "them reads all traffic")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="only read the declaration and say what is wrong with it")
    action.add_argument("--flush", action="store_true",
                        help="only remove every policy, SA, route, table and device that an earlier run left")
    action.add_argument("--abilities", action="store_true",
                        help="only print, as JSON, what this host's kernel and userspace can do")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
