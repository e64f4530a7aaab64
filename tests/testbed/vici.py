# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan's control protocol (README.md of its vici plugin), without a program for each request."""

import socket
import struct
from pathlib import Path
from typing import Any

_REQUEST, _RESPONSE, _REGISTER, _CONFIRM, _EVENT = 0, 1, 3, 5, 7
_SECTION, _SECTION_END, _VALUE, _LIST, _ITEM, _LIST_END = range(1, 7)
_SECONDS = 60

Json = dict[str, Any]


def ask(path: Path, command: str, *, event: str | None = None, **arguments: str) -> tuple[Json, list[Json]]:
    """Send a command of that name to the socket at `path`.

    Returns its answer, and before it the events of the name `event`. Raises RuntimeError with the daemon's reason.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SECONDS)
        sock.connect(str(path))
        if event:
            _send(sock, _REGISTER, event)
            if _receive(sock)[0] != _CONFIRM:
                raise RuntimeError(f"strongSwan has no event {event}")
        _send(sock, _REQUEST, command, b"".join(
            bytes((_VALUE, len(name))) + name.encode() + struct.pack("!H", len(value)) + value.encode()
            for name, value in arguments.items()))
        events = []
        while (packet := _receive(sock))[0] == _EVENT:
            events.append(decode(packet[2 + packet[1]:]))
        if packet[0] != _RESPONSE:
            raise RuntimeError(f"strongSwan has no command {command}")
        answer = decode(packet[1:])
        if answer.get("success", "yes") != "yes":
            raise RuntimeError(f"{command}: {answer.get('errmsg')}")
        return answer, events


def decode(message: bytes) -> Json:
    """Sections as dictionaries, lists as lists, values as text."""
    made: Json = {}
    sections, items, place = [made], [], 0  # type: list[Json], list[str], int

    def take(size: int) -> str:
        nonlocal place
        length = int.from_bytes(message[place:place + size])
        place += size + length
        return message[place - length:place].decode(errors="replace")

    while place < len(message):
        kind = message[place]
        place += 1
        if kind == _SECTION:
            section: Json = {}
            sections[-1][take(1)] = section
            sections.append(section)
        elif kind == _SECTION_END:
            sections.pop()
        elif kind == _VALUE:
            name = take(1)
            sections[-1][name] = take(2)
        elif kind == _LIST:
            items = sections[-1][take(1)] = []
        elif kind == _ITEM:
            items.append(take(2))
        elif kind != _LIST_END:
            raise ValueError(f"vici has no element {kind}")
    return made


def _send(sock: socket.socket, kind: int, name: str, message: bytes = b"") -> None:
    packet = bytes((kind, len(name))) + name.encode() + message
    sock.sendall(struct.pack("!I", len(packet)) + packet)


def _receive(sock: socket.socket) -> bytes:
    return _exactly(sock, int.from_bytes(_exactly(sock, 4)))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := sock.recv(size - len(data))):
            raise RuntimeError("strongSwan hung up")
        data += more
    return data
