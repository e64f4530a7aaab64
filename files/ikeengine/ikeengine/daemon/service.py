# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the command line to a daemon that serves, and back to an orderly end."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .. import __version__
from ..dataplane import leftovers
from ..dataplane.interface import DataPlaneError
from ..dataplane.userspace.tun import DEVICE
from ..ike.context import Settings
from ..sa_manager import IkeSaManager
from .address_watch import watch
from .commands import Commands
from .control import ControlServer, answers, trail
from .declared import CannotStart, Declared, Options, read
from .engine import Engine
from .host import Host
from .key_export import CannotExport, KeyExport
from .log import Log
from .planes import DataPlanes, Unservable
from .privileges import PrivilegeError, drop_to, keep_secrets_in_memory, open_to_users, own_directory
from .routes import has_address
from .status import abilities_as_json
from .supervisor import notify, supervised, watchdog_interval
from .udp import PortTaken, UdpSockets

#: Seconds after which a thread that reads a declaration lets the event loop go on.
_SWITCH_INTERVAL = 0.0005
#: Of the collector of cycles: a full look comes after some twenty thousand new objects, which takes ten milliseconds.
_THRESHOLDS = 700, 10, 3


def serve(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotStart."""
    declared, log = read(options), Log(options.log_level)
    key_export = _key_export(options, log)
    try:
        own_directory(options.control.parent, options.user)
        if options.user is not None:
            open_to_users(Path(DEVICE))
            drop_to(options.user)
        keep_secrets_in_memory()
        asyncio.run(_serve(declared, options.control, log, key_export))
    except (PrivilegeError, PortTaken, Unservable, DataPlaneError) as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(error.strerror or str(error)) from None


def flush(options: Options) -> None:
    """Remove every policy, SA, route, table and device that an earlier run left. Raises CannotStart."""
    if answers(options.control):
        raise CannotStart(f"an ikeengine runs and answers at {options.control}: ikectl flush does it there")
    if errors := leftovers.clear():
        raise CannotStart("; ".join(map(str, errors)))


def _key_export(options: Options, log: Log) -> KeyExport | None:
    """What ``--debug-keys`` asks for; nothing else can. Raises CannotStart."""
    if options.debug_keys is None:
        return None
    if supervised():
        raise CannotStart("--debug-keys: a service writes no keys; stop it and start ikeengine in the foreground")
    try:
        export = KeyExport(options.debug_keys)
    except CannotExport as error:
        raise CannotStart(f"--debug-keys: {error}") from None
    log.warning("THE KEYS OF EVERY SA ARE WRITTEN TO A FILE: whoever has it reads all traffic; start without "
                "--debug-keys and delete it as soon as nobody needs it", directory=str(export.directory))
    return export


async def _serve(declared: Declared, control: Path, log: Log, key_export: KeyExport | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _report(log, context))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, log.notice, "SIGHUP changes nothing: ikectl reload hands a declaration over")

    sys.setswitchinterval(_SWITCH_INTERVAL)
    sockets = UdpSockets()
    sockets.open()
    host = Host(sockets, loop)
    planes = DataPlanes(host.choose, host.makers, host.foreign)
    manager = IkeSaManager(declared.side, allocate_spi=planes.allocate_spi, encapsulate=planes.encapsulates,
                           settings=Settings(export_keys=key_export is not None), reqid=planes.reqid,
                           extended_sequence_numbers=planes.extended_sequence_numbers, source=host.source,
                           has_address=has_address, received=planes.packets_in, is_acceptable=planes.is_acceptable,
                           unix_time=lambda _now: time.time())
    engine = Engine(manager, planes, sockets, host.decapsulate, log, key_export)
    server = ControlServer(control, Commands(engine, declared, host.abilities, log), log)
    await server.start()
    try:
        engine.start(declared.side)
        for error in leftovers.clear(host.abilities().keys() - host.makers.keys()):
            log.warning("could not take away what another data plane left", reason=str(error))
        addresses = watch(loop, manager.ways, engine.path_changed, engine.addresses_changed, log)
        log.notice("ikeengine started", version=__version__, site=declared.side.name,
                   gateways=len(declared.side.gateways), tunnels=len(declared.side.tunnels))
        _set_heap_apart()
        notify("READY=1")
        watchdog = asyncio.ensure_future(_show_life())
        await ended.wait()
        watchdog.cancel()
        if addresses is not None:
            addresses.close()
    finally:
        notify("STOPPING=1")
        await server.stop()
        await engine.stop()
    log.notice("ikeengine stopped; what was declared stays blocked until it runs again, or ikeengine --flush")


def abilities() -> dict[str, object]:
    """What the control command ``abilities`` answers, asked of the host without a daemon."""
    async def ask() -> dict[str, object]:
        host = Host(UdpSockets(), asyncio.get_running_loop())
        return {"dataplanes": abilities_as_json(host.abilities())}

    return asyncio.run(ask())


def _set_heap_apart() -> None:
    """Spare the collector of cycles what is there to stay, which it would look through again and again as IKE SAs come
    up, and stand still meanwhile: what is declared, and from then on whatever a full look has found alive. What a
    daemon lets go of is free without the collector, closed sessions too."""
    gc.collect()
    gc.freeze()
    gc.collect()  # which begins its count anew: how soon it looks again depends on how much there was
    gc.set_threshold(*_THRESHOLDS)
    gc.callbacks.append(_set_survivors_apart)


def _set_survivors_apart(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()


async def _show_life() -> None:
    while interval := watchdog_interval():
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def _report(log: Log, context: dict[str, Any]) -> None:
    """What escaped from a callback of the event loop: a bug, told in one line; the loop goes on."""
    error = context.get("exception")
    log.error("the daemon failed inside; please report it", kind=type(error).__name__ if error else "event loop",
              trail=trail(error) if error else None, what=str(context.get("message")))
