# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_AUTH (RFC 7296 §1.2, §2.15): identities, proof of the credential, and the first child SA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..crypto.key_derivation import IkeKeys
from ..ike.credentials import identification
from ..ike.refusal import Refusal
from ..negotiation import identities
from ..negotiation.answers import not_authentic, refused, undeclared
from ..negotiation.credentials import another_gateways_suite, no_common_ppk
from ..negotiation.reasons import Reason
from ..vpn.model import EndpointPair, Gateway, Ppk, Transform, Tunnel
from ..wire.authentication import Authentication
from ..wire.constants import ExchangeType, NotifyType
from ..wire.identification import Identification, IdentificationInitiator, IdentificationResponder
from ..wire.message import Payload, notify
from ..wire.notify import Notify
from ..wire.payloads import first, require
from ..wire.security_association import SecurityAssociation
from . import authentication, crash_detection, mobike, ppk
from .child_negotiation import ChildOffer, grant
from .create_child_sa import CreateChild
from .exchange import Task, error_in, notify_name
from .exchange import answer as answer_to

if TYPE_CHECKING:
    from .session import Ikev2Session


class IkeAuth(Task):
    """The initiator's side."""

    exchange = ExchangeType.IKE_AUTH

    def __init__(self) -> None:
        self._offer: ChildOffer | None = None
        self._plain_keys: IkeKeys | None = None

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        gateway, pair = session.gateway, session.pair
        assert gateway is not None and pair is not None
        own = IdentificationInitiator(*identification(gateway, pair))
        key = gateway.credential.ppk
        with_ppk = self._mix(session, gateway, key, own) if session.uses_ppk and key is not None else []
        certificates, proof = authentication.prove(session, gateway, own, of_initiator=True)
        payloads: list[Payload] = [own, *certificates]
        if session.context.is_first_contact(session):
            payloads.append(Notify(NotifyType.INITIAL_CONTACT))
        if mobike.is_wanted(session):
            payloads += mobike.announce(session)
        payloads += [*authentication.request((gateway,)),
                     IdentificationResponder(*identities.to_wire(pair.remote.identity)), proof, *with_ppk,
                     *crash_detection.own(session)]
        wanted = session.requests.take(CreateChild)
        while wanted is not None and not wanted.is_wanted(session):
            wanted = session.requests.take(CreateChild)
        if wanted is not None:
            wanted.spread(session)
            try:
                self._offer = ChildOffer.make(session, wanted.tunnel, wanted.routes, first=True, now=session.created_at)
            except Refusal as refusal:
                _no_child(session, wanted.tunnel, refusal.notify, refusal.reason, now)
            else:
                payloads += [self._offer.security_association(), *self._offer.selectors()]
        return payloads

    def _mix(self, session: Ikev2Session, gateway: Gateway, key: Ppk, own: Identification) -> list[Payload]:
        """Mix in the post-quantum pre-shared key. What names it, and where it is not required the proof without it."""
        self._plain_keys = session.protection.keys
        payloads: list[Payload] = [ppk.named(key)]
        if not key.required:
            _certificates, plain = authentication.prove(session, gateway, own, of_initiator=True)
            payloads.append(Notify(NotifyType.NO_PPK_AUTH, plain.data))
        ppk.mix(session, key)
        return payloads

    def _unmix(self, session: Ikev2Session, gateway: Gateway, payloads: Sequence[Payload]) -> None:
        """A responder that does not confirm the key has gone on without it. Raises Refusal."""
        key = gateway.credential.ppk
        if self._plain_keys is None or key is None or notify(payloads, NotifyType.PPK_IDENTITY) is not None:
            return
        if key.required:
            session.account.credential = ppk.NOT_COMMON
            raise Refusal(NotifyType.AUTHENTICATION_FAILED, no_common_ppk(gateway, session.remote.address, None))
        session.protection.keys, session.protection.ppk = self._plain_keys, False

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        gateway = session.gateway
        assert gateway is not None
        theirs = first(payloads, IdentificationResponder)
        proof = first(payloads, Authentication)
        if theirs is None or proof is None:
            error = error_in(payloads) or NotifyType.AUTHENTICATION_FAILED
            session.key_refused = error == NotifyType.AUTHENTICATION_FAILED
            raise _rejected(session, gateway, error)
        session.account.presented = theirs.id_type, theirs.data
        try:
            _check_identity(session, gateway, theirs)
            self._unmix(session, gateway, payloads)
            authentication.check(session, gateway, payloads, theirs, proof, now, of_initiator=False)
        except Refusal as refusal:
            # The peer already holds an IKE SA that we will not use: tell it (RFC 7296 §2.21.2).
            session.say_once([Notify(refusal.notify)], now)
            raise
        if mobike.is_wanted(session):
            mobike.begin(session, payloads, response=True)
        crash_detection.keep(session, payloads)
        session.establish(now)
        if self._offer is not None:
            self._take_child(session, self._offer, payloads, now)

    def _take_child(self, session: Ikev2Session, offer: ChildOffer, payloads: Sequence[Payload], now: float) -> None:
        failure: tuple[int, Reason | str] | None = None
        if first(payloads, SecurityAssociation) is None:
            failure = offer.refused(session, payloads, first=True) or (
                NotifyType.NO_PROPOSAL_CHOSEN, "the peer answered without a child SA")
            if offer.is_refused_together(failure[0]):
                offer.ask_singly(session, (), now)
                return
        else:
            try:
                child = offer.accept(session, payloads, session.nonce_i, session.nonce_r).make(session, b"", now)
                session.add_child(child, now)
                offer.ask_singly(session, child.sa.declared, now)
            except Refusal as refusal:
                failure = refusal.notify, refusal.reason
                offer.decline(session, now)
        if failure is not None:
            _no_child(session, offer.tunnel, *failure, now)


def _no_child(session: Ikev2Session, tunnel: Tunnel, notify: int, reason: Reason | str, now: float) -> None:
    session.fail(reason, notify_name(notify), tunnel=tunnel.name)
    session.context.child_lost(session, tunnel.name, now)


def _rejected(session: Ikev2Session, gateway: Gateway, error: int) -> Refusal:
    peer, word = session.remote.address, notify_name(error)
    assert session.pair is not None
    return Refusal(error, not_authentic(gateway, session.pair, peer, word) if error == NotifyType.AUTHENTICATION_FAILED
                   else refused(peer, word))


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The responder's side. A failed authentication is answered and closes; a failed child SA is only answered."""
    theirs = require(payloads, IdentificationInitiator)
    asked = first(payloads, IdentificationResponder)
    account = session.account
    account.reached, account.presented = ExchangeType.IKE_AUTH.name, (theirs.id_type, theirs.data)
    account.asked = (asked.id_type, asked.data) if asked else None
    proof = first(payloads, Authentication)
    if session.additional is not None and not session.additional.is_done:
        raise Refusal(NotifyType.INVALID_SYNTAX, f"the peer {session.remote} left out IKE_INTERMEDIATE with its "
                      f"{session.additional.kem.name}", fatal=True)
    gateway, pair = _meant(session, theirs, asked)
    session.is_with(gateway, pair)
    session.protection.transform = _same_suite(gateway, session.protection.transform) or session.protection.transform
    if proof is not None:
        proof = ppk.took(session, gateway, payloads, proof)
    scheme = authentication.check(session, gateway, payloads, theirs, proof, now, of_initiator=True)
    session.remote_identity = pair.remote.identity.value
    own = IdentificationResponder(*identification(gateway, pair))
    certificates, our_proof = authentication.prove(session, gateway, own, of_initiator=False, like=scheme)
    answer: list[Payload] = [own, *certificates, our_proof]
    if session.protection.ppk:
        answer.append(Notify(NotifyType.PPK_IDENTITY))
    if mobike.begin(session, payloads, response=False):
        answer += mobike.announce(session)
    crash_detection.keep(session, payloads)
    if session.crash_token:
        answer += crash_detection.own(session)
    if notify(payloads, NotifyType.INITIAL_CONTACT) is not None:
        session.context.initial_contact(session, now)
    session.establish(now)
    if first(payloads, SecurityAssociation) is None:
        return answer
    try:
        granted, agreed = grant(session, payloads, nonce_i=session.nonce_i, nonce_r=session.nonce_r, first=True,
                                started_at=session.created_at, rekeyed=None)
    except Refusal as refusal:
        session.fail(refusal.reason, notify_name(refusal.notify), tunnel=refusal.tunnel)
        return [*answer, answer_to(refusal)]
    session.add_child(agreed.make(session, b"", now), now)
    return answer + granted


def _meant(session: Ikev2Session, theirs: Identification, asked: Identification | None) -> identities.Meant:
    """The declared gateway that the peer says it is, and the endpoint pair by which it comes, among those that the
    addresses and the suite allow."""
    candidates = [(gateway, pair) for gateway in session.candidates for pair in session.pairs_of(gateway)]
    meant = [(gateway, pair) for gateway, pair in candidates if _is_meant(pair, theirs, asked)]
    for gateway, pair in meant:
        if _same_suite(gateway, session.protection.transform):
            return gateway, pair
    if meant:
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, another_gateways_suite(
            meant[0][0], session.candidates, session.remote.address, session.protection.suite), fatal=True)
    if not candidates:
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, undeclared(session.local.address, session.remote.address),
                      fatal=True)
    presented, expected = (theirs.id_type, theirs.data), (asked.id_type, asked.data) if asked else None
    raise Refusal(NotifyType.AUTHENTICATION_FAILED, identities.mismatch(
        candidates, session.remote.address, presented, expected), fatal=True)


def _is_meant(pair: EndpointPair, theirs: Identification, asked: Identification | None) -> bool:
    return identities.matches(pair.remote.identity, theirs.id_type, theirs.data) and (
        asked is None or identities.matches(pair.local.identity, asked.id_type, asked.data))


def _same_suite(gateway: Gateway, chosen: Transform) -> Transform | None:
    """The gateway's own transform of the suite that IKE_SA_INIT chose from all candidates."""
    return next((row for row in gateway.transforms
                 if (row.encryption, row.authentication, row.key_group, row.additional_key_exchange)
                 == (chosen.encryption, chosen.authentication, chosen.key_group, chosen.additional_key_exchange)), None)


def _check_identity(session: Ikev2Session, gateway: Gateway, theirs: Identification) -> None:
    assert session.pair is not None
    wanted = session.pair.remote.identity
    if not identities.matches(wanted, theirs.id_type, theirs.data):
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, identities.mismatch(
            [(gateway, session.pair)], session.remote.address, (theirs.id_type, theirs.data), None))
    session.remote_identity = wanted.value
