# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the kernel's news of links, addresses and routes."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from ikeengine.daemon import address_watch, routes
from ikeengine.daemon.address_watch import AddressWatch
from ikeengine.daemon.log import Level, Log
from ikeengine.dataplane.netlink import NetlinkError
from ikeengine.vpn.selectors import Address


class Kernel:
    """Has a way to each address: what the attributes of its answer are."""

    def __init__(self) -> None:
        self.ways: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self.told, self.hears = socket.socketpair()
        self.hears.setblocking(False)

    def change(self, **ways: Any) -> None:
        """By the address's last part, ``None`` where no way leads there any more; then the kernel tells of it."""
        for number, source in ways.items():
            address = f"192.0.2.{number.removeprefix('to_')}"
            self.ways.pop(address, None)
            if source is not None:
                self.ways[address] = {"RTA_PREFSRC": source, "RTA_OIF": 2}
        self.told.send(b"news")

    def get(self, what: str, question: Any) -> Any:
        self.asked += 1
        way = self.ways.get(dict(question["attrs"])["RTA_DST"])
        if way is None:
            raise NetlinkError(what, 101)
        return type("Answer", (), {"get_attr": staticmethod(way.get)})

    def fileno(self) -> int:
        return self.hears.fileno()

    def read(self) -> Iterator[object]:
        while True:
            try:
                yield self.hears.recv(100)
            except BlockingIOError:
                return

    def close(self) -> None:
        self.told.close()
        self.hears.close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(routes, "NetlinkSocket", lambda *_asked: made)
    monkeypatch.setattr(address_watch, "NetlinkEvents", lambda *_asked: made)
    monkeypatch.setattr(address_watch, "_SETTLES", 0.0)
    monkeypatch.setattr(address_watch, "_PAUSE", 0.0)
    return made


def watched(kernel: Kernel, ways: set[Address], *changes: dict[str, Any]) -> list[list[str]]:
    """What is told after each of these changes."""
    async def test() -> list[list[str]]:
        told: list[str] = []
        watch = AddressWatch(asyncio.get_running_loop(), lambda: ways, lambda remote: told.append(str(remote)),
                             lambda: None)
        found = []
        for change in changes:
            kernel.change(**change)
            for _turn in range(20):
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            found.append(sorted(told))
            told.clear()
        watch.close()
        return found

    return asyncio.run(test())


def test_only_those_to_whom_the_way_changed_are_told_of(kernel: Kernel) -> None:
    kernel.ways = {f"192.0.2.{number}": {"RTA_PREFSRC": "198.51.100.1", "RTA_OIF": 2} for number in (1, 2)}
    ways = {ip_address("192.0.2.1"), ip_address("192.0.2.2")}
    assert watched(kernel, ways, {}, {}, {"to_1": "198.51.100.9"}, {"to_2": None}, {"to_2": "198.51.100.1"}) == [
        ["192.0.2.1", "192.0.2.2"], [], ["192.0.2.1"], ["192.0.2.2"], ["192.0.2.2"]]


def test_very_many_are_looked_at_in_small_parts_and_each_once(kernel: Kernel) -> None:
    ways = {ip_address(f"192.0.2.{number}") for number in range(100)}
    (told,) = watched(kernel, ways, {})
    assert len(told) == len(set(told)) == 100 == kernel.asked


def test_what_changes_during_a_look_is_looked_at_again(kernel: Kernel) -> None:
    ways = {ip_address(f"192.0.2.{number}") for number in range(100)}
    kernel.ways = {str(way): {"RTA_PREFSRC": "198.51.100.1", "RTA_OIF": 2} for way in ways}
    told: list[str] = []
    news: list[int] = []

    def tell(remote: Address) -> None:
        told.append(str(remote))
        if len(told) == 50:
            kernel.change(**{f"to_{address.rpartition('.')[2]}": "198.51.100.9" for address in told[:10]})

    async def test() -> None:
        watch = AddressWatch(asyncio.get_running_loop(), lambda: ways, tell, lambda: news.append(kernel.asked))
        kernel.change()
        for _turn in range(100):
            await asyncio.sleep(0.001)
        watch.close()

    asyncio.run(test())
    assert len(told) == 110 and set(told[100:]) == set(told[:10])
    assert len(news) == 2, "once for each look"


def test_a_bug_in_one_answer_does_not_end_the_watch(kernel: Kernel) -> None:
    told: list[str] = []

    def tell(remote: Address) -> None:
        told.append(str(remote))
        raise RuntimeError("a bug")

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_context: None)
        watch = AddressWatch(loop, lambda: {ip_address("192.0.2.1")}, tell, lambda: None)
        for source in ("198.51.100.1", "198.51.100.9"):
            kernel.change(to_1=source)
            for _turn in range(20):
                await asyncio.sleep(0.001)
        watch.close()

    asyncio.run(test())
    assert told == ["192.0.2.1", "192.0.2.1"]


def test_a_host_that_tells_nothing_of_its_addresses_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_asked: object) -> None:
        raise NetlinkError("opening NETLINK_ROUTE", 93)

    monkeypatch.setattr(routes, "NetlinkSocket", refuse)
    log = Log(Level.INFO, io.StringIO())

    async def test() -> None:
        assert address_watch.watch(asyncio.get_running_loop(), set, lambda _remote: None, lambda: None, log) is None

    asyncio.run(test())
    assert ["opening NETLINK_ROUTE" in str(entry.as_dict()) for entry in log.entries(9)] == [True]
