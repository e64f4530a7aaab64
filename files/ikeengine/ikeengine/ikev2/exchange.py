# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every exchange has: a request to build, a response to take, a refusal to give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..ike.refusal import Refusal
from ..security_association import Path
from ..vpn.algorithms import KeyEncapsulation
from ..wire.constants import ExchangeType, NotifyType
from ..wire.errors import MalformedMessage
from ..wire.key_exchange import KeyExchange
from ..wire.message import Payload
from ..wire.notify import Notify
from ..wire.payloads import require

if TYPE_CHECKING:
    from .session import Ikev2Session

_FIRST_STATUS_TYPE = 16384


class Task(ABC):
    """An exchange that we initiate. Tasks of a session run one at a time: the window is 1 (RFC 7296 §2.3)."""

    exchange: ExchangeType

    @abstractmethod
    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        """The request's payloads, or None where the task has become needless."""

    @abstractmethod
    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        """Take the authenticated answer."""

    def paths(self, session: Ikev2Session) -> Sequence[Path]:
        """Between which addresses it goes, asked each time that it is sent."""
        return session.paths

    def abandoned(self, session: Ikev2Session, reason: str, now: float) -> None:  # noqa: B027 - most have nothing to undo
        """The session closes before an answer came."""


def additional_data(payloads: Sequence[Payload], kem: KeyEncapsulation) -> bytes:
    """The other end's part of an additional key exchange. Raises MalformedMessage where it is of another method."""
    theirs = require(payloads, KeyExchange)
    if theirs.group != kem.ikev2_id:
        raise MalformedMessage(f"a key exchange of method {theirs.group} where {kem.name} was agreed on")
    return theirs.data


def error_in(payloads: Iterable[Payload]) -> int | None:
    """The type of the first notification that reports an error (below 16384), known to us or not."""
    return next((row.notify_type for row in payloads
                 if isinstance(row, Notify) and row.notify_type < _FIRST_STATUS_TYPE), None)


def answer(refusal: Refusal) -> Notify:
    """What the peer hears of it."""
    return Notify(refusal.notify, refusal.data, refusal.protocol, refusal.spi)


def notify_name(notify: int) -> str:
    """As the RFCs write it; the number of those that we do not know."""
    try:
        return NotifyType(notify).name
    except ValueError:
        return f"notify {notify}"
