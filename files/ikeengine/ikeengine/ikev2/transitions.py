# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a message of each exchange in each state (RFC 7296): one row for every pair, in both directions.

A request gets this far when it is the next in order and authentic, a response when it is one at all; retransmissions
are answered before. First requests of IKE_SA_INIT, which have no keys, go to the acceptor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from ..ike.refusal import Refusal
from ..ike.state import State
from ..wire.constants import ExchangeType, NotifyType, ProtocolId
from ..wire.message import Payload
from ..wire.payloads import first
from ..wire.security_association import SecurityAssociation
from . import create_child_sa, followup_ke, ike_auth, informational, intermediate, rekey_ike

if TYPE_CHECKING:
    from .session import Ikev2Session

Responder: TypeAlias = Callable[["Ikev2Session", Sequence[Payload], float], list[Payload]]

#: In the place of every exchange type that we do not know.
ANY_OTHER = -1


class Reaction(Enum):
    """What the peer sees."""

    #: A request is answered by the code of its exchange.
    ANSWER = "answer"
    #: A request is answered TEMPORARY_FAILURE (§2.25).
    LATER = "later"
    #: A request is answered INVALID_SYNTAX, and the IKE SA stays.
    REFUSE = "refuse"
    #: A request is answered INVALID_SYNTAX, and the IKE SA ends.
    CLOSE = "close"
    #: A response is taken if it answers the request under way, and dropped if not.
    TAKE = "take"
    #: The message is dropped, and counted under the row's story.
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Row:
    """``story`` is the reason in a word; ``respond`` gives the payloads of a request's answer, or raises Refusal."""

    reaction: Reaction
    story: str
    respond: Responder | None = None


def _create_child_sa(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """CREATE_CHILD_SA is one of three: a rekey of the IKE SA (§1.3.2), a new child SA, or the rekey of one."""
    offered = first(payloads, SecurityAssociation)
    if offered is not None and any(row.protocol == ProtocolId.IKE for row in offered.proposals):
        return rekey_ike.respond(session, payloads, now)
    return create_child_sa.respond(session, payloads, now)


def _later(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    raise Refusal(NotifyType.TEMPORARY_FAILURE, "")


def _refuse(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    session.context.count("unexpected_exchange")
    raise Refusal(NotifyType.INVALID_SYNTAX, f"the peer's request has no place while the IKE SA is "
                  f"{session.state.value}", fatal=session.state is State.RESPONDING)


_NO_KEYS = Row(Reaction.DROP, "not_authentic")
_NOT_AUTHENTICATED = Row(Reaction.CLOSE, "not_authenticated", _refuse)
#: The peer is ahead of an answer of its own that was lost, and will ask again.
_EARLY = Row(Reaction.DROP, "early_request")
_OUT_OF_TURN = Row(Reaction.REFUSE, "out_of_turn", _refuse)
#: The peer tries again on the successor, if there is one.
_ON_ITS_WAY_OUT = Row(Reaction.LATER, "on_its_way_out", _later)
_GONE = Row(Reaction.DROP, "unknown_spi")
_INFORMED = Row(Reaction.ANSWER, "informed", informational.respond)
_ENDING = {ExchangeType.CREATE_CHILD_SA: _ON_ITS_WAY_OUT, ExchangeType.IKE_FOLLOWUP_KE: _ON_ITS_WAY_OUT,
           ExchangeType.INFORMATIONAL: _INFORMED}
_UNDER_WAY = Row(Reaction.TAKE, "under_way")
_UNASKED = Row(Reaction.DROP, "unexpected_response")
_OF_AN_IKE_SA_THAT_IS_UP = dict.fromkeys(
    (ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE, ExchangeType.INFORMATIONAL), _UNDER_WAY)


def _all(rows: Mapping[State, tuple[Mapping[ExchangeType, Row], Row]]) -> Iterator[tuple[tuple[State, int], Row]]:
    for state, (named, others) in rows.items():
        for exchange in (*ExchangeType, ANY_OTHER):
            yield (state, int(exchange)), named.get(exchange, others)


#: By state: the exchanges that have a place in it, and what becomes of all others.
REQUESTS: Mapping[tuple[State, int], Row] = dict(_all({
    State.INITIATING: ({}, _NO_KEYS),
    State.RESPONDING: ({
        ExchangeType.IKE_INTERMEDIATE: Row(Reaction.ANSWER, "adds_a_key", intermediate.respond),
        ExchangeType.IKE_AUTH: Row(Reaction.ANSWER, "authenticates", ike_auth.respond)}, _NOT_AUTHENTICATED),
    State.AUTHENTICATING: ({}, _EARLY),
    State.ESTABLISHED: ({
        ExchangeType.CREATE_CHILD_SA: Row(Reaction.ANSWER, "creates", _create_child_sa),
        ExchangeType.IKE_FOLLOWUP_KE: Row(Reaction.ANSWER, "adds_a_key", followup_ke.respond),
        ExchangeType.INFORMATIONAL: _INFORMED}, _OUT_OF_TURN),
    State.REPLACED: (_ENDING, _OUT_OF_TURN),
    State.CLOSING: (_ENDING, _OUT_OF_TURN),
    State.CLOSED: ({}, _GONE),
}))

#: By state: the exchanges of which a request of ours may be under way, and what becomes of all others.
RESPONSES: Mapping[tuple[State, int], Row] = dict(_all({
    State.INITIATING: ({ExchangeType.IKE_SA_INIT: _UNDER_WAY}, _UNASKED),
    State.RESPONDING: ({}, _UNASKED),
    State.AUTHENTICATING: ({ExchangeType.IKE_INTERMEDIATE: _UNDER_WAY, ExchangeType.IKE_AUTH: _UNDER_WAY}, _UNASKED),
    State.ESTABLISHED: (_OF_AN_IKE_SA_THAT_IS_UP, _UNASKED),
    State.REPLACED: (_OF_AN_IKE_SA_THAT_IS_UP, _UNASKED),
    State.CLOSING: ({ExchangeType.INFORMATIONAL: _UNDER_WAY}, _UNASKED),
    State.CLOSED: ({}, _GONE),
}))


def on_request(state: State, exchange: int) -> Row:
    """``exchange`` is any octet."""
    return REQUESTS.get((state, exchange)) or REQUESTS[state, ANY_OTHER]


def on_response(state: State, exchange: int) -> Row:
    """``exchange`` is any octet."""
    return RESPONSES.get((state, exchange)) or RESPONSES[state, ANY_OTHER]
