# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages cut into pieces for paths that lose fragments of IP, by the vendor id FRAGMENTATION."""

from __future__ import annotations

from ..vpn.selectors import Address
from ..wire.header import HEADER_SIZE, decode_header
from ..wire.v1.fragment import Fragment
from ..wire.v1.message import encode_message

_AROUND = {4: 20 + 8 + 4, 6: 40 + 8 + 4}  # IP, UDP, and the non-ESP marker
_IN_FRONT = HEADER_SIZE + 4 + 4  # the headers of ISAKMP, of any payload, and of a fragment
_MOST_PIECES = 64
_LARGEST = 64 * 1024


def cut(data: bytes, identifier: int, largest: int, remote: Address) -> list[bytes]:
    """The message in IP datagrams of at most ``largest`` octets: itself where it fits, else in fragments."""
    most = largest - _AROUND[remote.version]
    if len(data) <= most:
        return [data]
    size, header = most - _IN_FRONT, decode_header(data)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return [encode_message(cookie_i=header.spi_i, cookie_r=header.spi_r, exchange=header.exchange,
                           message_id=header.message_id,
                           payloads=[Fragment(identifier, number, number == len(pieces), piece)])
            for number, piece in enumerate(pieces, 1)]


class Reassembly:
    """The pieces of one message at a time: of whichever the last piece was. Nobody authenticates them, so what they may
    cost is small."""

    __slots__ = ("_id", "_last", "_pieces")

    def __init__(self) -> None:
        self._id: int | None = None
        self._last = 0
        self._pieces: dict[int, bytes] = {}

    def add(self, piece: Fragment) -> bytes | None:
        """The whole message, once this was the last piece that it lacked."""
        if piece.id != self._id:
            self._id, self._last, self._pieces = piece.id, 0, {}
        if piece.number > _MOST_PIECES or sum(map(len, self._pieces.values())) + len(piece.data) > _LARGEST:
            return None
        self._pieces.setdefault(piece.number, piece.data)
        if piece.is_last:
            self._last = piece.number
        if not self._last or any(number not in self._pieces for number in range(1, self._last + 1)):
            return None
        whole = b"".join([self._pieces[number] for number in range(1, self._last + 1)])
        self._id, self._last, self._pieces = None, 0, {}
        return whole
