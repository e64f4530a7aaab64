# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control socket can ask for (docs/design.md, "Control protocol")."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any

from .. import __version__, layout
from ..dataplane.capabilities import Capabilities
from ..dataplane.interface import DataPlaneError, Departure
from ..ike.events import Event, Failed
from ..reload import ReloadResult
from ..vpn import declaration
from ..vpn.declaration import DeclarationError
from ..vpn.model import Tunnel
from ..vpn.reading import shown
from .control import CommandError, Json
from .declared import NOTHING, Declared, parse
from .engine import Engine
from .log import Entry, Log
from .planes import Unservable
from .status import StatusWriter, abilities_as_json, availability_as_json
from .supervisor import notify, notify_reloading

_UP_TIMEOUT = 30.0
_FOLLOWER_BACKLOG = 1000
_AT_ONCE = 50  # gateways of a status


class Commands:
    """Answers requests; an instance is what a ControlServer calls."""

    def __init__(self, engine: Engine, declared: Declared, abilities: Callable[[], Mapping[str, Capabilities]],
                 log: Log) -> None:
        self._engine = engine
        self._declared = declared
        self._abilities = abilities
        self._log = log
        self._started_at = time.time()
        self._reloading = asyncio.Lock()
        self._commands: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "status": self._status, "up": self._up, "down": self._down, "rekey": self._rekey,
            "reload": self._reload, "flush": self._flush, "log": self._log_entries, "abilities": self._list_abilities,
            "explain": self._explain, "audit": self._audit, "mend": self._mend,
        }

    async def __call__(self, request: Json) -> AsyncIterator[Json]:
        """The results of one request. Raises CommandError."""
        name = request["command"]
        if name == "log" and request.get("follow"):
            async for result in self._follow_log(request):
                yield result
            return
        command = self._commands.get(name)
        if command is None:
            raise CommandError("unknown_command", f"there is no command {name!r:.40}; there are "
                                                  f"{', '.join(sorted(self._commands))}")
        yield await command(request)

    async def _status(self, request: Json) -> Json:
        manager = self._engine.manager
        writer = StatusWriter(self._engine.planes, self._engine.now(), time.time())
        udp = self._engine.sockets.counters
        drops = dict(manager.counters)
        drops["malformed"] = drops.get("malformed", 0) + udp.malformed
        drops["esp_unknown_spi"] = self._engine.esp_of_unknown_spi
        async with self._reloading:  # while it is in force; all else gets its turn now and then
            gateways: list[Json] = []
            tunnels: list[Json] = []
            for number, gateway in enumerate(self._declared.side.gateways, 1):
                gateways.append(writer.gateway(manager.overview.gateway(gateway.name)))
                tunnels += map(writer.tunnel, manager.overview.tunnels_at(gateway.name))
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
        return {
            "daemon": {"version": __version__, "pid": os.getpid(), "started_at": self._started_at,
                       "declaration_digest": self._declared.digest, **self._keys_digest(request)},
            "dataplanes": availability_as_json(self._abilities()),
            "gateways": gateways,
            "tunnels": tunnels,
            "counters": {"datagrams_received": udp.received, "datagrams_dropped": drops,
                         "packets_dropped": self._engine.planes.drops(), "datagrams_unsent": udp.send_failed},
        }

    def _keys_digest(self, request: Json) -> Json:
        """By which whoever has the same keys and made up the challenge sees that these are in force here."""
        challenge = request.get("challenge")
        if challenge is None:
            return {}
        try:
            key = bytes.fromhex(challenge)
        except (TypeError, ValueError):
            raise CommandError("bad_request", "challenge is no hexadecimal text") from None
        _declaration, keys = declaration.write(self._declared.side)
        return {"keys_digest": declaration.keyed_digest(keys, key)}

    async def _audit(self, request: Json) -> Json:
        return {"departures": _departures(self._engine.audit)}

    async def _mend(self, request: Json) -> Json:
        mended = _departures(self._engine.mend)
        for row in mended:
            self._log.notice("mended what somebody changed by hand", **row)
        return {"mended": mended}

    async def _explain(self, request: Json) -> Json:
        """By a gateway's name, or by an address, which may be that of a peer that no gateway is declared for."""
        name, manager = request.get("gateway"), self._engine.manager
        since_epoch = time.time() - self._engine.now()

        def unix(moment: float) -> float:
            return round(moment + since_epoch, 6)

        if any(item.name == name for item in self._declared.side.gateways):
            return {"explanations": [manager.overview.explain(str(name), unix)]}
        try:
            found = manager.overview.explain_address(ip_address(str(name)), unix)
        except ValueError:
            tunnel = self._tunnel(name)
            if tunnel is None:
                raise self._unknown("gateway", name) from None
            raise _no_gateway(tunnel, f"ikectl explain {tunnel.gateway} tells of both") from None
        if not found:
            strangers = ", ".join(str(row) for row in reversed(manager.overview.strangers())) or "none"
            raise CommandError("not_found", f"no gateway is declared with {name}, and nothing came from there lately; "
                                            f"other peers that no gateway is declared for: {strangers}")
        return {"explanations": found}

    async def _up(self, request: Json) -> Json:
        gateway, tunnel = self._named(request)
        timeout = _timeout(request)

        def is_up() -> bool:
            states = {item.name: item.state for item in self._engine.manager.overview.tunnels_at(gateway)}
            if tunnel is not None:
                return states[tunnel] == "up"
            return self._gateway_state(gateway) == "established" and all(state == "up" for state in states.values())

        def begin() -> None:
            self._engine.manager.initiate(gateway, self._engine.now(), tunnel)
            if not self._engine.manager.overview.tunnels_at(gateway):  # it is not held down any more, but that is all
                raise CommandError("not_found", f"no tunnel is declared under gateway {gateway}, so there is nothing "
                                                f"to bring up: declare one in tunnels, with gateway: {gateway}")

        if not is_up():
            subject = _label(gateway, tunnel)
            await self._until(is_up, begin, _failure_of(gateway, tunnel), timeout,
                              f"{subject} is not up after {timeout:g} s")
        return {"up": [_label(gateway, tunnel)]}

    async def _down(self, request: Json) -> Json:
        gateway, tunnel = self._named(request)
        closed = [f"tunnel {item.name}" for item in self._engine.manager.overview.tunnels_at(gateway)
                  if tunnel in (None, item.name) and any(route.children for route in item.routes)]
        if tunnel is None and self._gateway_state(gateway) != "down":
            closed.insert(0, f"gateway {gateway}")
        self._engine.manager.terminate(gateway, self._engine.now(), tunnel, "taken down by the operator")
        self._engine.pump()
        return {"closed": closed}

    async def _rekey(self, request: Json) -> Json:
        gateway, tunnel = self._named(request)
        timeout, anew = _timeout(request), request.get("reauthenticate", False)
        if anew not in (False, True) or (anew and tunnel is not None):
            raise CommandError("bad_request", "reauthenticate is true or false, and for a gateway alone")
        manager, now = self._engine.manager, self._engine.now()
        before = self._generation(gateway, tunnel)
        subject = _label(gateway, tunnel)
        if not before:
            raise CommandError("not_up", f"{subject} is not up, so there is nothing to rekey; ikectl up brings it up")

        def is_rekeyed() -> bool:
            after = self._generation(gateway, tunnel)
            return len(after) >= len(before) and before.isdisjoint(after)

        def begin() -> None:
            if anew:
                if not manager.replace(gateway, now):
                    raise CommandError("not_up", f"{subject} can only be begun by its peer, whose address is not known")
            elif tunnel is None:
                manager.rekey_ike(gateway, now)
            else:
                manager.rekey_child(tunnel, now)

        await self._until(is_rekeyed, begin, _failure_of(gateway, tunnel), timeout,
                          f"{subject} has no new SA after {timeout:g} s")
        return {"rekeyed": [subject]}

    async def _reload(self, request: Json) -> Json:
        data, secrets = request.get("declaration"), request.get("secrets", NOTHING)
        if not isinstance(data, dict) or not isinstance(secrets, dict):
            raise CommandError("bad_request", "reload takes two objects: declaration and secrets")
        try:
            async with self._reloading:
                # Beside the event loop, which would stand still for a tenth of a second with a thousand gateways.
                return self._take(await asyncio.to_thread(parse, data, secrets, time.time()))
        except DeclarationError as error:
            raise CommandError("invalid_declaration", str(error),
                               findings=[finding.as_dict() for finding in error.findings]) from None

    async def _flush(self, request: Json) -> Json:
        async with self._reloading:
            return self._take(parse(NOTHING, NOTHING))

    async def _log_entries(self, request: Json) -> Json:
        return {"entries": [entry.as_dict() for entry in self._log.entries(_lines(request))]}

    async def _follow_log(self, request: Json) -> AsyncIterator[Json]:
        entries: asyncio.Queue[Entry] = asyncio.Queue(_FOLLOWER_BACKLOG)

        def hear(entry: Entry) -> None:
            if not entries.full():  # a follower that does not read loses entries; the daemon does not wait for it
                entries.put_nowait(entry)

        for entry in self._log.entries(_lines(request)):
            hear(entry)
        with self._log.followed(hear):
            while True:
                yield {"entries": [(await entries.get()).as_dict()]}

    async def _list_abilities(self, request: Json) -> Json:
        return {"dataplanes": abilities_as_json(self._abilities())}

    def _take(self, declared: Declared) -> Json:
        notify_reloading()
        try:
            result = self._engine.reload(declared.side)
        except Unservable as error:
            raise CommandError("invalid_declaration", str(error),
                               findings=[{"message": reason} for reason in error.reasons]) from None
        except DataPlaneError as error:
            raise CommandError("data_plane_failed", f"{error}; the old declaration stays in force") from None
        finally:
            notify("READY=1")
        self._declared = declared
        changes = _changes(result)
        self._log.notice("declaration reloaded", **{kind: ", ".join(names) for kind, names in changes.items()
                                                    if names and kind != "unchanged"})
        return changes

    def _named(self, request: Json) -> tuple[str, str | None]:
        """The gateway, and the tunnel where one is named. Raises CommandError for unknown names."""
        gateway, tunnel = request.get("gateway"), request.get("tunnel")
        if gateway is None and tunnel is None:
            raise CommandError("bad_request", f"{request['command']} needs a gateway or a tunnel")
        if tunnel is not None:
            declared = self._tunnel(tunnel)
            if declared is None:
                raise self._unknown("tunnel", tunnel)
            if gateway not in (None, declared.gateway):
                raise CommandError("not_found", f"tunnel {tunnel} belongs to gateway {declared.gateway}, "
                                                f"not to {gateway!r:.80}")
            return declared.gateway, declared.name
        if not any(item.name == gateway for item in self._declared.side.gateways):
            declared = self._tunnel(gateway)
            if declared is None:
                raise self._unknown("gateway", gateway)
            raise _no_gateway(declared, f"name it as one (--tunnel {declared.name})")
        return str(gateway), None

    def _tunnel(self, name: Any) -> Tunnel | None:
        return next((item for item in self._declared.side.tunnels if item.name == name), None)

    def _unknown(self, kind: str, name: Any) -> CommandError:
        """Nothing is declared after a flush, too, of which whoever asks may not know."""
        side = self._declared.side
        names = ", ".join(item.name for item in (side.gateways if kind == "gateway" else side.tunnels))
        known = f"there are {names}" if names else "there is none"
        if not side.gateways:
            known = "nothing is declared: ikectl reload takes what this host's files declare"
        return CommandError("not_found", f"no {kind} {name!r:.80} is declared; {known}")

    def _gateway_state(self, name: str) -> str:
        return self._engine.manager.overview.gateway(name).state

    def _generation(self, gateway: str, tunnel: str | None) -> set[bytes | int]:
        """What tells the SAs of now from their successors: IKE SPIs of a gateway, inbound SPIs of a tunnel."""
        manager = self._engine.manager
        if tunnel is None:
            return {ike.spi_i for ike in manager.overview.gateway(gateway).ike}
        return {child.sa.spi_in for item in manager.overview.tunnels_at(gateway) if item.name == tunnel
                for route in item.routes for child in route.children}

    async def _until(self, holds: Callable[[], bool], begin: Callable[[], None], fails: Callable[[Event], None],
                     timeout: float, otherwise: str) -> None:
        """``begin``, then wait until ``holds``; ``fails`` sees every event and may raise."""
        with self._engine.watched() as events:
            begin()
            self._engine.pump()
            try:
                async with asyncio.timeout(timeout):
                    while not holds():
                        fails(await events.get())
            except TimeoutError:
                raise CommandError("timeout", f"{otherwise}; ikectl log may say why") from None


def _departures(find: Callable[[], list[Departure]]) -> list[dict[str, str]]:
    try:
        return [{"what": row.what, "expected": row.expected, "found": row.found} for row in find()]
    except DataPlaneError as error:
        raise CommandError("data_plane_failed", str(error)) from None


def _changes(result: ReloadResult) -> dict[str, list[str]]:
    return {"added": list(result.added), "changed": list(result.changed), "removed": list(result.removed),
            "unchanged": list(result.unchanged)}


def _failure_of(gateway: str, tunnel: str | None) -> Callable[[Event], None]:
    """A watcher that raises CommandError when the negotiation of what is named fails."""

    def watch(event: Event) -> None:
        if (isinstance(event, Failed) and event.gateway == gateway
                and (tunnel is None or event.tunnel in (None, tunnel))):
            raise CommandError("negotiation_failed", str(event.reason), gateway=gateway, tunnel=event.tunnel,
                               notify=event.notify)

    return watch


def _label(gateway: str, tunnel: str | None) -> str:
    return f"gateway {gateway}" if tunnel is None else f"tunnel {tunnel}"


def _no_gateway(tunnel: Tunnel, fix: str) -> CommandError:
    return CommandError("not_found", f"{tunnel.name} is a tunnel of gateway {tunnel.gateway}, not a gateway: {fix}")


def _timeout(request: Json) -> float:
    timeout, longest = request.get("timeout", _UP_TIMEOUT), layout.LONGEST_TIMEOUT
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= longest:
        raise CommandError("bad_request", f"timeout is {shown(timeout)}: it takes seconds, more than 0 and at most "
                                          f"{longest:g}")
    return float(timeout)


def _lines(request: Json) -> int:
    lines = request.get("lines", 100)
    if isinstance(lines, bool) or not isinstance(lines, int) or lines < 0:
        raise CommandError("bad_request", f"lines is {shown(lines)}: it takes a whole number, 0 or more")
    return lines
