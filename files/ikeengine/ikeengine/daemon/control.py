# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: one JSON object per line each way, for root and the daemon's own user (docs/design.md)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

from ..layout import CONTROL_VERSION
from .log import Log

_LARGEST_LINE = 64 * 2**20  # a reload carries a whole declaration
_MOST_CLIENTS = 32
_IDLE_LIMIT = 300.0  # seconds without a request
_WRITE_LIMIT = 30.0  # seconds that a client may take to read an answer
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid

Json: TypeAlias = dict[str, Any]
Results: TypeAlias = Callable[[Json], AsyncIterator[Json]]


class CommandError(Exception):
    """A command that failed. ``code`` is for programs, the text for people; ``details`` go beside them."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details

    def as_json(self) -> Json:
        return {"code": self.code, "message": str(self), **self.details}


def place(error: BaseException) -> str:
    """``file.py:12``: where ``error`` was raised, without its text, which may hold anything."""
    return trail(error).partition(" < ")[0]


def trail(error: BaseException) -> str:
    """``file.py:12 < file.py:34``: the same, with who called, the last ten of them."""
    frames = [f"{Path(frame.f_code.co_filename).name}:{line}"
              for frame, line in traceback.walk_tb(error.__traceback__)]
    return " < ".join(frames[:-11:-1]) or "unknown"


def answers(path: Path) -> bool:
    """Whether a daemon serves the control socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


class ControlServer:
    """``results`` gives those of a request, one or a stream of them, or raises CommandError."""

    def __init__(self, path: Path, results: Results, log: Log) -> None:
        self._path = path
        self._results = results
        self._log = log
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError; its text names the socket and what to do."""
        self._server = await asyncio.start_unix_server(self._serve, sock=_listening(self._path), limit=_LARGEST_LINE)

    async def stop(self) -> None:
        """Hear no more requests and let every client go."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for client in tuple(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the client went, sat idle, or the daemon stops
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _peer_uid(writer.get_extra_info("socket"))
        if uid not in (0, os.geteuid()):
            self._log.from_network(f"uid {uid}", "refused a control client")
            await _send(writer, CommandError("forbidden", f"only root and the daemon's own user may use the control "
                                                          f"socket; uid {uid} may not"))
            return
        if len(self._clients) > _MOST_CLIENTS:
            await _send(writer, CommandError("busy", f"{_MOST_CLIENTS} clients are connected; try again later"))
            return
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), _IDLE_LIMIT)
            except ValueError:
                await _send(writer, CommandError("bad_request", f"a request takes at most {_LARGEST_LINE} octets"))
                return
            if not line:
                return
            if line.strip():
                await self._answer(line, reader, writer)

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = _request(line)
            if request.get("follow"):
                await _until_gone(self._stream(request, writer), reader)
            else:
                await self._stream(request, writer)
        except CommandError as error:
            await _send(writer, error)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            kind = type(error).__name__
            self._log.error("a control command failed inside; please report it", kind=kind, place=place(error))
            await _send(writer, CommandError("internal", f"the daemon failed inside ({kind} at {place(error)}); this "
                                                         "is a bug, please report it"))

    async def _stream(self, request: Json, writer: asyncio.StreamWriter) -> None:
        async with contextlib.aclosing(self._results(request)) as results:  # type: ignore[type-var]
            async for result in results:
                await _send(writer, result)


def _request(line: bytes) -> Json:
    try:
        request = json.loads(line)
    except ValueError:
        raise CommandError("bad_request", "a request is one JSON object on one line") from None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise CommandError("bad_request", 'a request is a JSON object such as {"version": 1, "command": "status"}')
    if request.get("version") != CONTROL_VERSION:
        raise CommandError("unsupported_version",
                           f"this daemon speaks version {CONTROL_VERSION} of the control protocol, not version "
                           f"{request.get('version')!r:.20}; ikectl and the daemon are of different releases")
    return request


async def _send(writer: asyncio.StreamWriter, answer: Json | CommandError) -> None:
    body: Json = ({"ok": False, "error": answer.as_json()} if isinstance(answer, CommandError)
                  else {"ok": True, "result": answer})
    writer.write(json.dumps({"version": CONTROL_VERSION, **body}).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), _WRITE_LIMIT)


async def _until_gone(stream: Any, reader: asyncio.StreamReader) -> None:
    """Let ``stream`` run until its client closes the connection."""
    streaming = asyncio.ensure_future(stream)
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait((streaming, gone), return_when=asyncio.FIRST_COMPLETED)
        if streaming.done():
            streaming.result()
    finally:
        for task in (streaming, gone):
            task.cancel()
        await asyncio.gather(streaming, gone, return_exceptions=True)


def _peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid


def _listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _clear(path)
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(_MOST_CLIENTS)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot make the control socket {path}: {error.strerror}") from None
    return sock


def _clear(path: Path) -> None:
    """Remove the socket of a daemon that is gone; one that answers stays, and OSError says so."""
    if answers(path):
        raise OSError(errno.EADDRINUSE, "another ikeengine answers there; stop it first")
    if path.is_socket():
        path.unlink(missing_ok=True)
