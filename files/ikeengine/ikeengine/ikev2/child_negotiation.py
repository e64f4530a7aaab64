# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What IKE_AUTH and CREATE_CHILD_SA share: offering tunnel routes, granting them, taking the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..crypto.errors import InvalidKeyExchange
from ..crypto.key_derivation import child_keys
from ..crypto.key_exchange import KeyExchange
from ..ike.account import ChildAccount
from ..ike.children import Child, check_path, make_child
from ..ike.refusal import Refusal
from ..negotiation.answers import chose_another, no_mirror, no_proposal, no_secrecy_group, refused
from ..negotiation.ikev2_proposals import ChildChoice, child_offers, choose_child, kept, offer_child
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_proposal
from ..negotiation.reasons import Reason
from ..negotiation.routes_apart import no_route, not_narrowed, proposed, told_of_narrowing
from ..negotiation.traffic_selectors import Part, agreed, narrow, selectors_of
from ..security_association import DirectionKeys
from ..vpn.algorithms import KeyEncapsulation
from ..vpn.model import Route, Tunnel
from ..wire import key_exchange as wire
from ..wire.constants import NotifyType
from ..wire.message import Payload
from ..wire.notify import Notify
from ..wire.payloads import require
from ..wire.security_association import ProposalSubstructure, SecurityAssociation
from ..wire.traffic_selectors import TrafficSelectorsInitiator, TrafficSelectorsResponder
from .exchange import error_in, notify_name
from .informational import DeleteOffered

if TYPE_CHECKING:
    from .session import Ikev2Session


@dataclass(slots=True)
class AgreedChild:
    """A child SA that both ends have agreed on, before its keys.

    ``shared_secret`` is that of the key exchange, empty where there was none; ``created_by_us`` is whether we initiated
    this exchange.
    """

    tunnel: Tunnel
    parts: Sequence[Part]
    choice: ChildChoice
    spi_in: int
    nonce_i: bytes
    nonce_r: bytes
    shared_secret: bytes = field(repr=False)
    created_by_us: bool
    initiated_at: float

    def make(self, session: Ikev2Session, additional: bytes, now: float) -> Child:
        """The child SA with its keys (RFC 7296 §2.17); ``additional`` is the secret of IKE_FOLLOWUP_KE, if any."""
        proposal, protection = self.choice.proposal, session.protection
        encryption_i, integrity_i, encryption_r, integrity_r = child_keys(
            protection.prf, protection.keys.sk_d, self.nonce_i, self.nonce_r, proposal.encryption,
            proposal.authentication, self.shared_secret, additional)
        return make_child(session, self.tunnel, self.parts, proposal, extended=self.choice.extended,
                          spi_in=self.spi_in, spi_out=self.choice.spi,
                          of_initiator=DirectionKeys(encryption_i, integrity_i),
                          of_responder=DirectionKeys(encryption_r, integrity_r),
                          lowest_nonce=min(self.nonce_i, self.nonce_r), created_by_us=self.created_by_us,
                          initiated_at=self.initiated_at, now=now)


@dataclass(slots=True)
class ChildOffer:
    """Routes that we propose for one child SA, until the answer comes.

    ``key_exchange`` is there where PFS is on, after IKE_AUTH; ``extended`` says that the data plane can do extended
    sequence numbers.
    """

    tunnel: Tunnel
    routes: tuple[Route, ...]
    spi_in: int
    key_exchange: KeyExchange | None
    extended: bool
    started_at: float
    account: ChildAccount

    @classmethod
    def make(cls, session: Ikev2Session, tunnel: Tunnel, routes: tuple[Route, ...], *, first: bool,
             now: float) -> ChildOffer:
        """Raises Refusal where the data plane gives no SPI, or a NAT lies between the ends of an AH tunnel."""
        check_path(session, tunnel)
        spi = session.context.allocate_spi(session.local.address, session.remote.address,
                                           tunnel.proposals[0].protocol, tunnel.name)
        group = None if first else tunnel.pfs
        additional = tunnel.additional_key_exchange if group else None
        extended = session.context.extended_sequence_numbers(tunnel.name)
        account = session.account.children[tunnel.name] = ChildAccount(
            tunnel.name, True, now, partial(child_offers, tunnel.proposals, group, additional, extended=extended),
            routes)
        return cls(tunnel, routes, spi, KeyExchange(group) if group else None, extended, now, account)

    def security_association(self) -> SecurityAssociation:
        group = self.key_exchange.group if self.key_exchange else None
        return SecurityAssociation(offer_child(self.tunnel.proposals, group, self.spi_in, additional=self._additional,
                                               extended=self.extended))

    @property
    def _additional(self) -> KeyEncapsulation | None:
        return self.tunnel.additional_key_exchange if self.key_exchange else None

    def selectors(self) -> list[Payload]:
        local, remote = selectors_of([(route, route) for route in self.routes])
        return [TrafficSelectorsInitiator(local), TrafficSelectorsResponder(remote)]

    def ask_singly(self, session: Ikev2Session, granted: Sequence[Route], now: float) -> None:
        """Ask for each of the routes by itself that the peer did not grant together."""
        rest = [(self.tunnel, route) for route in self.routes if route not in granted]
        if rest:
            session.single_pairs.add(self.tunnel.name)
            session.ask_for(rest, now)

    def is_refused_together(self, notify: int) -> bool:
        """Whether a refusal may be for want of routes that come one by one (RFC 7296 §2.9). A peer that has not one of
        an interface's address families leaves it out of its answer, and does not refuse both."""
        one_by_one = {NotifyType.SINGLE_PAIR_REQUIRED, *([NotifyType.TS_UNACCEPTABLE] if not self.tunnel.interface
                                                         else [])}
        return len(self.routes) > 1 and notify in one_by_one

    def decline(self, session: Ikev2Session, now: float) -> None:
        """The peer has made a child SA of the offer that `accept` refused: close it there."""
        session.requests.add(DeleteOffered(self.tunnel.proposals[0].protocol.value, self.spi_in), now)

    def accept(self, session: Ikev2Session, payloads: Sequence[Payload], nonce_i: bytes, nonce_r: bytes) -> AgreedChild:
        """What a positive answer agrees to. Raises Refusal (never fatal) where the answer cannot be used."""
        group = self.key_exchange.group if self.key_exchange else None
        answer = require(payloads, SecurityAssociation)
        choice = choose_child(answer.proposals, self.tunnel.proposals, group, additional=self._additional,
                              extended=self.extended)
        if isinstance(choice, NoMatch) or not answer.is_choice:
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 2 proposal", session.remote.address))
        local = require(payloads, TrafficSelectorsInitiator).selectors
        remote = require(payloads, TrafficSelectorsResponder).selectors
        self.account.theirs, self.account.selectors = kept(answer.proposals), partial(proposed, local, remote)
        parts = agreed(local, remote, self.routes)
        if parts is None:
            raise Refusal(NotifyType.TS_UNACCEPTABLE, not_narrowed(local, remote, self.routes, session.remote.address))
        shared = _shared_secret(self.key_exchange, payloads) if self.key_exchange else b""
        return AgreedChild(self.tunnel, parts, choice, self.spi_in, nonce_i, nonce_r, shared, created_by_us=True,
                           initiated_at=self.started_at)

    def refused(self, session: Ikev2Session, payloads: Sequence[Payload], *, first: bool) -> tuple[int, Reason] | None:
        """The error that stands in the answer in place of a child SA; None where there is a child SA."""
        error = error_in(payloads)
        if error is None:
            return None
        tunnel, peer, word = self.tunnel, session.remote.address, notify_name(error)
        if error == NotifyType.NO_PROPOSAL_CHOSEN:
            return error, no_proposal(tunnel, peer, word, with_pfs=not first)
        if error == NotifyType.INVALID_KE_PAYLOAD:
            return error, no_secrecy_group(tunnel, peer, word)
        if error == NotifyType.TS_UNACCEPTABLE:
            return error, no_mirror(tunnel, self.routes, peer, word)
        return error, refused(peer, word)


def grant(session: Ikev2Session, payloads: Sequence[Payload], *, nonce_i: bytes, nonce_r: bytes, first: bool,
          started_at: float, rekeyed: Child | None) -> tuple[list[Payload], AgreedChild]:
    """The responder's answer (SA, [KE], TSi, TSr; the caller adds its nonce) and what it agrees to. Raises Refusal."""
    initiator = require(payloads, TrafficSelectorsInitiator)
    responder = require(payloads, TrafficSelectorsResponder)
    offered = require(payloads, SecurityAssociation)
    context, gateway, routes = session.context, session.name, _routes(session, rekeyed)
    account = session.account.children[""] = ChildAccount(
        "", False, started_at, tuple, [route for _tunnel, route in routes], kept(offered.proposals),
        partial(proposed, responder.selectors, initiator.selectors))
    found = narrow(responder.selectors, initiator.selectors, routes,
                   lambda tunnel, route: rekeyed is None and context.is_covered(gateway, tunnel.name, route))
    if found is None:
        raise Refusal(NotifyType.TS_UNACCEPTABLE, no_route(responder.selectors, initiator.selectors, routes,
                                                           session.remote.address))
    tunnel = found.tunnel
    group = None if first else tunnel.pfs
    additional = tunnel.additional_key_exchange if group else None
    extended = context.extended_sequence_numbers(tunnel.name)
    account.tunnel, account.ours = tunnel.name, partial(child_offers, tunnel.proposals, group, additional,
                                                        extended=extended)
    session.account.children[tunnel.name] = session.account.children.pop("")
    check_path(session, tunnel)
    choice = choose_child(offered.proposals, tunnel.proposals, group, additional=additional, extended=extended)
    if isinstance(choice, NoMatch):
        reason = no_common_proposal(choice, session.remote.address, tunnel.name)
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN,
                      told_of_narrowing(reason, found, responder.selectors, initiator.selectors), tunnel=tunnel.name)
    key_exchange, shared = None, b""
    if group is not None:
        if require(payloads, wire.KeyExchange).group != group.number:
            raise Refusal(NotifyType.INVALID_KE_PAYLOAD, "", group.number.to_bytes(2, "big"))
        key_exchange = KeyExchange(group)
        shared = _shared_secret(key_exchange, payloads)
    spi_in = context.allocate_spi(session.local.address, session.remote.address, choice.proposal.protocol,
                                  tunnel.name)
    child = AgreedChild(tunnel, found.parts, choice, spi_in, nonce_i, nonce_r, shared, created_by_us=False,
                        initiated_at=started_at)
    answer: list[Payload] = [SecurityAssociation((_with_spi(choice, spi_in),))]
    if key_exchange is not None:
        answer.append(wire.KeyExchange(key_exchange.group.number, key_exchange.public))
    local, remote = selectors_of(found.parts)
    answer += [TrafficSelectorsInitiator(remote), TrafficSelectorsResponder(local)]
    if found.more:
        answer.append(Notify(NotifyType.ADDITIONAL_TS_POSSIBLE))
    return answer, child


def _routes(session: Ikev2Session, rekeyed: Child | None) -> list[tuple[Tunnel, Route]]:
    """What the peer may ask for."""
    if rekeyed is not None:
        return [(rekeyed.tunnel, route) for route in rekeyed.sa.declared]
    return [(tunnel, route) for tunnel in session.tunnels() for route in tunnel.secured]


def _with_spi(choice: ChildChoice, spi: int) -> ProposalSubstructure:
    row = choice.answer
    return ProposalSubstructure(row.number, row.protocol, spi.to_bytes(4, "big"), row.transforms)


def _shared_secret(key_exchange: KeyExchange, payloads: Sequence[Payload]) -> bytes:
    theirs = require(payloads, wire.KeyExchange)
    if theirs.group != key_exchange.group.number:
        raise Refusal(NotifyType.INVALID_KE_PAYLOAD, "phase 2: the peer's key exchange is of another group",
                      key_exchange.group.number.to_bytes(2, "big"))
    try:
        return key_exchange.shared_secret(theirs.data)
    except InvalidKeyExchange as error:
        raise Refusal(NotifyType.INVALID_SYNTAX,
                      f"phase 2: the peer's key exchange value is invalid: {error}") from None
