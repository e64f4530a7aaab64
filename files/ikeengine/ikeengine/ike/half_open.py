# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs whose initiator has not authenticated itself yet: found again by it, and limited."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

from ..security_association import SocketAddress
from ..vpn.selectors import Address
from .session import IkeSession

#: Where the initiator is, and what it calls the IKE SA.
_Key: TypeAlias = tuple[SocketAddress, bytes]


class HalfOpen:
    """Those that began alike, the oldest first."""

    def __init__(self) -> None:
        self._sessions: dict[_Key, IkeSession] = {}
        self._from: dict[Address, dict[_Key, IkeSession]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def sessions(self) -> Iterable[IkeSession]:
        return self._sessions.values()

    def sessions_from(self, address: Address) -> Iterable[IkeSession]:
        return self._from.get(address, {}).values()

    def find(self, remote: SocketAddress, spi_i: bytes) -> IkeSession | None:
        return self._sessions.get((remote, spi_i))

    def number_from(self, address: Address) -> int:
        return len(self._from.get(address, ()))

    def add(self, session: IkeSession) -> None:
        """One that `find` does not find yet."""
        key = session.remote, session.spi_i
        session.no_longer_half_open = partial(self._remove, key)
        self._sessions[key] = self._from.setdefault(session.remote.address, {})[key] = session

    def _remove(self, key: _Key) -> None:
        address = key[0].address
        del self._sessions[key], self._from[address][key]
        if not self._from[address]:
            del self._from[address]


def discard(session: IkeSession) -> None:
    """It is established, or closed. One that is not half-open is no error."""
    remove, session.no_longer_half_open = session.no_longer_half_open, None
    if remove is not None:
        remove()
