# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Main and Aggressive Mode share (RFC 2409 §5): who the peer may be, the suite, the keys, and their proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ..crypto.isakmp_keys import isakmp_keys
from ..crypto.key_exchange import KeyExchange
from ..crypto.prf import prf as compute_prf
from ..ike.context import NONCE_SIZE
from ..ike.credentials import identification
from ..ike.refusal import Refusal
from ..negotiation import identities
from ..negotiation.answers import another_mode, chose_another, no_udp_here
from ..negotiation.ikev1_proposals import IkeChoice, choose_ike, ike_life, ike_offers, kept_ike, write_ike_life
from ..negotiation.matching import NoMatch
from ..negotiation.mismatches import no_common_transform
from ..negotiation.reasons import Reason
from ..security_association import Datagram
from ..vpn.algorithms import Authentication
from ..vpn.model import CredentialMethod, EndpointPair, Gateway, Mode, Secret, Transform
from ..wire.errors import WireError
from ..wire.payloads import all_of, require
from ..wire.v1.attributes import decode_attributes, encode_attributes
from ..wire.v1.constants import NotifyType
from ..wire.v1.identification import Identification
from ..wire.v1.message import Payload
from ..wire.v1.notify import Notify
from ..wire.v1.opaque import KeyExchange as KeyExchangePayload
from ..wire.v1.security_association import SecurityAssociation
from .authentication import Credentials, Proven, credentials_of
from .nat_discovery import NatDigests
from .protection import Protection

if TYPE_CHECKING:
    from .session import Ikev1Session


@dataclass(slots=True)
class Phase1:
    """What is forgotten once Phase 1 is over. ``sa_body`` is the initiator's SA payload as both hashes cover it."""

    credentials: Credentials | None = None
    sa_body: bytes = b""
    transform: Transform | None = None
    life: int | None = None
    key_exchange: KeyExchange | None = None
    peer_public: bytes = field(default=b"", repr=False)
    #: One for each pre-shared key that the peer may have, our own first.
    protections: Sequence[tuple[Secret | None, Protection]] = ()
    own_id: Identification | None = None
    #: Of Aggressive Mode, until the proof of it comes.
    peer_id: Identification | None = None
    #: Why a message of the peer's was not believed.
    suspicion: Reason | str = ""

    @property
    def proven_by(self) -> Credentials:
        assert self.credentials is not None
        return self.credentials


class NotProven(Refusal):
    """The peer did not show that it is who it says; or somebody else made the message, so it alone ends nothing."""


def modes(gateway: Gateway) -> tuple[Mode, ...]:
    """The modes that a gateway's responder takes part in, and its initiator in that order."""
    if gateway.mode is Mode.MAIN_FALLBACK_AGGRESSIVE:
        return Mode.MAIN, Mode.AGGRESSIVE
    return (gateway.mode or Mode.MAIN,)


# ------------------------------------------------------------------------------------------------ who and what

def find_candidates(session: Ikev1Session, mode: Mode) -> tuple[Gateway, ...]:
    """The gateways that the initiator at the other end may be. Raises Refusal with the reason where there is none."""
    local, remote = session.local.address, session.remote.address
    found = session.candidates = tuple(session.context.candidates(local, remote, session.version))
    if not found:
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, session.nobody())
    willing = tuple(row for row in found if mode in modes(row))
    if not willing:
        raise Refusal(NotifyType.UNSUPPORTED_EXCHANGE_TYPE, another_mode(found[0], remote, mode))
    return willing


def note_offer(session: Ikev1Session, offered: SecurityAssociation, message: str) -> None:
    """For whoever asks afterwards how far the peer came, and with what."""
    session.account.reached, session.account.theirs = message, kept_ike(offered)


def choose_gateway(session: Ikev1Session, offered: SecurityAssociation, candidates: Sequence[Gateway]) -> IkeChoice:
    """The first of them that finds a suite of its own in what is offered; it is the session's, and so are its
    credentials. Raises Refusal."""
    misses = []
    for gateway in candidates:
        credentials = credentials_of(gateway, session.remote.address)
        session.account.ours = partial(ike_offers, gateway.transforms, credentials.method)
        choice = choose_ike(offered, gateway.transforms, credentials.method)
        if not isinstance(choice, NoMatch):
            session.is_with(gateway, session.pairs_of(gateway)[0])
            session.phase1.credentials = credentials
            return choice
        misses.append(choice)
    raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, no_common_transform(misses[0], session.remote.address))


def same_suite(gateway: Gateway, chosen: Transform) -> Transform | None:
    """The gateway's own transform of the suite that was chosen, perhaps as another's: its life is its own."""
    return next((row for row in gateway.transforms if (row.encryption, row.authentication, row.key_group)
                 == (chosen.encryption, chosen.authentication, chosen.key_group)), None)


def take_choice(session: Ikev1Session, choice: IkeChoice) -> None:
    session.phase1.transform = choice.transform
    session.phase1.life = choice.life


def take_answered_suite(session: Ikev1Session, answer: SecurityAssociation) -> None:
    """The initiator's side: what the peer chose has to be one transform of ours. Raises Refusal."""
    assert session.gateway is not None
    session.account.theirs = kept_ike(answer)
    choice = choose_ike(answer, session.gateway.transforms, session.phase1.proven_by.method)
    if isinstance(choice, NoMatch) or sum(len(row.transforms) for row in answer.proposals) != 1:
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, chose_another("phase 1 transform", session.remote.address))
    take_choice(session, choice)


# ------------------------------------------------------------------------------------------------ keys

def own_key_exchange(session: Ikev1Session, transform: Transform) -> KeyExchangePayload:
    session.phase1.key_exchange = KeyExchange(transform.key_group)
    return KeyExchangePayload(session.phase1.key_exchange.public)


def fresh_nonce(session: Ikev1Session) -> bytes:
    return session.context.random(NONCE_SIZE)


def take_public_value(session: Ikev1Session, payloads: Sequence[Payload], transform: Transform) -> None:
    """Raises Refusal where it is of another size than the group's."""
    theirs = require(payloads, KeyExchangePayload)
    if len(theirs.data) != transform.key_group.public_size:
        raise Refusal(NotifyType.INVALID_KEY_INFORMATION,
                      f"phase 1: the peer's key exchange has {len(theirs.data)} octets, those of group "
                      f"{transform.key_group.number} have {transform.key_group.public_size}")
    session.phase1.peer_public = theirs.data


def derive(session: Ikev1Session) -> None:
    """The keys, once, with those of our own pre-shared key in force. Raises InvalidKeyExchange where the peer's public
    value is no good."""
    phase1 = session.phase1
    if phase1.protections:
        return
    assert phase1.key_exchange is not None and phase1.transform is not None
    shared = phase1.key_exchange.shared_secret(phase1.peer_public)
    prf = phase1.transform.authentication
    keyed = phase1.proven_by.skeyids(prf, session.nonce_i, session.nonce_r, shared)
    turn = session.key_turn % len(keyed)
    phase1.protections = [
        (key, Protection(phase1.transform, isakmp_keys(prf, skeyid, shared, session.spi_i, session.spi_r),
                         *_publics(session)))
        for key, skeyid in (*keyed[turn:], *keyed[:turn])]
    session.protection = phase1.protections[0][1]


def by_each_key(session: Ikev1Session, take: Callable[[], None]) -> None:
    """Take the peer's proof under the keys of the first accepted pre-shared key that it holds under (RFC 2409 §5.4: all
    keys of an ISAKMP SA come from it). Raises what ``take`` does under our own key where it holds under none."""
    phase1 = session.phase1
    refusals: list[NotProven | WireError] = []
    for _key, protection in phase1.protections:
        session.protection = protection
        try:
            take()
        except (NotProven, WireError) as refusal:
            refusals.append(refusal)
        else:
            return
    session.protection = phase1.protections[0][1]
    raise refusals[0]


def _publics(session: Ikev1Session) -> tuple[bytes, bytes]:
    """The initiator's public value, and the responder's."""
    phase1 = session.phase1
    assert phase1.key_exchange is not None
    own, peer = phase1.key_exchange.public, phase1.peer_public
    return (own, peer) if session.initiator else (peer, own)


# ------------------------------------------------------------------------------------------------ proofs

def own_identity(session: Ikev1Session) -> Identification:
    assert session.gateway is not None and session.pair is not None
    session.phase1.own_id = Identification(*identification(session.gateway, session.pair))
    return session.phase1.own_id


def prove(session: Ikev1Session, identity: Identification) -> list[Payload]:
    return session.phase1.proven_by.prove(session.protection.transform.authentication,
                                          _proven(session, identity, of_initiator=session.initiator))


def check_peer(session: Ikev1Session, gateways: Sequence[Gateway], payloads: Sequence[Payload], theirs: Identification,
               now: float) -> None:
    """The peer is one of these, and proves it; the gateway that it is, is the session's. Raises NotProven, or Refusal
    where it proves that it is another."""
    meant = next((row for row in gateways if pair_meant(session, row, theirs)), None)
    if meant is not None:
        take_meant(session, meant, theirs)
        session.phase1.credentials = credentials_of(meant, session.remote.address)
        session.phase1.transform = same_suite(meant, session.protection.transform)
    elif gateways[0].method is CredentialMethod.CERTIFICATE:  # of nobody else we know whom to trust
        raise NotProven(*wrong_identity(session, gateways, theirs))
    _check_proof(session, payloads, theirs, now)
    key = next(key for key, protection in session.phase1.protections if protection is session.protection)
    session.proofs = session.phase1.proven_by.proofs(key, payloads)
    if meant is None:
        raise Refusal(*wrong_identity(session, gateways, theirs))
    assert session.pair is not None
    session.remote_identity = session.pair.remote.identity.value


def _check_proof(session: Ikev1Session, payloads: Sequence[Payload], identity: Identification, now: float) -> None:
    """Raises NotProven."""
    assert session.pair is not None
    account = session.account
    account.presented, account.credential = (identity.id_type, identity.data), "the peer's proof does not hold"
    try:
        session.phase1.proven_by.check(session.protection.transform.authentication, payloads,
                                       _proven(session, identity, of_initiator=not session.initiator),
                                       session.pair.remote.identity, session.context.unix_time(now))
    except Refusal as refusal:
        raise NotProven(refusal.notify, refusal.reason) from None
    account.credential = "the peer's proof holds"


def _proven(session: Ikev1Session, identity: Identification, *, of_initiator: bool) -> Proven:
    """HASH_I and HASH_R cover the same, each from its own end's side (RFC 2409 §5)."""
    public_i, public_r = _publics(session)
    ends = ((public_i, public_r, session.spi_i, session.spi_r) if of_initiator
            else (public_r, public_i, session.spi_r, session.spi_i))
    octets = b"".join((*ends, session.phase1.sa_body, identity.encode_body()))
    skeyid = session.protection.keys.skeyid

    def proven(prf: Authentication) -> bytes:
        return compute_prf(prf, skeyid, octets)

    return proven


def pair_meant(session: Ikev1Session, gateway: Gateway, theirs: Identification) -> EndpointPair | None:
    """By which endpoint pair the peer is that gateway, if it is."""
    return next((pair for pair in session.pairs_of(gateway)
                 if identities.matches(pair.remote.identity, theirs.id_type, theirs.data)), None)


def take_meant(session: Ikev1Session, gateway: Gateway, theirs: Identification) -> None:
    """The peer says that it is that gateway."""
    pair = pair_meant(session, gateway, theirs)
    assert pair is not None
    session.is_with(gateway, pair)


def wrong_identity(session: Ikev1Session, candidates: Sequence[Gateway],
                   theirs: Identification) -> tuple[NotifyType, Reason]:
    """What a Refusal is made of."""
    return NotifyType.AUTHENTICATION_FAILED, identities.mismatch(
        [(gateway, pair) for gateway in candidates for pair in session.pairs_of(gateway)], session.remote.address,
        (theirs.id_type, theirs.data), None)


# ------------------------------------------------------------------------------------------------ NAT traversal

def announce_path(session: Ikev1Session) -> list[Payload]:
    """Both NAT-D payloads, where both ends do NAT traversal."""
    edition = session.abilities.nat_traversal
    if edition is None:
        return []
    pretend = session.context.random if session.context.encapsulate(session.name) else None
    return _digests(session).announce(edition.payload, session.local, session.remote, pretend)


def take_path(session: Ikev1Session, payloads: Sequence[Payload], datagram: Datagram) -> None:
    """Raises Refusal where only ESP in UDP would do and the peer does no NAT traversal."""
    edition = session.abilities.nat_traversal
    found = _digests(session).detect(payloads, datagram) if edition is not None else None
    if found is not None:
        session.behind_nat, session.peer_behind_nat = found.local, found.remote
        session.nat_detected = found.local or found.remote
    if session.context.encapsulate(session.name):
        if found is None:
            assert session.gateway is not None
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, no_udp_here(session.gateway, session.remote.address))
        session.nat_detected = True


def _digests(session: Ikev1Session) -> NatDigests:
    assert session.phase1.transform is not None
    return NatDigests(session.phase1.transform.authentication, session.spi_i, session.spi_r)


# ------------------------------------------------------------------------------------------------ what comes along

def first_contact(session: Ikev1Session) -> list[Payload]:
    """INITIAL-CONTACT, where we hold no other IKE SA with the peer (RFC 2407 §4.6.3.3)."""
    if not session.context.is_first_contact(session):
        return []
    return [Notify(NotifyType.INITIAL_CONTACT, spi=session.spi_i + session.spi_r)]


def take_first_contact(session: Ikev1Session, payloads: Sequence[Payload], now: float) -> None:
    if any(row.notify_type == NotifyType.INITIAL_CONTACT for row in all_of(payloads, Notify)):
        session.context.initial_contact(session, now)


def shorter_life(session: Ikev1Session) -> list[Payload]:
    """RESPONDER-LIFETIME, where our own life is shorter than the one that was offered (RFC 2407 §4.6.3.1)."""
    phase1 = session.phase1
    assert phase1.transform is not None
    if phase1.life is None or phase1.transform.sa_life >= phase1.life:
        return []
    return [Notify(NotifyType.RESPONDER_LIFETIME, encode_attributes(write_ike_life(phase1.transform.sa_life)),
                   spi=session.spi_i + session.spi_r)]


def announced_life(row: Notify) -> int | None:
    """Seconds. Raises MalformedMessage."""
    return ike_life(decode_attributes(row.data))


def agreed_life(session: Ikev1Session, payloads: Sequence[Payload] = ()) -> int:
    """The shortest of ours, of what was offered, and of what the responder says."""
    phase1 = session.phase1
    assert phase1.transform is not None
    lives = [phase1.transform.sa_life, phase1.life]
    lives += [announced_life(row) for row in all_of(payloads, Notify)
              if row.notify_type == NotifyType.RESPONDER_LIFETIME]
    return min(life for life in lives if life)
