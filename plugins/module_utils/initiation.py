# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has gateways begin that nothing else has begin for now."""

from __future__ import annotations

from collections.abc import Sequence

from . import control
from .control import ControlError
from .store import Store, StoreError
from .vpn.reading import nearest

_AT_ONCE = 0.001
"""Seconds that the daemon waits for the outcome: whoever wants to know it looks later, for all at once."""
_UNDER_WAY = {"timeout", "negotiation_failed"}


class Refused(Exception):
    """Nothing was begun."""


def initiate(gateways: Sequence[str] | None, *, check_mode: bool, store: Store | None = None,
             socket: str = control.PATH) -> list[str]:
    """The gateways that begin now: those of ``gateways``, by default all that wait for traffic (``start: traffic``),
    that have a tunnel which is not up. Raises Refused."""
    try:
        declared = (store or Store()).load().declaration.get("gateways", [])
        for index, name in enumerate(gateways or ()):
            _check(index, name, [row["name"] for row in declared])
        wanted = [row["name"] for row in declared if row["start"] == "traffic"] if gateways is None else gateways
        if not wanted:  # so that a daemon which is not there is left to the proof, which waits for it
            return []
        tunnels = control.request("status", path=socket)["tunnels"]
        down = {tunnel["gateway"] for tunnel in tunnels if tunnel["state"] != "up"}
        begun = [name for name in dict.fromkeys(wanted) if name in down]
        for name in begun if not check_mode else ():
            _begin(name, socket)
    except (StoreError, ControlError) as error:
        raise Refused(str(error)) from None
    return begun


def _check(index: int, name: str, declared: Sequence[str]) -> None:
    if name not in declared:
        near = nearest(name, declared)
        raise Refused(f"gateways[{index}] is '{name}': the host declares no gateway of that name. "
                      + (f"Did you mean {near}? Write {near}" if near else "Declare it, or leave it out"))


def _begin(name: str, socket: str) -> None:
    try:
        control.request("up", path=socket, gateway=name, timeout=_AT_ONCE)
    except ControlError as error:
        if error.code not in _UNDER_WAY:
            raise
