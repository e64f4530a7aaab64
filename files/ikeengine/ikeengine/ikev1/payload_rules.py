# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which payloads a message must have and how often it may have them (RFC 2409 §5). Every message is held against this
before the code of its exchange sees it. What proves an identity, HASH or SIG, is a matter of the credentials."""

from __future__ import annotations

from collections.abc import Mapping

from ..vpn.model import Mode
from ..wire.payload_rules import AT_MOST_ONE, ONE, Row
from ..wire.v1.constants import PayloadType
from .state import Step

_SUITE: Row = {PayloadType.SA: ONE}
_KEY_EXCHANGE: Row = {PayloadType.KE: ONE, PayloadType.NONCE: ONE}
_IDENTITY: Row = {PayloadType.ID: ONE}
_PROOF: Row = {PayloadType.HASH: AT_MOST_ONE, PayloadType.SIG: AT_MOST_ONE}

#: Message 1 of Phase 1.
FIRST: Mapping[Mode, Row] = {Mode.MAIN: _SUITE, Mode.AGGRESSIVE: {**_SUITE, **_KEY_EXCHANGE, **_IDENTITY}}

#: The other messages of Phase 1, by the step that waits for them.
PHASE_1: Mapping[Step, Row] = {
    Step.MAIN_2: _SUITE,
    Step.MAIN_3: _KEY_EXCHANGE,
    Step.MAIN_4: _KEY_EXCHANGE,
    Step.MAIN_5: {**_IDENTITY, **_PROOF},
    Step.MAIN_6: {**_IDENTITY, **_PROOF},
    Step.AGGRESSIVE_2: {**_SUITE, **_KEY_EXCHANGE, **_IDENTITY, **_PROOF},
    Step.AGGRESSIVE_3: _PROOF,
}

#: Messages 1 and 2 of Quick Mode; several SAs in one are not negotiated here.
QUICK_MODE: Row = {PayloadType.HASH: ONE, **_SUITE, PayloadType.NONCE: ONE, PayloadType.KE: AT_MOST_ONE,
                   PayloadType.ID: (0, 2)}
