# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway declares, does and can do, whether or not its daemon runs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from . import control
from .configure import departures
from .store import Store, StoreError
from .vpn import by_hand

_POLL = 0.05
_MOST_EXPLAINED = 20
_NETLINK_XFRM = 6  # linux/netlink.h


def observe(wait_for: str, timeout: float, gateways: Collection[str] = ()) -> dict[str, Any]:
    """Look once, or until what ``wait_for`` names is there, of these ``gateways`` where it is about some, at most
    ``timeout`` seconds."""
    deadline, declared = time.monotonic() + timeout, _declared()
    while True:
        live, reason = _live()
        ready = _ready(wait_for, live, declared, gateways)
        if ready or time.monotonic() >= deadline:
            break
        time.sleep(_POLL)
    departures = _departures(live, reason)
    return {"declared": declared, "live": live, "reason": reason, "ready": ready, "departures": departures,
            "drift": [row["message"] for row in departures],
            "abilities": _abilities(live), "explained": _explained(live)}


def unproved(live: Mapping[str, Any], declared: Mapping[str, Any], gateway: str) -> str:
    """Why the two ends have not shown that they take each other by what the gateway declares, or nothing.

    One that the host keeps up has to be up for that. Where the peer or traffic begins, what is down has shown nothing,
    and nobody knows when it will: there nothing is asked. Nor is it of one without a tunnel, on which nothing depends.
    """
    if not any(row["gateway"] == gateway for row in declared.get("tunnels", ())):
        return ""
    found = next((row for row in live["gateways"] if row["name"] == gateway), {"ike": [], "last_error": None})
    if found["ike"] and all(ike["credential_in_force"] for ike in found["ike"]):
        return ""
    if found["ike"]:
        return f"is up by the old credential still: {found['last_error'] or 'its daemon names no error'}"
    if any(row["name"] == gateway and row["start"] == "boot" for row in declared.get("gateways", ())):
        return f"is down, so that nothing is shown: {found['last_error'] or 'its daemon names no error'}"
    return ""


def _explained(live: Mapping[str, Any]) -> dict[str, Any]:
    """What the daemon says of the gateways that have a tunnel which is not up; of a mesh that is down, of some."""
    lacking = dict.fromkeys(tunnel["gateway"] for tunnel in live.get("tunnels", ()) if tunnel["state"] != "up")
    try:
        return {name: control.request("explain", gateway=name)["explanations"][0]
                for name in islice(lacking, _MOST_EXPLAINED)}
    except control.ControlError:  # it has gone in between, and `reason` of the next look says so
        return {}


def _live() -> tuple[dict[str, Any], str]:
    try:
        return control.request("status"), ""
    except control.ControlError as error:
        return {}, str(error)


def _ready(wait_for: str, live: Mapping[str, Any], declared: Mapping[str, Any], gateways: Collection[str]) -> bool:
    if wait_for == "credentials":
        return bool(live) and not any(unproved(live, declared, gateway) for gateway in gateways)
    if wait_for == "tunnels":
        return bool(live) and all(tunnel["state"] == "up" for tunnel in live["tunnels"])
    return wait_for == "nothing" or bool(live)


def _declared() -> dict[str, Any]:
    try:
        return dict(Store().load().declaration)
    except StoreError as error:
        return {"error": str(error)}


def _departures(live: Mapping[str, Any], reason: str) -> list[dict[str, str]]:
    """What somebody changed by hand, as far as the host alone can tell."""
    store, found = Store(), []
    try:
        declared, exposed = store.load(), ", ".join(f"{path}: {mode}" for path, mode in store.exposed().items())
    except StoreError as error:
        return [_departure("declaration", "readable", "not readable", str(error))]
    if exposed:
        found.append(_departure("files on the host", "root's alone", exposed,
                                "the files on the host can be read by others than root"))
    if not declared:
        return found
    if not live:
        return [*found, _departure("daemon", "running", "not running", reason,
                                   "Start the service ikeengine, or run the playbook again")]
    try:
        found += [_departure("daemon", "as the files on the host say", "otherwise", sentence)
                  for sentence in departures(declared)]
        found += [_departure(row["what"], row["expected"], row["found"], by_hand.sentence(row),
                             "Run the playbook again, or ikectl mend") for row in _audited()]
    except control.ControlError as error:
        found.append(_departure("what the daemon installed", "looked at", "not looked at",
                                f"ikeengine cannot say what somebody may have changed by hand: {error}",
                                "Look into ikectl log, then run the playbook again"))
    return found


def _audited() -> list[dict[str, str]]:
    """What the daemon says of its own; one of an older release says nothing. Raises ControlError."""
    try:
        return list(control.request("audit")["departures"])
    except control.ControlError as error:
        if error.code != "unknown_command":
            raise
        return []


def _departure(what: str, expected: str, found: str, message: str,
               fix: str = "Run the playbook again") -> dict[str, str]:
    return {"what": what, "expected": expected, "found": found, "message": message, "fix": fix}


def _abilities(live: Mapping[str, Any]) -> dict[str, Any]:
    """The daemon's own findings where it runs; else what can be seen without it, which proves less."""
    if live:
        try:
            return {"source": "daemon", **control.request("abilities")}
        except control.ControlError:
            pass
    return {
        "source": "files",
        "kernel": platform.release(),
        "tun": os.access("/dev/net/tun", os.R_OK | os.W_OK),
        "xfrm": _has_xfrm(),
        "esp4": _has_module("esp4"),
        "esp6": _has_module("esp6"),
    }


def _has_xfrm() -> bool:
    """Loaded or there to be loaded. A socket of the family is not asked for, since that loads it."""
    try:
        rows = Path("/proc/net/netlink").read_text().splitlines()
    except OSError:
        return False
    return any(row.split()[1] == str(_NETLINK_XFRM) for row in rows) or _has_module("xfrm_user")


def _has_module(name: str) -> bool:
    """Loaded, built in or there to be loaded."""
    if Path("/sys/module", name).exists():
        return True
    folder = Path("/lib/modules", platform.release())
    lists = [folder / "modules.builtin", folder / "modules.dep"]
    return any(f"/{name}.ko" in path.read_text() for path in lists if path.exists())
