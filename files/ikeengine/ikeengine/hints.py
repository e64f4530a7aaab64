# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INVALID_SPI without protection: an end that has lost its SAs says so to a peer that may still use them (RFC 7296
§1.5, §2.21.4; RFC 2408 §3.14.1).

Nobody can prove it, so all that it does is to make the peer ask at once whether we live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from .security_association import Datagram, Path, SocketAddress
from .vpn.model import IkeVersion
from .wire.constants import ExchangeType, HeaderFlag, NotifyType
from .wire.errors import WireError
from .wire.header import Header
from .wire.message import decode_message, encode_message
from .wire.notify import Notify
from .wire.payloads import all_of
from .wire.v1 import constants as v1
from .wire.v1 import message as v1_message
from .wire.v1.notify import Notify as V1Notify

NO_SPI = bytes(4)
"""In place of the SPI where an end that has just started knows none any more."""
_NO_IKE_SPI = bytes(8)
#: Seconds after which they are sent again, the first time at the start: one may be lost.
_PAUSES = (1.0, 2.0)


def invalid_spi(version: IkeVersion, spi: bytes, random: Callable[[int], bytes]) -> bytes:
    """``spi`` is the one that came, 4 octets. There is no IKE SA, so the SPIs of one are zero (RFC 7296 §1.5)."""
    if version is IkeVersion.V2:
        return encode_message(spi_i=_NO_IKE_SPI, spi_r=_NO_IKE_SPI, exchange=ExchangeType.INFORMATIONAL,
                              flags=HeaderFlag.INITIATOR, message_id=0, payloads=[Notify(NotifyType.INVALID_SPI, spi)])
    return v1_message.encode_message(
        cookie_i=_NO_IKE_SPI, cookie_r=_NO_IKE_SPI, exchange=v1.ExchangeType.INFORMATIONAL,
        message_id=int.from_bytes(random(4), "big") or 1,
        payloads=[V1Notify(v1.NotifyType.INVALID_SPI, spi, protocol=v1.ProtocolId.ESP)])


def is_hint(header: Header) -> bool:
    """Whether a message of no IKE SA may be INVALID_SPI."""
    informational = ExchangeType.INFORMATIONAL if header.major == IkeVersion.V2.value else v1.ExchangeType.INFORMATIONAL
    return (header.spi_i, header.spi_r, header.exchange) == (_NO_IKE_SPI, _NO_IKE_SPI, informational)


def spi_in(header: Header, data: bytes) -> bytes:
    """The SPI that the peer knows no more. Raises WireError where the message says nothing of the kind."""
    rows: list[Notify | V1Notify] = []
    if header.major == IkeVersion.V2.value:
        rows += all_of(decode_message(data).payloads, Notify)
    else:
        _header, chain = v1_message.decode_clear_message(data)
        rows += all_of(chain.payloads, V1Notify) if chain is not None else ()
    for row in rows:
        if row.notify_type in (NotifyType.INVALID_SPI, v1.NotifyType.INVALID_SPI) and len(row.data) == len(NO_SPI):
            return row.data
    raise WireError("no INVALID_SPI")


@dataclass(eq=False)
class Greetings:
    """What an end that starts says to those who may have SAs with it and whom it does not call itself. ``noted_timer``
    is when it says it next, for the manager to keep."""

    said: Mapping[Path, IkeVersion]
    noted_timer: float | None = None
    _pauses: list[float] = field(default_factory=lambda: list(_PAUSES))

    def next(self, now: float) -> float | None:
        """When to say it the next time, None where it was said often enough."""
        return now + self._pauses.pop(0) if self._pauses else None

    def datagrams(self, random: Callable[[int], bytes],
                  heard: Callable[[SocketAddress], bool]) -> Iterator[Datagram]:
        """``heard`` tells whether there is an IKE SA with that peer again."""
        for (local, remote), version in self.said.items():
            if not heard(remote):
                yield Datagram(local, remote, invalid_spi(version, NO_SPI, random))
