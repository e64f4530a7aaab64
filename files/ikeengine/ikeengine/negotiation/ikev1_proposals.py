# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1's proposals on the wire (RFC 2407 §4.5, RFC 2409 appendix A) to offers and back, of both phases.

A responder sends back one transform as it was offered. Lives are no ground to refuse one: the shorter counts, which the
responder says where it is its own (RFC 2407 §4.5.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..vpn import algorithms
from ..vpn.algorithms import KeyGroup, Use
from ..vpn.model import Expiration, Proposal, Transform
from ..wire.v1 import security_association as wire
from ..wire.v1.attributes import Attributes
from ..wire.v1.constants import (
    KEY_IKE,
    AuthenticationMethod,
    EncapsulationMode,
    IkeAttribute,
    IpsecAttribute,
    LifeType,
    ProtocolId,
)
from .ikev2_proposals import child_algorithms, group_name
from .matching import AUTHENTICATION, ENCAPSULATION, ENCRYPTION, KEY_GROUP, METHOD, PROTOCOL, NoMatch, Offer, choose

TUNNEL, UDP_TUNNEL = "tunnel", "tunnel in UDP"

NO_EXPIRATION = Expiration(None, None)

_METHODS: dict[int, str] = {
    AuthenticationMethod.PRE_SHARED_KEY: "pre-shared key", AuthenticationMethod.RSA_SIGNATURE: "RSA signature",
    AuthenticationMethod.ECDSA_SHA2_256_P256: "ECDSA signature on P-256",
    AuthenticationMethod.ECDSA_SHA2_384_P384: "ECDSA signature on P-384",
    AuthenticationMethod.ECDSA_SHA2_512_P521: "ECDSA signature on P-521"}
_MODES: dict[int, str] = {
    EncapsulationMode.TUNNEL: TUNNEL, EncapsulationMode.TRANSPORT: "transport",
    EncapsulationMode.UDP_TUNNEL: UDP_TUNNEL, EncapsulationMode.UDP_TUNNEL_DRAFT: UDP_TUNNEL}
_GROUPS = {row.number: group_name(row) for row in algorithms.KEY_GROUPS if Use.IKEV1 in row.uses}
_IKE_HASHES = {row.ikev1_hash_id: row.name for row in algorithms.AUTHENTICATIONS}
_IKE_CIPHERS: dict[tuple[int | None, int | None], str] = {
    (row.ikev1_id, None if row.fixed_key else row.key_bits): row.name
    for row in algorithms.ENCRYPTIONS if row.ikev1_id is not None}
_ESP_CIPHERS: dict[tuple[int | None, int | None], str] = {
    (row.ipsec_doi_id, None if row.fixed_key else row.key_bits): row.name
    for row in algorithms.ENCRYPTIONS if row.ipsec_doi_id is not None}
_IPSEC_HASHES = {row.ipsec_doi_id: row.name for row in algorithms.AUTHENTICATIONS}
_AH_HASHES = {row.ah_transform_id: row.name for row in algorithms.AUTHENTICATIONS}


_MOST_KEPT = 32


@dataclass(frozen=True, slots=True)
class IkeChoice:
    """``transform`` is ours; ``life`` the seconds that were offered with it, if any; ``answer`` what to send back."""

    transform: Transform
    life: int | None
    answer: wire.SecurityAssociation


@dataclass(frozen=True, slots=True)
class ChildChoice:
    """``spi`` is the peer's inbound SPI; ``offered`` the life that it offers; ``in_udp`` says that ESP goes in UDP."""

    proposal: Proposal
    in_udp: bool
    offered: Expiration
    spi: int
    _number: int
    _transform: wire.Transform

    def answer(self, spi: int) -> wire.SecurityAssociation:
        """What to send back, with our inbound SPI."""
        return wire.SecurityAssociation((wire.Proposal(
            self._number, self.proposal.protocol.value, spi.to_bytes(4, "big"), (self._transform,)),))


# ------------------------------------------------------------------------------------------------ lives

def shorter(one: Expiration, other: Expiration) -> Expiration:
    """What is over first, of seconds and of kilobytes."""
    def least(left: int | None, right: int | None) -> int | None:
        return min((row for row in (left, right) if row is not None), default=None)

    return Expiration(least(one.seconds, other.seconds), least(one.kilobytes, other.kilobytes))


def read_lives(attributes: Attributes, kind: int = IpsecAttribute.LIFE_TYPE,
               duration: int = IpsecAttribute.LIFE_DURATION) -> Expiration:
    """Each type of life stands before its duration (RFC 2407 §4.5). The attributes are numbered as in Phase 2, unless
    others are given."""
    found: dict[int, int] = {}
    current: int | None = None
    for attribute, value in attributes:
        if attribute == kind:
            current = value
        elif attribute == duration and current is not None and value:
            found[current] = value
            current = None
    return Expiration(found.get(LifeType.SECONDS), found.get(LifeType.KILOBYTES))


def ike_life(attributes: Attributes) -> int | None:
    """Of Phase 1, in seconds; kilobytes are an ISAKMP SA's measure nowhere."""
    return read_lives(attributes, IkeAttribute.LIFE_TYPE, IkeAttribute.LIFE_DURATION).seconds


def write_lives(expiration: Expiration) -> Attributes:
    """For Phase 2."""
    rows = ((LifeType.SECONDS, expiration.seconds), (LifeType.KILOBYTES, expiration.kilobytes))
    return tuple(attribute for kind, value in rows if value is not None
                 for attribute in ((IpsecAttribute.LIFE_TYPE, kind), (IpsecAttribute.LIFE_DURATION, value)))


def write_ike_life(seconds: int) -> Attributes:
    """For Phase 1."""
    return (IkeAttribute.LIFE_TYPE, LifeType.SECONDS), (IkeAttribute.LIFE_DURATION, seconds)


# ------------------------------------------------------------------------------------------------ Phase 1

def offer_ike(transforms: Sequence[Transform], method: int) -> wire.SecurityAssociation:
    """One proposal with a transform for each of ours, in order. ``method`` is an AuthenticationMethod."""
    rows = tuple(wire.Transform(number, KEY_IKE, tuple(_ike_attributes(row, method)))
                 for number, row in enumerate(transforms, 1))
    return wire.SecurityAssociation((wire.Proposal(1, ProtocolId.ISAKMP, b"", rows),))


def _ike_attributes(transform: Transform, method: int) -> Iterator[tuple[int, int]]:
    cipher = transform.encryption
    assert cipher.ikev1_id is not None, f"{cipher.name} is not for Phase 1 of IKEv1"
    yield IkeAttribute.ENCRYPTION, cipher.ikev1_id
    if not cipher.fixed_key:
        yield IkeAttribute.KEY_LENGTH, cipher.key_bits
    yield IkeAttribute.HASH, transform.authentication.ikev1_hash_id
    yield IkeAttribute.GROUP, transform.key_group.number
    yield IkeAttribute.AUTHENTICATION_METHOD, method
    yield from write_ike_life(transform.sa_life)


def _ike_needs(transform: Transform, method: int) -> Offer:
    return Offer(f"transform {transform.name}", {
        PROTOCOL: ("IKE",), ENCRYPTION: (transform.encryption.name,), AUTHENTICATION: (transform.authentication.name,),
        KEY_GROUP: (group_name(transform.key_group),), METHOD: (_METHODS[method],)})


def _ike_offer(proposal: wire.Proposal, transform: wire.Transform) -> Offer:
    attributes = dict(transform.attributes)
    bits = attributes.pop(IkeAttribute.KEY_LENGTH, None)
    found = {
        PROTOCOL: "IKE" if (proposal.protocol, transform.id) == (ProtocolId.ISAKMP, KEY_IKE) else
                  f"protocol {proposal.protocol} transform {transform.id}",
        ENCRYPTION: _cipher(_IKE_CIPHERS, attributes.pop(IkeAttribute.ENCRYPTION, 0), bits),
        AUTHENTICATION: _name(_IKE_HASHES, attributes.pop(IkeAttribute.HASH, 0), "hash"),
        KEY_GROUP: _name(_GROUPS, attributes.pop(IkeAttribute.GROUP, 0), "group"),
        METHOD: _name(_METHODS, attributes.pop(IkeAttribute.AUTHENTICATION_METHOD, 0), "method")}
    lives = (IkeAttribute.LIFE_TYPE, IkeAttribute.LIFE_DURATION)
    return _offer(proposal, transform, found, attributes, lives)


def ike_offers(transforms: Sequence[Transform], method: int) -> list[Offer]:
    return [_ike_needs(row, method) for row in transforms]


def kept_ike(offered: wire.SecurityAssociation) -> Callable[[], Sequence[Offer]]:
    """What it offers, once it is wanted; of many the first, as much as anybody reads."""
    rows = _rows(offered)[:_MOST_KEPT]
    return lambda: [_ike_offer(*row) for row in rows]


def _rows(offered: wire.SecurityAssociation) -> list[tuple[wire.Proposal, wire.Transform]]:
    return [(proposal, transform) for proposal in offered.proposals for transform in proposal.transforms]


def choose_ike(offered: wire.SecurityAssociation, ours: Sequence[Transform], method: int) -> IkeChoice | NoMatch:
    """The first offered transform that is one of ours, under that AuthenticationMethod."""
    rows = _rows(offered)
    choice = choose((_ike_offer(*row) for row in rows), ike_offers(ours, method))
    if isinstance(choice, NoMatch):
        return choice
    proposal, transform = rows[choice.their_place]
    answer = wire.Proposal(proposal.number, proposal.protocol, proposal.spi, (transform,))
    return IkeChoice(ours[choice.our_place], ike_life(transform.attributes), wire.SecurityAssociation((answer,)))


def groups_offered(offered: wire.SecurityAssociation) -> set[int]:
    """The key groups of all transforms: in Aggressive Mode there has to be one (RFC 2409 §5)."""
    return {value for proposal in offered.proposals for transform in proposal.transforms
            for kind, value in transform.attributes if kind == IkeAttribute.GROUP}


# ------------------------------------------------------------------------------------------------ Phase 2

def offer_child(proposals: Sequence[Proposal], group: KeyGroup | None, spi: int, mode: int) -> wire.SecurityAssociation:
    """One proposal with one transform for each of ours, in order, all with our inbound SPI. ``mode`` is an
    EncapsulationMode, ``group`` that of PFS."""
    return wire.SecurityAssociation(tuple(
        wire.Proposal(number, row.protocol.value, spi.to_bytes(4, "big"), (
            wire.Transform(1, _ipsec_transform(row), tuple(_ipsec_attributes(row, group, mode))),))
        for number, row in enumerate(proposals, 1)))


def _ipsec_transform(proposal: Proposal) -> int:
    if proposal.encryption is None:
        assert proposal.authentication is not None
        return proposal.authentication.ah_transform_id
    assert proposal.encryption.ipsec_doi_id is not None, f"{proposal.encryption.name} is not for IKEv1"
    return proposal.encryption.ipsec_doi_id


def _ipsec_attributes(proposal: Proposal, group: KeyGroup | None, mode: int) -> Iterator[tuple[int, int]]:
    yield IpsecAttribute.ENCAPSULATION_MODE, mode
    if group is not None:
        yield IpsecAttribute.GROUP, group.number
    if proposal.authentication is not None:
        yield IpsecAttribute.AUTHENTICATION, proposal.authentication.ipsec_doi_id
    if proposal.encryption is not None and not proposal.encryption.fixed_key:
        yield IpsecAttribute.KEY_LENGTH, proposal.encryption.key_bits
    yield from write_lives(proposal.expiration)


def _child_needs(proposal: Proposal, group: KeyGroup | None, modes: Sequence[int]) -> Offer:
    encapsulation = tuple(_MODES[mode] for mode in modes)
    return Offer(f"proposal {proposal.name}", {**child_algorithms(proposal, group), ENCAPSULATION: encapsulation})


def _child_offer(proposal: wire.Proposal, transform: wire.Transform, *, bundled: bool) -> Offer:
    attributes = dict(transform.attributes)
    bits = attributes.pop(IpsecAttribute.KEY_LENGTH, None)
    found = {}
    if proposal.protocol == ProtocolId.ESP:
        found[PROTOCOL] = "ESP"
        found[ENCRYPTION] = _cipher(_ESP_CIPHERS, transform.id, bits)
    elif proposal.protocol == ProtocolId.AH:
        found[PROTOCOL] = "AH"
        if transform.id not in _AH_HASHES:
            found[f"transform {transform.id}"] = "AH"
    else:
        found[PROTOCOL] = f"protocol {proposal.protocol}"
    if bundled:
        found[PROTOCOL] += " together with another"
    if IpsecAttribute.AUTHENTICATION in attributes:
        found[AUTHENTICATION] = _name(_IPSEC_HASHES, attributes.pop(IpsecAttribute.AUTHENTICATION), "algorithm")
    if IpsecAttribute.GROUP in attributes:
        found[KEY_GROUP] = _name(_GROUPS, attributes.pop(IpsecAttribute.GROUP), "group")
    found[ENCAPSULATION] = _name(_MODES, attributes.pop(IpsecAttribute.ENCAPSULATION_MODE, 0), "mode")
    return _offer(proposal, transform, found, attributes, (IpsecAttribute.LIFE_TYPE, IpsecAttribute.LIFE_DURATION))


def child_offers(proposals: Sequence[Proposal], group: KeyGroup | None, modes: Sequence[int]) -> list[Offer]:
    return [_child_needs(row, group, modes) for row in proposals]


def kept_child(offered: wire.SecurityAssociation) -> Callable[[], Sequence[Offer]]:
    """As `kept_ike`, for Phase 2."""
    rows = _rows(offered)[:_MOST_KEPT]
    return lambda: list(_child_rows(offered, rows))


def _child_rows(offered: wire.SecurityAssociation,
                rows: Iterable[tuple[wire.Proposal, wire.Transform]]) -> Iterator[Offer]:
    numbers = [row.number for row in offered.proposals]
    return (_child_offer(*row, bundled=numbers.count(row[0].number) > 1) for row in rows)


def choose_child(offered: wire.SecurityAssociation, ours: Sequence[Proposal], group: KeyGroup | None,
                 modes: Sequence[int]) -> ChildChoice | NoMatch:
    """As `choose_ike`, for Phase 2. Proposals of one number stand together (RFC 2408 §4.2), as none of ours do."""
    rows = _rows(offered)
    choice = choose(_child_rows(offered, rows), child_offers(ours, group, modes))
    if isinstance(choice, NoMatch):
        return choice
    proposal, transform = rows[choice.their_place]
    return ChildChoice(ours[choice.our_place], choice.algorithms[ENCAPSULATION] == UDP_TUNNEL,
                       read_lives(transform.attributes), int.from_bytes(proposal.spi, "big"), proposal.number,
                       transform)


# ------------------------------------------------------------------------------------------------ names

def _offer(proposal: wire.Proposal, transform: wire.Transform, found: dict[str, str], attributes: dict[int, int],
           lives: Iterable[int]) -> Offer:
    """``attributes`` are those that nobody has read yet: lives, and what we do not know, which nothing of ours has."""
    for kind in lives:
        attributes.pop(kind, None)
    names = found | {f"attribute {kind}": str(value) for kind, value in attributes.items()}
    return Offer(f"proposal {proposal.number} transform {transform.number}",
                 {kind: (name,) for kind, name in names.items()})


def _name(names: dict[int, str], number: int, word: str) -> str:
    return names.get(number) or (f"{word} {number}" if number else "none")


def _cipher(names: Mapping[tuple[int | None, int | None], str], number: int, bits: int | None) -> str:
    known = names.get((number, bits))
    if known is not None:
        return known
    return f"algorithm {number}" + (f" with {bits} bits" if bits is not None else "")
