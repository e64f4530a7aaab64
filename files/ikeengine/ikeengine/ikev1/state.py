# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an ISAKMP SA has come."""

from __future__ import annotations

from enum import Enum

from ..ike.state import State


class Step(Enum):
    """What this end waits for. Messages of a Phase 1 exchange are counted from 1 (RFC 2409 §5)."""

    #: Nothing was sent or received yet.
    NEW = "the beginning"
    MAIN_2 = "message 2 of Main Mode"
    MAIN_3 = "message 3 of Main Mode"
    MAIN_4 = "message 4 of Main Mode"
    MAIN_5 = "message 5 of Main Mode"
    MAIN_6 = "message 6 of Main Mode"
    AGGRESSIVE_2 = "message 2 of Aggressive Mode"
    AGGRESSIVE_3 = "message 3 of Aggressive Mode"
    #: Phase 1 is over.
    UP = "Phase 2"

    @property
    def sent(self) -> str:
        """The message that we sent and that nothing answers."""
        return _SENT[self]

    @property
    def state(self) -> State:
        """The same in the words that IKE SAs of both versions share."""
        return _STATES[self]


_STATES = {
    Step.NEW: State.INITIATING, Step.MAIN_2: State.INITIATING, Step.AGGRESSIVE_2: State.INITIATING,
    Step.MAIN_4: State.INITIATING, Step.MAIN_6: State.AUTHENTICATING, Step.MAIN_3: State.RESPONDING,
    Step.MAIN_5: State.RESPONDING, Step.AGGRESSIVE_3: State.RESPONDING, Step.UP: State.ESTABLISHED}

_SENT = {Step.MAIN_2: "message 1 of Main Mode", Step.MAIN_4: "message 3 of Main Mode",
         Step.MAIN_6: "message 5 of Main Mode", Step.AGGRESSIVE_2: "message 1 of Aggressive Mode",
         Step.AGGRESSIVE_3: "message 2 of Aggressive Mode"}

FIRST_ANSWERS = (Step.MAIN_2, Step.AGGRESSIVE_2)
"""Here an initiator does not know the responder's cookie yet."""
