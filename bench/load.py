# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load: every spoke of a hub in one process, by the daemon's own sessions, without a data plane.

It is started in a network namespace that has the spokes' addresses. Standard input has a line of JSON, the fields of
``Load``; then "ready" is printed. A further line ``begin NUMBER`` has so many spokes begin, ``await NUMBER`` waits for
the hub to begin; when so many more are up, a line of JSON says how many seconds that took, and what the machine's
monotonic clock showed then. All spokes show one public value of a key group, to keep this end cheap. None thinks it
flooded: a hub that begins with all is one peer to each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from ikeengine.daemon.udp import UdpSockets  # noqa: E402
from ikeengine.ike.context import Settings  # noqa: E402
from ikeengine.ike.events import ChildOutbound, Failed  # noqa: E402
from ikeengine.sa_manager import IkeSaManager  # noqa: E402
from ikeengine.security_association import Datagram, SocketAddress  # noqa: E402
from ikeengine.vpn import declaration  # noqa: E402

from bench import hub  # noqa: E402
from tests.support import key_pairs  # noqa: E402

_FIRST_SPI = 0xC0000001


class Failure(Exception):
    """A spoke did not come up; the text says why."""


@dataclass
class Load:
    """``window`` spokes are under way at a time, fewer than make any responder ask for cookies."""

    suite: dict[str, object]
    spokes: int
    window: int = 4
    limit: float = 300.0

    def __post_init__(self) -> None:
        suite = hub.Suite(**self.suite)  # type: ignore[arg-type]
        numbers = range(1, self.spokes + 1)
        side = declaration.read(hub.load(suite, numbers), secrets=hub.keys(numbers))
        self._spis = iter(range(_FIRST_SPI, _FIRST_SPI + 2 * self.spokes))
        self._manager = IkeSaManager(side, allocate_spi=lambda *_asked: next(self._spis),
                                     encapsulate=lambda _gateway: False, reqid=lambda _tunnel, _route: 1,
                                     settings=Settings(cookie_threshold=self.spokes + 1,
                                                       half_open_per_address=self.spokes + 1))
        self._waiting = [gateway.name for gateway in reversed(side.gateways)]
        self._sockets = UdpSockets()
        self._up = self._under_way = self._begin = self._goal = 0

    async def serve(self) -> None:
        """Answer the orders of standard input to its end."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._ended = loop.create_future()
        self._sockets.open()
        self._sockets.attach(loop, self)
        self._timer: asyncio.TimerHandle | None = None
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            began = time.monotonic()
            order, number = line.split()
            await self._come_up(int(number), begun_here=order == "begin")
            ended = time.monotonic()
            print(json.dumps({"seconds": ended - began, "ended": ended}), flush=True)

    async def _come_up(self, count: int, *, begun_here: bool) -> None:
        self._ended = self._loop.create_future()
        self._goal += count
        self._begin = count if begun_here else 0
        self._pump()
        async with asyncio.timeout(self.limit):
            await self._ended

    def _pump(self) -> None:
        manager = self._manager
        for event in manager.events():
            if isinstance(event, ChildOutbound):
                self._up += 1
                self._under_way -= 1
            elif isinstance(event, Failed) and not self._ended.done():
                self._ended.set_exception(Failure(f"{event.gateway}: {event.reason}"))
        while self._under_way < self.window and self._begin:
            self._begin -= 1
            self._under_way += 1
            manager.initiate(self._waiting.pop(), self._loop.time())
        for datagram in manager.datagrams_to_send():
            self._sockets.send_ike(datagram)
        if self._up == self._goal and not self._ended.done():
            self._ended.set_result(None)
        if self._timer is None and (due := manager.next_timer()) is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._manager.handle_timer(self._loop.time())
        self._pump()

    def receive_ike(self, datagram: Datagram) -> None:
        self._manager.receive(datagram, self._loop.time())

    def receive_esp(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        """No traffic is expected."""

    def batch_received(self) -> None:
        self._pump()

    def send_failed(self, remote: SocketAddress, error: OSError) -> None:
        raise error


if __name__ == "__main__":
    with key_pairs.one_for_each_group():
        asyncio.run(Load(**json.loads(sys.stdin.readline())).serve())
