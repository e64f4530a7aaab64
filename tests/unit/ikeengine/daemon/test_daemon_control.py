# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control protocol over a real socket, as a client sees it."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from ikeengine.daemon.control import CommandError, ControlServer
from ikeengine.daemon.log import Log

Json = dict[str, Any]


async def _answers(request: Json) -> AsyncIterator[Json]:
    """Stands for the daemon: one answer, a stream, a refusal, a bug."""
    match request["command"]:
        case "status":
            yield {"gateways": []}
        case "log":
            yield {"entries": [{"message": "one"}]}
            yield {"entries": [{"message": "two"}]}
            await asyncio.Event().wait()
        case "reload":
            yield {"octets": len(request["declaration"])}
        case "bug":
            raise ZeroDivisionError
        case name:
            raise CommandError("unknown_command", f"there is no command {name}", findings=[])


def _with_server(path: Path, test: Callable[[Log], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        log = Log(stream=io.StringIO())
        server = ControlServer(path, _answers, log)
        await server.start()
        try:
            await test(log)
        finally:
            await asyncio.wait_for(server.stop(), 5)
        assert not path.exists()

    asyncio.run(run())


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> Client:
        return cls(*await asyncio.open_unix_connection(path))

    async def send(self, line: bytes) -> None:
        self.writer.write(line + b"\n")
        await self.writer.drain()

    async def receive(self) -> Json:
        answer: Json = json.loads(await asyncio.wait_for(self.reader.readline(), 5))
        return answer

    async def ask(self, command: str, **arguments: Any) -> Json:
        await self.send(json.dumps({"version": 1, "command": command, **arguments}).encode())
        return await self.receive()


def test_one_connection_carries_many_requests(tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        client = await Client.connect(tmp_path / "s")
        for _ in range(3):
            assert await client.ask("status") == {"version": 1, "ok": True, "result": {"gateways": []}}

    _with_server(tmp_path / "s", test)


def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600

    _with_server(tmp_path / "s", test)


@pytest.mark.hosts
def test_another_user_is_refused_even_with_the_socket_in_hand(tmp_path: Path) -> None:
    script = ("import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
              "print(s.makefile().readline())")

    async def test(log: Log) -> None:
        for directory in takewhile(lambda path: path != Path(tempfile.gettempdir()), (tmp_path, *tmp_path.parents)):
            directory.chmod(0o755)
        (tmp_path / "s").chmod(0o666)  # what an operator might do; the credentials of the peer still count
        answer = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(tmp_path / "s")],
                                         user=65534, capture_output=True, text=True, timeout=20, check=True)
        assert json.loads(answer.stdout)["error"]["code"] == "forbidden"
        assert log.entries(1)[0].message == "refused a control client"

    _with_server(tmp_path / "s", test)


@pytest.mark.parametrize(("line", "code"), [
    (b"status", "bad_request"), (b"[]", "bad_request"), (b'{"version": 1}', "bad_request"),
    (b"\xff\xfe", "bad_request"), (b'{"version": 1, "command": 7}', "bad_request"),
    (b'{"version": 2, "command": "status"}', "unsupported_version"),
    (b'{"command": "status"}', "unsupported_version"),
    (b'{"version": 1, "command": "dance"}', "unknown_command"),
])
def test_what_is_wrong_with_a_request_is_said_and_the_connection_goes_on(line: bytes, code: str,
                                                                         tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        client = await Client.connect(tmp_path / "s")
        await client.send(line)
        answer = await client.receive()
        assert (answer["version"], answer["ok"], answer["error"]["code"]) == (1, False, code)
        assert (await client.ask("status"))["ok"]

    _with_server(tmp_path / "s", test)


def test_a_bug_is_told_without_a_traceback(tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        answer = await (await Client.connect(tmp_path / "s")).ask("bug")
        assert answer["error"]["code"] == "internal" and "ZeroDivisionError" in answer["error"]["message"]
        assert log.entries(1)[0].fields["kind"] == "ZeroDivisionError"

    _with_server(tmp_path / "s", test)


def test_a_declaration_of_two_megabytes_passes(tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        assert (await (await Client.connect(tmp_path / "s")).ask("reload", declaration="x" * 2**21)
                )["result"] == {"octets": 2**21}

    _with_server(tmp_path / "s", test)


def test_an_endless_line_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ikeengine.daemon.control._LARGEST_LINE", 1000)

    async def test(log: Log) -> None:
        client = await Client.connect(tmp_path / "s")
        await client.send(b"x" * 5000)
        assert (await client.receive())["error"]["code"] == "bad_request"
        assert await client.reader.read() == b""

    _with_server(tmp_path / "s", test)


def test_a_follower_gets_a_stream_and_its_going_is_noticed(tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        client = await Client.connect(tmp_path / "s")
        first = await client.ask("log", follow=True)
        second = await client.receive()
        assert [answer["result"]["entries"][0]["message"] for answer in (first, second)] == ["one", "two"]
        client.writer.close()
        while len(asyncio.all_tasks()) > 1:  # the test itself; the server's task for this client must end
            await asyncio.sleep(0)

    _with_server(tmp_path / "s", test)


def test_one_client_too_many_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ikeengine.daemon.control._MOST_CLIENTS", 2)

    async def test(log: Log) -> None:
        held = [await Client.connect(tmp_path / "s") for _ in range(2)]
        for client in held:
            await client.ask("status")
        assert (await (await Client.connect(tmp_path / "s")).receive())["error"]["code"] == "busy"

    _with_server(tmp_path / "s", test)


def test_an_idle_client_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ikeengine.daemon.control._IDLE_LIMIT", 0.01)

    async def test(log: Log) -> None:
        client = await Client.connect(tmp_path / "s")
        assert await asyncio.wait_for(client.reader.read(), 5) == b""

    _with_server(tmp_path / "s", test)


def test_a_dead_daemons_socket_is_replaced_and_a_live_ones_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))

    async def test(log: Log) -> None:
        with pytest.raises(OSError, match="another ikeengine answers there"):
            await ControlServer(tmp_path / "s", _answers, log).start()
        assert (await (await Client.connect(tmp_path / "s")).ask("status"))["ok"]

    _with_server(tmp_path / "s", test)
