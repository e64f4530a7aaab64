# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CREATE_CHILD_SA for child SAs (RFC 7296 §1.3.1, §1.3.3, §2.8): further tunnel routes, and rekeying."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..ike.children import Child, ChildState, rekey_later
from ..ike.context import NONCE_SIZE
from ..ike.refusal import Refusal
from ..negotiation.reasons import Reason
from ..vpn.model import Route, Tunnel
from ..vpn.sharing import together
from ..wire import key_exchange as wire
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Payload, notify
from ..wire.nonce import Nonce
from ..wire.notify import Notify
from ..wire.payloads import require
from .child_negotiation import AgreedChild, ChildOffer, grant
from .exchange import Task, notify_name
from .followup_ke import FollowUp, await_it
from .informational import DeleteChild

if TYPE_CHECKING:
    from .session import Ikev2Session

_TO_SPARE = 16
_MOST_TRIES = 6
"""How often a new child SA is asked for again that the peer cannot take for now: for a minute."""


class CreateChild(Task):
    """A child SA for routes of a tunnel; ``rekeyed`` is the one that it is to replace, if any."""

    exchange = ExchangeType.CREATE_CHILD_SA

    def __init__(self, tunnel: Tunnel, routes: tuple[Route, ...], rekeyed: Child | None = None) -> None:
        self.tunnel = tunnel
        self.routes = routes
        self.rekeyed = rekeyed
        self._tries = 0
        self._nonce = b""
        self._offer: ChildOffer | None = None
        self._agreed: AgreedChild | None = None
        self._follow_up: FollowUp | None = None

    def is_wanted(self, session: Ikev2Session) -> bool:
        """Whether all its routes are still declared, and their tunnel not taken down."""
        return all(session.context.is_wanted(self.tunnel, route) for route in self.routes)

    def spread(self, session: Ikev2Session) -> None:
        """Take in all routes of the tunnel that need an SA here and can share this one, where that is declared; with an
        interface those that need none, too, as both ends initiating at once would else come to a pair for each."""
        if self.tunnel.shares_sa_pairs and self.tunnel.name not in session.single_pairs:
            missing = [route for route in self.tunnel.secured if route in self.routes or (
                session.context.is_wanted(self.tunnel, route)
                and (self.tunnel.interface is not None or not session.needs_no_other(self.tunnel.name, route)))]
            self.routes = together(self.routes[0], missing)

    def request(self, session: Ikev2Session, now: float) -> list[Payload] | None:
        if self._follow_up is not None:
            return self._follow_up.request()
        payloads: list[Payload] = []
        if not self.is_wanted(session):
            return None
        if self.rekeyed is not None:
            if self.rekeyed.state is not ChildState.INSTALLED:
                return None
            self.rekeyed.state = ChildState.REKEYING
            sa = self.rekeyed.sa
            payloads.append(Notify(NotifyType.REKEY_SA, b"", sa.protocol.value, sa.spi_in.to_bytes(4, "big")))
        elif session.is_going or all(session.needs_no_other(self.tunnel.name, route) for route in self.routes):
            return None  # what is missing once the IKE SA has gone is asked for on the one that stays
        else:
            self.spread(session)
        self._nonce = session.context.random(NONCE_SIZE)
        try:
            self._offer = offer = ChildOffer.make(session, self.tunnel, self.routes, first=False, now=now)
        except Refusal as refusal:
            self._refused(session, refusal.notify, refusal.reason, now)
            return None
        payloads += [offer.security_association(), Nonce(self._nonce)]
        if offer.key_exchange is not None:
            payloads.append(wire.KeyExchange(offer.key_exchange.group.number, offer.key_exchange.public))
        return payloads + offer.selectors()

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        assert self._offer is not None
        refused = self._offer.refused(session, payloads, first=False)
        if refused is not None:
            if self.rekeyed is None and self._offer.is_refused_together(refused[0]):
                self._offer.ask_singly(session, (), now)
            elif self.rekeyed is None and refused[0] == NotifyType.TEMPORARY_FAILURE and self._tries < _MOST_TRIES:
                self._try_later(session, now)
            else:
                self._refused(session, *refused, now)
            return
        secret = b""
        try:
            if self._follow_up is not None:
                secret = self._follow_up.secret(payloads)
            else:
                self._agreed = self._offer.accept(session, payloads, self._nonce, require(payloads, Nonce).data)
                kem = self._agreed.choice.additional
                if kem is not None:
                    self._follow_up, self.exchange = FollowUp(kem, payloads), ExchangeType.IKE_FOLLOWUP_KE
                    session.requests.add_first(self, now)
                    return
        except Refusal as refusal:
            self._offer.decline(session, now)
            self._refused(session, refusal.notify, refusal.reason, now)
            return
        assert self._agreed is not None
        self._made(session, self._agreed.make(session, secret, now), now)

    def _try_later(self, session: Ikev2Session, now: float) -> None:
        """The peer is about to rekey the IKE SA, or to close it (RFC 7296 §2.25). With jitter, since it may wait for us
        as well."""
        settings = session.context.settings
        pause = settings.retry_first * settings.retry_factor ** self._tries * (0.5 + session.context.fraction())
        self._tries += 1
        self._follow_up, self.exchange = None, ExchangeType.CREATE_CHILD_SA
        session.requests.postpone(self, now + pause)

    def _made(self, session: Ikev2Session, child: Child, now: float) -> None:
        assert self._offer is not None
        if child.sa.spi_out in session.deleted_ahead:
            session.deleted_ahead.clear()
            self._refused(session, NotifyType.TEMPORARY_FAILURE, "the peer closed it at once", now)
        elif self.rekeyed is None:
            session.add_child(child, now)
        else:
            self._replace(session, self.rekeyed, child, now)
        self._offer.ask_singly(session, child.sa.declared, now)

    def _replace(self, session: Ikev2Session, old: Child, new: Child, now: float) -> None:
        rival = old.replacement
        if rival is not None and rival.state is not ChildState.GONE and new.lowest_nonce < rival.lowest_nonce:
            # Both ends rekeyed the same SA and ours has the lowest nonce: we close it (RFC 7296 §2.8.1). The peer
            # deletes the old one.
            new.replaces = rival
            if old.state is ChildState.REKEYING:
                old.state = ChildState.REPLACED
            session.add_child(new, now)
            return
        if rival is not None:
            rival.outbound_due = None
        was_there = old.state is ChildState.REKEYING
        if was_there:
            old.state = ChildState.REPLACED
        session.add_child(new, now)
        if was_there:
            session.requests.add(DeleteChild(old, "rekeyed"), now)

    def _refused(self, session: Ikev2Session, notify: int, reason: Reason | str, now: float) -> None:
        old = self.rekeyed
        if old is None:
            session.fail(reason, notify_name(notify), tunnel=self.tunnel.name)
            session.context.child_lost(session, self.tunnel.name, now)
            return
        if old.state is ChildState.REKEYING:
            old.state = ChildState.INSTALLED
        if notify == NotifyType.CHILD_SA_NOT_FOUND:
            # The peer has it no longer: it rekeyed or deleted it while our request was on its way (RFC 7296 §2.25.1).
            session.remove_child(old, "the peer has it no longer")
            if old.replacement is None:
                session.context.child_lost(session, self.tunnel.name, now)
            else:
                session.activate_outbound(old.replacement)
            return
        if old.replacement is not None:
            old.state = ChildState.REPLACED
        elif old.state is ChildState.GONE:
            # The peer deleted it meanwhile, and whoever looked for what is missing saw that we asked for it.
            session.context.child_lost(session, self.tunnel.name, now)
        else:
            rekey_later(session, old, now, refused=notify != NotifyType.TEMPORARY_FAILURE)
        if notify != NotifyType.TEMPORARY_FAILURE:
            session.fail(reason, notify_name(notify), tunnel=self.tunnel.name)

    def abandoned(self, session: Ikev2Session, reason: str, now: float) -> None:
        if self.rekeyed is not None and self.rekeyed.state is ChildState.REKEYING:
            self.rekeyed.state = ChildState.INSTALLED


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """A child SA for a route of the peer's choice, or in place of the one that it names."""
    _check_room(session)
    _check_time(session, None)
    asked = notify(payloads, NotifyType.REKEY_SA)
    rekeyed = None
    if asked is not None:
        rekeyed = session.child_by_spi_out(asked.protocol, asked.spi)
        if rekeyed is None and isinstance(session.requests.current, CreateChild):
            # The peer may mean what our own request, whose answer is not here yet, has just made.
            raise Refusal(NotifyType.TEMPORARY_FAILURE, "")
        if rekeyed is None:
            raise Refusal(NotifyType.CHILD_SA_NOT_FOUND, "", protocol=asked.protocol, spi=asked.spi)
        if not all(session.context.is_wanted(rekeyed.tunnel, route) for route in rekeyed.sa.declared):
            raise Refusal(NotifyType.TEMPORARY_FAILURE, "")
    _check_time(session, rekeyed)
    nonce_i, nonce_r = require(payloads, Nonce).data, session.context.random(NONCE_SIZE)
    granted, agreed = grant(session, payloads, nonce_i=nonce_i, nonce_r=nonce_r, first=False, started_at=now,
                            rekeyed=rekeyed)
    answer = [granted[0], Nonce(nonce_r), *granted[1:]]
    if agreed.choice.additional is None:
        _install(session, agreed, rekeyed, b"", now)
        return answer
    return [*answer, await_it(session, agreed.choice.additional, partial(_install, session, agreed, rekeyed), now)]


def _check_room(session: Ikev2Session) -> None:
    """Raises Refusal where the peer has what all routes need while all of them are rekeyed, and more."""
    number = sum(len(tunnel.secured) for tunnel in session.tunnels())
    if len(session.children) >= 2 * number + _TO_SPARE:
        raise Refusal(NotifyType.NO_ADDITIONAL_SAS, Reason(
            "an old one goes before a new one comes", "Have the peer delete what it has replaced", "SA pairs",
            f"the peer has {len(session.children)} SA pairs", f"we allow no more for {number} tunnel routes"))


def _check_time(session: Ikev2Session, rekeyed: Child | None) -> None:
    """Raises Refusal where the peer is to try again later: what it wants replaced, or the IKE SA, is about to go (RFC
    7296 §2.25)."""
    is_going = rekeyed is not None and rekeyed.state in (ChildState.DELETING, ChildState.GONE)
    if is_going or session.takes_no_children:
        raise Refusal(NotifyType.TEMPORARY_FAILURE, "")


def _install(session: Ikev2Session, agreed: AgreedChild, rekeyed: Child | None, additional: bytes, now: float) -> None:
    _check_time(session, rekeyed)
    child = agreed.make(session, additional, now)
    if rekeyed is not None:
        _replaced_by_peer(session, rekeyed, child, now)
    session.add_child(child, now)


def _replaced_by_peer(session: Ikev2Session, old: Child, new: Child, now: float) -> None:
    """The peer deletes the old SA once it has the new; until then we send on the old one, so that nothing is lost."""
    old.replacement = new
    new.replaces = old
    new.outbound_due = now + session.context.settings.replaced_grace
    if old.state is ChildState.INSTALLED:
        old.state = ChildState.REPLACED
