# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments (RFC 7383): how large one may be, and how they come together again."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..vpn.selectors import Address
from ..wire.message import Encrypted

MOST_FRAGMENTS = 64
MOST_OCTETS = 0xFFFF
"""Of one message, far above what any exchange needs: some certificates, or an ML-KEM key."""

_IP_HEADER = {4: 20, 6: 40}
_UDP_HEADER = 8
_NON_ESP_MARKER = 4  # counted on port 500 as well: the port may change while a message waits to be sent again


def largest_message(address: Address, largest_datagram: int) -> int:
    """Octets of an IKE message whose IP datagram to ``address`` has at most ``largest_datagram``."""
    return largest_datagram - _IP_HEADER[address.version] - _UDP_HEADER - _NON_ESP_MARKER


@dataclass(slots=True)
class Opened:
    """A whole message, authenticated: ``plaintext`` is the payloads inside, ``data`` the (first) datagram and
    ``encrypted`` what it held."""

    plaintext: bytes = field(repr=False)
    data: bytes
    encrypted: Encrypted


class TooLarge(Exception):
    """The fragments together are more than any message of ours or of an honest peer."""


class Reassembly:
    """The fragments of one message. Whoever adds one has authenticated it (RFC 7383 §2.6)."""

    __slots__ = ("_first", "_message_id", "_parts", "_size", "_total")

    def __init__(self) -> None:
        self._begin(-1, 0)

    def _begin(self, message_id: int, total: int) -> None:
        self._message_id = message_id
        self._total = total
        self._parts: dict[int, bytes] = {}
        self._size = 0
        self._first: tuple[bytes, Encrypted] | None = None

    def wants(self, message_id: int, fragment: Encrypted) -> bool:
        """Whether it is worth authenticating. One of more fragments in all is: the peer cut the message anew, smaller,
        and what is here is worth nothing then. Raises TooLarge."""
        if fragment.total > MOST_FRAGMENTS:
            raise TooLarge
        if message_id != self._message_id:
            return True
        return fragment.total > self._total or (
            fragment.total == self._total and fragment.number not in self._parts)

    def add(self, message_id: int, fragment: Encrypted, data: bytes, plaintext: bytes) -> Opened | None:
        """The message, if this was the last that it lacked; ``fragment`` came in the datagram ``data``.
        Raises TooLarge, and forgets all then."""
        if message_id != self._message_id or fragment.total != self._total:
            self._begin(message_id, fragment.total)
        self._size += len(plaintext)
        if self._size > MOST_OCTETS:
            self._begin(-1, 0)
            raise TooLarge
        self._parts[fragment.number] = plaintext
        if fragment.number == 1:
            self._first = data, fragment
        if len(self._parts) < self._total:
            return None
        assert self._first is not None
        whole = b"".join(self._parts[number] for number in range(1, self._total + 1))
        return Opened(whole, *self._first)
