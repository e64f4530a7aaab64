# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE SAs whose initiator has not authenticated itself yet: found again by it, and limited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..security_association import SocketAddress
from ..vpn.selectors import Address
from .session import IkeSession


class HalfOpen:
    """Those of one host, by where the initiator is and what it calls the IKE SA."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[SocketAddress, bytes], IkeSession] = {}
        self._from: Counter[Address] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def sessions(self) -> Iterable[IkeSession]:
        return self._sessions.values()

    def find(self, remote: SocketAddress, spi_i: bytes) -> IkeSession | None:
        return self._sessions.get((remote, spi_i))

    def number_from(self, address: Address) -> int:
        return self._from[address]

    def add(self, session: IkeSession) -> None:
        session.half_open_key = (session.remote, session.spi_i)
        self._sessions[session.half_open_key] = session
        self._from[session.remote.address] += 1

    def discard(self, session: IkeSession) -> None:
        """It is established, or closed. Any other session is none of these, which is no error."""
        key, session.half_open_key = session.half_open_key, None
        if key is not None:
            del self._sessions[key]
            self._from[key[0].address] -= 1
            if not self._from[key[0].address]:
                del self._from[key[0].address]
