# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Informational exchange (RFC 2408 §4.8, RFC 2409 §5.7): notifications and DELETEs, which nothing answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..crypto.errors import IntegrityError
from ..negotiation.answers import no_transform, not_authentic, refused, refused_mode
from ..negotiation.reasons import Reason
from ..wire.payloads import all_of
from ..wire.v1.constants import NotifyType, ProtocolId
from ..wire.v1.delete import Delete
from ..wire.v1.message import Chain
from ..wire.v1.notify import Notify
from . import deletion, liveness, phase1
from .notifications import errors_in, notify_name
from .protection import check
from .quick_mode import Initiated
from .state import Step

if TYPE_CHECKING:
    from .received import Received
    from .session import Ikev1Session

_MOST_ANSWERS = 32
"""Of one message: honest peers ask one thing at a time."""


def receive(session: Ikev1Session, received: Received, now: float) -> None:
    """After Phase 1. Raises IntegrityError and WireError."""
    if received.chain is not None and any(
            row.notify_type == NotifyType.INVALID_COOKIE for row in all_of(received.chain.payloads, Notify)):
        session.doubt(now)
        return
    received.require_encryption()
    chain = _authentic(session, received)
    session.heard(received.datagram, now)
    notifications, deletes = all_of(chain.payloads, Notify), all_of(chain.payloads, Delete)
    answers = [each for row in notifications for each in liveness.answer(session, row)]
    answers += [each for row in deletes if row.protocol != ProtocolId.ISAKMP
                for each in deletion.confirmations(session, row)]
    if answers:
        session.inform(answers[:_MOST_ANSWERS], now)
    for notification in notifications:
        _take_notification(session, notification, now)
    _take_deletes(session, deletes, now)


def _authentic(session: Ikev1Session, received: Received) -> Chain:
    message_id, protection = received.header.message_id, session.protection
    if not message_id or message_id in session.message_ids:
        raise IntegrityError("the message identifier was used before")
    chain = protection.decrypt(received.header.next_payload, received.data, protection.exchange(message_id))
    check(chain, protection.hash_1(message_id, chain.after_first))
    session.message_ids.use(message_id)
    return chain


def _take_notification(session: Ikev1Session, row: Notify, now: float) -> None:
    if liveness.is_about(row):
        return
    if row.notify_type == NotifyType.DELETED:
        session.holder.deletions.heard(row)
    elif row.notify_type == NotifyType.INITIAL_CONTACT:
        session.context.initial_contact(session, now)
    elif row.notify_type == NotifyType.RESPONDER_LIFETIME and row.protocol == ProtocolId.ISAKMP:
        life = phase1.announced_life(row)
        if life is not None:
            session.shorten(life, now)
    elif errors_in([row]):
        about = _refused(session, row)
        if about is not None:
            about.told(session, row, now)
        else:
            session.context.count("peer_reports_error")


def _refused(session: Ikev1Session, row: Notify) -> Initiated | None:
    """Our Quick Mode that an error is about: the one of that SPI, or where it names none, or the ISAKMP SA, the first
    that waits, since peers take them in turn."""
    waiting = session.exchanges.under_way(Initiated)
    if any(row.spi) and row.spi != session.spi_i + session.spi_r:
        waiting = [each for each in waiting if each.initiators_spi == row.spi]
    return waiting[0] if waiting else None


def _take_deletes(session: Ikev1Session, rows: Sequence[Delete], now: float) -> None:
    """Of child SAs first: what the ISAKMP SA holds when it goes may be handed on."""
    holder = session.holder
    children = holder.children_by_spi_out()
    for row in rows:
        for spi in row.spis:
            child = children.pop((row.protocol, spi), None)
            if child is not None:
                holder.closed_by_peer(child, now)
    if any(row.protocol == ProtocolId.ISAKMP and session.spi_i + session.spi_r in row.spis for row in rows):
        session.close_for_peer(now)


def receive_early(session: Ikev1Session, received: Received, now: float) -> None:
    """While Phase 1 is under way: an error of the peer's ends it. Nobody can prove such a message before there are
    keys, and a peer that has others cannot later; but who makes one up has seen our cookies.

    Raises NotProven where it is encrypted under other keys than ours, which says enough."""
    chain = received.chain or _opened(session, received)
    errors = errors_in(chain.payloads)
    if not errors:
        session.context.count("unexpected_exchange")
        return
    session.refused_by_peer(errors[0].notify_type, _explained(session, errors[0].notify_type), now)


def _opened(session: Ikev1Session, received: Received) -> Chain:
    if not session.has_keys:
        raise IntegrityError("there are no keys yet")
    try:
        return _authentic(session, received)
    except IntegrityError:
        raise phase1.NotProven(NotifyType.PAYLOAD_MALFORMED, session.phase1.proven_by.other_keys()) from None


def _explained(session: Ikev1Session, kind: int) -> Reason:
    gateway, peer, word = session.gateway, session.remote.address, notify_name(kind)
    if gateway is not None and session.initiator:
        if kind == NotifyType.NO_PROPOSAL_CHOSEN:
            return no_transform(gateway, peer, word)
        if kind in (NotifyType.UNSUPPORTED_EXCHANGE_TYPE, NotifyType.INVALID_EXCHANGE_TYPE):
            return refused_mode(gateway, peer, word, session.mode)
    if (gateway is not None and session.pair is not None and kind != NotifyType.NO_PROPOSAL_CHOSEN
            and session.step in (Step.MAIN_6, Step.AGGRESSIVE_2, Step.AGGRESSIVE_3)):
        return not_authentic(gateway, session.pair, peer, word)
    return refused(peer, word)
