# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a live session, as octets and back: any octets are some steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .feed import Feed, sized

MOST = 8
"""Steps of one input."""
_OTHER, _FRAGMENT, _OLDEST = 0x80, 0x40, 0x20


class Kind(IntEnum):
    """The first two are sealed with the keys of the session under attack, under the message ID that it awaits."""

    REQUEST = 0
    RESPONSE = 1
    CLEAR = 2
    #: ``body`` is a datagram as it is.
    DATAGRAM = 3
    #: ``first_type`` chooses an order of the operator, or lets time pass.
    ORDER = 4


@dataclass(slots=True)
class Step:
    """``body`` is a chain of payloads whose first is of ``first_type``. ``exchange`` counts the exchanges that there
    are, or is a number as on the wire. ``other`` spoils the message ID, or is the flags of a message in clear;
    ``fragment`` is (number, total); ``oldest`` says that the first session of several is meant, not the last."""

    kind: Kind
    exchange: int = 0
    first_type: int = 0
    body: bytes = b""
    other: int = 0
    fragment: tuple[int, int] | None = None
    oldest: bool = False

    def encode(self) -> bytes:
        head = self.kind | (_OTHER if self.other else 0) | (_FRAGMENT if self.fragment else 0)
        head |= _OLDEST if self.oldest else 0
        if self.kind is Kind.ORDER:
            return bytes([head, self.first_type])
        if self.kind is Kind.DATAGRAM:
            return bytes([head]) + sized(self.body)
        return b"".join((bytes([head, self.exchange, self.first_type]), bytes([self.other] if self.other else []),
                         bytes(self.fragment or ()), sized(self.body)))


def read(feed: Feed) -> list[Step]:
    """All steps that are left, up to `MOST`."""
    steps = []
    while feed and len(steps) < MOST:
        steps.append(_read(feed))
    return steps


def encode(scenario: int, steps: Iterable[Step]) -> bytes:
    """An input: ``scenario`` and what is done in it."""
    return bytes([scenario]) + b"".join(step.encode() for step in steps)


def _read(feed: Feed) -> Step:
    head = feed.octet()
    step = Step(Kind((head & 0x1F) % len(Kind)), oldest=bool(head & _OLDEST))
    if step.kind is Kind.ORDER:
        step.first_type = feed.octet()
    elif step.kind is Kind.DATAGRAM:
        step.body = feed.sized()
    else:
        step.exchange, step.first_type = feed.octet(), feed.octet()
        step.other = feed.octet() if head & _OTHER else 0
        step.fragment = (feed.octet(), feed.octet()) if head & _FRAGMENT else None
        step.body = feed.sized()
    return step
