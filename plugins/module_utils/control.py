# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the daemon's control socket: one JSON object per line each way (docs/design.md, "Control protocol")."""

from __future__ import annotations

import json
import socket
from typing import Any

PATH = "/run/ikeengine/control.sock"
VERSION = 1


class ControlError(Exception):
    """The daemon's refusal, in its own words; ``code`` is the protocol's, ``findings`` are those of a declaration."""

    def __init__(self, message: str, code: str = "", findings: list[Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.findings = code, findings or []


class NotRunning(ControlError):
    """Nobody answers at the socket."""


def request(command: str, *, path: str = PATH, timeout: float = 10.0, **arguments: Any) -> dict[str, Any]:
    """Send one command and return its result. ``timeout`` is seconds. Raises ControlError and NotRunning."""
    line = json.dumps({"version": VERSION, "command": command, **arguments}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(path)
            sock.sendall(line)
            with sock.makefile("rb") as answers:
                raw = answers.readline()
        except TimeoutError:
            raise ControlError(f"ikeengine did not answer {command} within {timeout:g} s", "timeout") from None
        except OSError as error:
            raise NotRunning(f"ikeengine is not running: {path}: {error.strerror}", "not_running") from None
    return _result(command, raw)


def _result(command: str, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
        if answer["ok"]:
            return dict(answer["result"])
        error = answer["error"]
        raise ControlError(str(error["message"]), str(error["code"]), error.get("findings"))
    except (ValueError, KeyError, TypeError):
        raise ControlError(f"ikeengine's answer to {command} is none of version {VERSION}", "protocol") from None
