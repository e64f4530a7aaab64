# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Netlink: requests that wait for the kernel's answer, and messages that it sends of its own accord."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, nlmsg

from .interface import DataPlaneError

NETLINK_ROUTE = 0
NETLINK_XFRM = 6
NETLINK_NETFILTER = 12

#: Decodes a message's octets by its type; None where the type is not known.
Parse: TypeAlias = Callable[[int, bytes], nlmsg | None]

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_RECEIVE_SIZE = 1 << 17
#: Seconds. The kernel answers within the call; this only bounds a fault.
_ANSWER_TIMEOUT = 5.0
_EVENT_BUFFER = 1 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # absent from the socket module


class NetlinkError(DataPlaneError):
    """The kernel refused a request. ``errno`` is its reason, ``explanation`` its sentence where it gave one."""

    def __init__(self, what: str, number: int, explanation: str = "") -> None:
        self.errno = number
        self.explanation = explanation
        reason = f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
        super().__init__(f"{what}: the kernel refuses ({reason}{f'; {explanation}' if explanation else ''})")


def _each(octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages in what one read gave: type, flags, sequence number, whole octets."""
    offset = 0
    while offset + _HEADER.size <= len(octets):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(octets, offset)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, octets[offset:offset + length]
        offset += (length + 3) & ~3


def _explanation(octets: bytes, flags: int) -> str:
    """The extended acknowledgement's sentence (NLMSGERR_ATTR_MSG)."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    offset = _HEADER.size + 4 + _HEADER.size
    while offset + 4 <= len(octets):
        length, kind = struct.unpack_from("=HH", octets, offset)
        if length < 4:
            break
        if kind == _NLMSGERR_ATTR_MSG:
            return octets[offset + 4:offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""


def _open(protocol: int) -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        name = {NETLINK_ROUTE: "NETLINK_ROUTE", NETLINK_XFRM: "NETLINK_XFRM",
                NETLINK_NETFILTER: "NETLINK_NETFILTER"}.get(protocol, str(protocol))
        raise NetlinkError(f"opening {name}", error.errno or 0, "this kernel is built without it") from None
    opened.bind((0, 0))
    return opened


class NetlinkSocket:
    """Requests, each answered before the call returns."""

    def __init__(self, protocol: int, parse: Parse) -> None:
        """Raises NetlinkError where the kernel has no such protocol."""
        self._parse = parse
        self._socket = _open(protocol)
        self._socket.settimeout(_ANSWER_TIMEOUT)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def change(self, what: str, message: nlmsg, flags: int = 0) -> None:
        """Raises NetlinkError, which begins with ``what`` was to be done."""
        self._exchange(what, message, flags | NLM_F_ACK)

    def get(self, what: str, message: nlmsg) -> nlmsg:
        """The one message that answers a query. Raises NetlinkError."""
        for answer in self._exchange(what, message, NLM_F_ACK):
            return answer
        raise NetlinkError(what, errno.ENODATA)

    def dump(self, what: str, message: nlmsg) -> list[nlmsg]:
        """All that the kernel has of a kind. Raises NetlinkError."""
        return self._exchange(what, message, NLM_F_DUMP)

    def transact(self, what: str, messages: Sequence[tuple[int, bytes, int]]) -> list[nlmsg]:
        """Several messages as one, each its type, octets and flags; the last but one is acknowledged, since the last
        only ends the transaction. A single one is a query. Raises NetlinkError with the first that was refused."""
        acknowledged = max(0, len(messages) - 2)
        if self._sequence + len(messages) > 0xFFFFFFFF:
            self._sequence = 0
        first = self._sequence + 1
        whole = b"".join(
            _HEADER.pack(_HEADER.size + len(body), kind,
                         NLM_F_REQUEST | flags | (NLM_F_ACK if place == acknowledged else 0), first + place, 0)
            + body + bytes(-len(body) % 4) for place, (kind, body, flags) in enumerate(messages))
        self._sequence += len(messages)
        if len(whole) > self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2:
            with suppress(PermissionError):  # then what does not fit is refused
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, len(whole))
        return self._answers(what, whole, range(first, first + acknowledged + 1))

    def _exchange(self, what: str, message: nlmsg, flags: int) -> list[nlmsg]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        message["header"] |= {"flags": NLM_F_REQUEST | flags, "sequence_number": self._sequence, "pid": 0}
        message.encode()
        return self._answers(what, message.data, range(self._sequence, self._sequence + 1))

    def _answers(self, what: str, request: bytes | bytearray, sequences: range) -> list[nlmsg]:
        """Send, and take what comes until the last of these sequence numbers is answered."""
        answers: list[nlmsg] = []
        refused: NetlinkError | None = None
        try:
            self._socket.send(request)
            while True:
                for kind, answer_flags, sequence, octets in _each(self._socket.recv(_RECEIVE_SIZE)):
                    if sequence not in sequences:
                        continue
                    if kind == NLMSG_DONE:
                        return answers
                    if kind == NLMSG_ERROR:
                        (code,) = struct.unpack_from("=i", octets, _HEADER.size)
                        if code and refused is None:
                            refused = NetlinkError(what, -code, _explanation(octets, answer_flags))
                        if refused is not None and sequence in (sequences[0], sequences[-1]):
                            raise refused  # the first opens a transaction: without it none is looked at
                        if sequence != sequences[-1]:
                            continue
                        return answers
                    if (answer := self._parse(kind, octets)) is not None:
                        answers.append(answer)
        except TimeoutError:
            raise NetlinkError(what, errno.ETIMEDOUT) from None
        except OSError as error:
            raise NetlinkError(what, error.errno or 0) from None


class NetlinkEvents:
    """A protocol's multicast messages, for an event loop to read when ``fileno`` is readable."""

    def __init__(self, protocol: int, groups: tuple[int, ...], parse: Parse) -> None:
        self._parse = parse
        self._socket = _open(protocol)
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _EVENT_BUFFER)
        except PermissionError:  # then as much as net.core.rmem_max allows
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _EVENT_BUFFER)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        #: How often the kernel dropped messages because we read too slowly.
        self.overruns = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> Iterator[tuple[int, nlmsg]]:
        """Type and message of what waits. An overrun loses some: whoever listens has timers of its own, or looks at
        ``overruns``."""
        while True:
            try:
                octets = self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NetlinkError("reading the kernel's events", error.errno or 0) from None
                self.overruns += 1
                continue
            for kind, _flags, _sequence, each in _each(octets):
                if (message := self._parse(kind, each)) is not None:
                    yield kind, message
