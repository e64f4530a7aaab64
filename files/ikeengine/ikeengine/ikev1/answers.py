# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes which exchange while what is waited for. A pair that is not here is counted and dropped.

The first message of a Phase 1 begins a session, so it is not here: `acceptor` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ..wire.v1.constants import ExchangeType
from . import aggressive_mode, informational, main_mode, quick_mode
from .state import Step

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session

Taker: TypeAlias = Callable[["Ikev1Session", "Received", float], None]

ANSWERS: Mapping[tuple[Step, int], Taker] = {
    (Step.MAIN_2, ExchangeType.MAIN): main_mode.take_suite,
    (Step.MAIN_3, ExchangeType.MAIN): main_mode.take_key_exchange,
    (Step.MAIN_4, ExchangeType.MAIN): main_mode.take_answered_key_exchange,
    (Step.MAIN_5, ExchangeType.MAIN): main_mode.take_identity,
    (Step.MAIN_6, ExchangeType.MAIN): main_mode.take_answered_identity,
    (Step.AGGRESSIVE_2, ExchangeType.AGGRESSIVE): aggressive_mode.take_answer,
    (Step.AGGRESSIVE_3, ExchangeType.AGGRESSIVE): aggressive_mode.take_proof,
    **{(step, ExchangeType.INFORMATIONAL): informational.receive_early
       for step in (Step.MAIN_2, Step.MAIN_3, Step.MAIN_4, Step.MAIN_5, Step.MAIN_6, Step.AGGRESSIVE_2,
                    Step.AGGRESSIVE_3)},
    (Step.UP, ExchangeType.INFORMATIONAL): informational.receive,
    (Step.UP, ExchangeType.QUICK): quick_mode.receive,
}
