# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a message of each exchange at each step (RFC 2408 §5, RFC 2409 §5): one row for every pair.

Messages that repeat themselves are answered before. Those that begin an ISAKMP SA go to the acceptor, and messages of
an ISAKMP SA that has closed are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..wire.v1.constants import ExchangeType
from . import aggressive_mode, informational, main_mode, quick_mode
from .state import Step

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session

Taker: TypeAlias = Callable[["Ikev1Session", "Received", float], None]

#: In the place of every exchange type that we do not know.
ANY_OTHER = -1


@dataclass(frozen=True, slots=True)
class Row:
    """``story`` is the reason in a word; what no ``take`` takes is dropped, and counted under it."""

    story: str
    take: Taker | None = None


_OUT_OF_TURN = Row("unexpected_exchange")
_AN_ERROR_ENDS_IT = Row("an_error_ends_it", informational.receive_early)


def _waits_for(exchange: ExchangeType, take: Taker) -> Mapping[ExchangeType, Row]:
    return {exchange: Row("is_due", take), ExchangeType.INFORMATIONAL: _AN_ERROR_ENDS_IT}


_TAKEN: Mapping[Step, Mapping[ExchangeType, Row]] = {
    Step.NEW: {},
    Step.MAIN_2: _waits_for(ExchangeType.MAIN, main_mode.take_suite),
    Step.MAIN_3: _waits_for(ExchangeType.MAIN, main_mode.take_key_exchange),
    Step.MAIN_4: _waits_for(ExchangeType.MAIN, main_mode.take_answered_key_exchange),
    Step.MAIN_5: _waits_for(ExchangeType.MAIN, main_mode.take_identity),
    Step.MAIN_6: _waits_for(ExchangeType.MAIN, main_mode.take_answered_identity),
    Step.AGGRESSIVE_2: _waits_for(ExchangeType.AGGRESSIVE, aggressive_mode.take_answer),
    Step.AGGRESSIVE_3: _waits_for(ExchangeType.AGGRESSIVE, aggressive_mode.take_proof),
    Step.UP: {ExchangeType.INFORMATIONAL: Row("informed", informational.receive),
              ExchangeType.QUICK: Row("creates", quick_mode.receive)},
}


def _all() -> Iterator[tuple[tuple[Step, int], Row]]:
    for step, rows in _TAKEN.items():
        for exchange in (*ExchangeType, ANY_OTHER):
            yield (step, int(exchange)), rows.get(exchange, _OUT_OF_TURN)


MESSAGES: Mapping[tuple[Step, int], Row] = dict(_all())


def on_message(step: Step, exchange: int) -> Row:
    """``exchange`` is any octet."""
    return MESSAGES.get((step, exchange)) or MESSAGES[step, ANY_OTHER]
