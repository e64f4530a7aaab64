# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INFORMATIONAL (RFC 7296 §1.4, §1.4.1, §2.4): DELETE of either kind, liveness, and errors told by the peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ike.children import Child, ChildState
from ..ike.state import State
from ..wire.constants import ExchangeType, NotifyType, ProtocolId
from ..wire.delete import Delete
from ..wire.message import Payload, notify
from ..wire.payloads import all_of
from . import crash_detection, mobike
from .exchange import Task

if TYPE_CHECKING:
    from .session import Ikev2Session


class Liveness(Task):
    """Ask whether the peer is there. Its silence closes the IKE SA."""

    exchange = ExchangeType.INFORMATIONAL

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return [*mobike.ask(session), *crash_detection.anew(session)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        """That it came is what it says, and with MOBIKE how the peer sees us."""
        mobike.take_answer(session, payloads, now)


class DeleteChild(Task):
    """Close one child SA at both ends; we name the SPI that we receive on."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self, child: Child, reason: str) -> None:
        self._child = child
        self._reason = reason

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if self._child.state is ChildState.GONE:
            return None
        self._child.state = ChildState.DELETING
        sa = self._child.sa
        return [Delete(sa.protocol.value, (sa.spi_in.to_bytes(4, "big"),))]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        session.remove_child(self._child, self._reason)


class DeleteOffered(Task):
    """Close at the peer a child SA that it made for our offer and that we do not take (RFC 7296 §2.21.2)."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self, protocol: int, spi: int) -> None:
        """``spi`` is the one of the offer, which we would receive on."""
        self._delete = Delete(protocol, (spi.to_bytes(4, "big"),))

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return [self._delete]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        """There is nothing left to do."""


class DeleteIke(Task):
    """Close the IKE SA and all that it holds."""

    exchange = ExchangeType.INFORMATIONAL

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        session.state = State.CLOSING
        return [Delete(ProtocolId.IKE, ())]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        session.close(self._reason, now)


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The peer's DELETEs, its token for a new IKE SA, or its question whether we live."""
    crash_detection.keep(session, payloads)
    answer: dict[int, list[bytes]] = {}
    children = session.holder.children_by_spi_out()
    for row in all_of(payloads, Delete):
        if row.protocol == ProtocolId.IKE:
            # Where it rekeyed as well, it did not wait for our own rekey, which it never saw.
            session.close_after_answer("rekeyed" if session.is_replaced or session.rival else "the peer closed it")
            return []
        for octets in row.spis:
            child = children.pop((row.protocol, octets), None)
            if child is None:
                _deleted_ahead(session.holder, octets)
                continue
            spi = _deleted(session.holder, child, now)
            if spi is not None:
                answer.setdefault(row.protocol, []).append(spi)
    if notify(payloads, NotifyType.AUTHENTICATION_FAILED) is not None:
        session.close_after_answer("the peer refuses our identity or credential (AUTHENTICATION_FAILED)")
    return [*(Delete(protocol, tuple(spis)) for protocol, spis in answer.items()),
            *mobike.respond(session, payloads, now)]


def _deleted_ahead(session: Ikev2Session, octets: bytes) -> None:
    """It may be the SPI of what the peer has just made, of which its answer will tell us."""
    current = session.requests.current
    if current is not None and current.exchange in (ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE):
        session.deleted_ahead.append(int.from_bytes(octets, "big"))


def _deleted(session: Ikev2Session, child: Child, now: float) -> bytes | None:
    """Remove the child SA; answer with our SPI, unless we are deleting it as well (RFC 7296 §1.4.1)."""
    ours = None if child.state is ChildState.DELETING else child.sa.spi_in.to_bytes(4, "big")
    replacement = child.replacement
    if replacement is not None and replacement.state is not ChildState.GONE:
        session.activate_outbound(replacement)
        session.remove_child(child, "rekeyed by the peer")
        if not set(child.sa.declared) <= set(replacement.sa.declared):
            session.context.child_lost(session, child.sa.tunnel, now)
        return ours
    was_live = child.is_live
    session.remove_child(child, "the peer closed it")
    if was_live:
        session.context.child_lost(session, child.sa.tunnel, now)
    return ours
