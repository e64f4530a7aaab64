# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which request is answered in which state, and by what (RFC 7296). A pair that is not here is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..ike.refusal import Refusal
from ..ike.state import State
from ..wire.constants import ExchangeType, NotifyType, ProtocolId
from ..wire.message import Payload, first
from ..wire.security_association import SecurityAssociation
from . import create_child_sa, followup_ke, ike_auth, informational, intermediate, rekey_ike

if TYPE_CHECKING:
    from .session import Ikev2Session

Responder: TypeAlias = Callable[["Ikev2Session", Sequence[Payload], float], list[Payload]]


def _create_child_sa(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """CREATE_CHILD_SA is one of three: a rekey of the IKE SA (§1.3.2), a new child SA, or the rekey of one."""
    offered = first(payloads, SecurityAssociation)
    if offered is not None and any(row.protocol == ProtocolId.IKE for row in offered.proposals):
        return rekey_ike.respond(session, payloads, now)
    return create_child_sa.respond(session, payloads, now)


def _later(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The IKE SA is on its way out: the peer tries again on its successor (RFC 7296 §2.25.2)."""
    raise Refusal(NotifyType.TEMPORARY_FAILURE, "")


#: IKE_SA_INIT is not here: it has no keys, and `sa_manager` gives it to `ike_sa_init.respond`.
RESPONDERS: Mapping[tuple[State, int], Responder] = {
    (State.RESPONDING, ExchangeType.IKE_INTERMEDIATE): intermediate.respond,
    (State.RESPONDING, ExchangeType.IKE_AUTH): ike_auth.respond,
    (State.ESTABLISHED, ExchangeType.CREATE_CHILD_SA): _create_child_sa,
    (State.ESTABLISHED, ExchangeType.IKE_FOLLOWUP_KE): followup_ke.respond,
    (State.ESTABLISHED, ExchangeType.INFORMATIONAL): informational.respond,
    (State.REPLACED, ExchangeType.CREATE_CHILD_SA): _later,
    (State.REPLACED, ExchangeType.IKE_FOLLOWUP_KE): _later,
    (State.REPLACED, ExchangeType.INFORMATIONAL): informational.respond,
    (State.CLOSING, ExchangeType.CREATE_CHILD_SA): _later,
    (State.CLOSING, ExchangeType.IKE_FOLLOWUP_KE): _later,
    (State.CLOSING, ExchangeType.INFORMATIONAL): informational.respond,
}
