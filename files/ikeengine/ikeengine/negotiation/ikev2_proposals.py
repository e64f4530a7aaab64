# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2's proposals on the wire (RFC 7296 §3.3) to offers and back: offering, and choosing from what is offered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..vpn import algorithms
from ..vpn.algorithms import KeyEncapsulation, KeyGroup
from ..vpn.model import Proposal, Transform
from ..wire.constants import ProtocolId, TransformType
from ..wire.security_association import ProposalSubstructure, TransformSubstructure
from .matching import (
    ADDITIONAL_KEY_EXCHANGE,
    AUTHENTICATION,
    ENCRYPTION,
    EXTENDED_SEQUENCE_NUMBERS,
    KEY_GROUP,
    NONE,
    OFF,
    ON,
    PRF,
    PROTOCOL,
    NoMatch,
    Offer,
    choose,
)

_MOST_KEPT = 32


@dataclass(frozen=True, slots=True)
class IkeChoice:
    """``transform`` is ours; ``answer`` is the proposal to send back, with SPI still as offered."""

    transform: Transform
    answer: ProposalSubstructure


@dataclass(frozen=True, slots=True)
class ChildChoice:
    """``spi`` is the peer's inbound SPI; ``group`` the key group of PFS, None where there is no key exchange;
    ``extended`` says whether sequence numbers are; ``additional`` is the key exchange that follows."""

    proposal: Proposal
    group: KeyGroup | None
    answer: ProposalSubstructure
    spi: int
    extended: bool = False
    additional: KeyEncapsulation | None = None


def group_name(group: KeyGroup) -> str:
    return f"group {group.number}"


_ADDITIONAL = range(TransformType.ADDKE1, TransformType.ADDKE7 + 1)
# The second to seventh additional key exchange have kinds of their own, since each is negotiated by itself (RFC 9370).
_KINDS: dict[int, str] = {
    TransformType.ENCR: ENCRYPTION, TransformType.PRF: PRF, TransformType.INTEG: AUTHENTICATION,
    TransformType.KE: KEY_GROUP, TransformType.ESN: EXTENDED_SEQUENCE_NUMBERS,
    TransformType.ADDKE1: ADDITIONAL_KEY_EXCHANGE,
    **{kind: f"{ADDITIONAL_KEY_EXCHANGE} {number}" for number, kind in enumerate(_ADDITIONAL, 1) if number > 1}}
_PROTOCOL_FROM_WIRE = {row.value: row.name for row in (ProtocolId.IKE, ProtocolId.AH, ProtocolId.ESP)}
_PROTOCOL_TO_WIRE = {name: number for number, name in _PROTOCOL_FROM_WIRE.items()}


def _rows() -> Iterator[tuple[int, int, int | None, str]]:
    """Type, identifier, key length and name of everything that has a name on the wire."""
    for cipher in algorithms.ENCRYPTIONS:
        yield TransformType.ENCR, cipher.ikev2_id, None if cipher.fixed_key else cipher.key_bits, cipher.name
    for row in algorithms.AUTHENTICATIONS:
        yield TransformType.PRF, row.ikev2_prf_id, None, row.name
        yield TransformType.INTEG, row.ikev2_integrity_id, None, row.name
    yield TransformType.INTEG, 0, None, NONE
    yield TransformType.ESN, 0, None, OFF
    yield TransformType.ESN, 1, None, ON
    for kind in (TransformType.KE, *_ADDITIONAL):
        yield kind, 0, None, NONE
        yield from ((kind, group.number, None, group_name(group)) for group in algorithms.KEY_GROUPS)
    for kind in _ADDITIONAL:
        yield from ((kind, method.ikev2_id, None, method.name) for method in algorithms.KEY_ENCAPSULATIONS)


# By plain numbers: an IntEnum takes its time to be hashed, and this is asked for every transform of every handshake.
_FROM_WIRE = {(int(kind), identifier, bits): (_KINDS[kind], name) for kind, identifier, bits, name in _rows()}
_TO_WIRE = {(_KINDS[kind], name): TransformSubstructure(int(kind), identifier, bits)
            for kind, identifier, bits, name in _rows()}


# ------------------------------------------------------------------------------------------------ what is declared

def ike_needs(transform: Transform) -> Offer:
    """What a Phase 1 transform takes. An AEAD takes no integrity algorithm (RFC 5282 §8)."""
    cipher, hash_name = transform.encryption, transform.authentication.name
    needs: dict[str, tuple[str, ...]] = {PROTOCOL: ("IKE",), ENCRYPTION: (cipher.name,), PRF: (hash_name,)}
    if not cipher.aead:
        needs[AUTHENTICATION] = (hash_name,)
    needs[KEY_GROUP] = (group_name(transform.key_group),)
    if transform.additional_key_exchange is not None:
        needs[ADDITIONAL_KEY_EXCHANGE] = (transform.additional_key_exchange.name,)
    return Offer(f"transform {transform.name}", needs)


def ike_offers(transforms: Sequence[Transform]) -> list[Offer]:
    return [ike_needs(transform) for transform in transforms]


def child_algorithms(proposal: Proposal, group: KeyGroup | None) -> dict[str, tuple[str, ...]]:
    """What a Phase 2 proposal takes in either version of IKE."""
    needs: dict[str, tuple[str, ...]] = {PROTOCOL: (proposal.protocol.name,)}
    if proposal.encryption is not None:
        needs[ENCRYPTION] = (proposal.encryption.name,)
    if proposal.authentication is not None:
        needs[AUTHENTICATION] = (proposal.authentication.name,)
    if group is not None:
        needs[KEY_GROUP] = (group_name(group),)
    return needs


def child_offers(proposals: Sequence[Proposal], group: KeyGroup | None, additional: KeyEncapsulation | None = None, *,
                 extended: bool) -> list[Offer]:
    return [child_needs(proposal, group, additional, extended=extended) for proposal in proposals]


def child_needs(proposal: Proposal, group: KeyGroup | None, additional: KeyEncapsulation | None = None, *,
                extended: bool) -> Offer:
    """What a Phase 2 proposal takes, with ``group`` where the exchange carries a key exchange, ``additional`` where
    another follows. ``extended`` says that the data plane can do extended sequence numbers, which it then prefers."""
    needs = child_algorithms(proposal, group)
    if additional is not None:
        needs[ADDITIONAL_KEY_EXCHANGE] = (additional.name,)
    needs[EXTENDED_SEQUENCE_NUMBERS] = (ON, OFF) if extended else (OFF,)
    return Offer(f"proposal {proposal.name}", needs)


# ------------------------------------------------------------------------------------------------ to the wire

def _on_the_wire(number: int, spi: bytes, needs: Mapping[str, Sequence[str]]) -> ProposalSubstructure:
    (protocol,) = needs[PROTOCOL]
    return ProposalSubstructure(number, _PROTOCOL_TO_WIRE[protocol], spi, tuple(
        _TO_WIRE[kind, name] for kind, names in needs.items() if kind != PROTOCOL for name in names))


def _answer(offered: ProposalSubstructure, spi: bytes, chosen: Mapping[str, str]) -> ProposalSubstructure:
    return ProposalSubstructure(offered.number, offered.protocol, spi, tuple(
        [_TO_WIRE[row] for row in chosen.items() if row[0] != PROTOCOL]))


def offer_ike(transforms: Sequence[Transform], spi: bytes = b"") -> tuple[ProposalSubstructure, ...]:
    """One proposal for each transform, in order; ``spi`` is 8 octets when an IKE SA is rekeyed, else empty."""
    return tuple(_on_the_wire(number, spi, ike_needs(transform).alternatives)
                 for number, transform in enumerate(transforms, 1))


def offer_child(proposals: Sequence[Proposal], group: KeyGroup | None, spi: int, *,
                additional: KeyEncapsulation | None = None,
                extended: bool = False) -> tuple[ProposalSubstructure, ...]:
    """One proposal for each Phase 2 proposal, in order, all with our inbound SPI."""
    needs = (child_needs(proposal, group, additional, extended=extended) for proposal in proposals)
    return tuple(_on_the_wire(number, spi.to_bytes(4, "big"), offer.alternatives)
                 for number, offer in enumerate(needs, 1))


# ------------------------------------------------------------------------------------------------ from the wire

def from_wire(proposal: ProposalSubstructure) -> Offer:
    """What a proposal offers. What we do not know has a name that nothing of ours has."""
    protocol = _PROTOCOL_FROM_WIRE.get(proposal.protocol) or f"protocol {proposal.protocol}"
    found: dict[str, list[str]] = {PROTOCOL: [protocol]}
    for row in proposal.transforms:
        known = _FROM_WIRE.get((row.type, row.id, row.key_bits))
        kind, name = _unknown(row) if known is None or row.unknown_attributes else known
        if kind in found:
            found[kind].append(name)
        else:
            found[kind] = [name]
    return Offer(f"proposal {proposal.number}", found)


def kept(proposals: Sequence[ProposalSubstructure]) -> Callable[[], Sequence[Offer]]:
    """What they offer, once it is wanted; of thousands the first, as much as anybody reads."""
    few = tuple(proposals[:_MOST_KEPT])
    if any(len(row.transforms) > _MOST_KEPT for row in few):
        few = tuple(replace(row, transforms=row.transforms[:_MOST_KEPT]) for row in few)
    return lambda: [from_wire(row) for row in few]


def _unknown(row: TransformSubstructure) -> tuple[str, str]:
    kind = _KINDS.get(row.type) or f"transform type {row.type}"
    known = _FROM_WIRE.get((row.type, row.id, row.key_bits))
    if known is not None:
        return kind, f"{known[1]} with unknown attributes"
    name = f"group {row.id}" if kind == KEY_GROUP else f"transform {row.id}"
    return kind, name if row.key_bits is None else f"{name} with {row.key_bits} bits"


def choose_ike(offered: Sequence[ProposalSubstructure], ours: Sequence[Transform]) -> IkeChoice | NoMatch:
    """The first offered proposal that holds one of our transforms, and of those our first (RFC 7296 §2.7)."""
    choice = choose(map(from_wire, offered), ike_offers(ours))
    if isinstance(choice, NoMatch):
        return choice
    row = offered[choice.their_place]
    return IkeChoice(ours[choice.our_place], _answer(row, row.spi, choice.algorithms))


def choose_child(offered: Sequence[ProposalSubstructure], ours: Sequence[Proposal],
                 group: KeyGroup | None, *, additional: KeyEncapsulation | None = None,
                 extended: bool = False) -> ChildChoice | NoMatch:
    """As `choose_ike`, for Phase 2. ``group`` and ``additional`` are PFS's, or None (always None in IKE_AUTH)."""
    choice = choose(map(from_wire, offered), child_offers(ours, group, additional, extended=extended))
    if isinstance(choice, NoMatch):
        return choice
    row = offered[choice.their_place]
    return ChildChoice(ours[choice.our_place], group, _answer(row, b"", choice.algorithms),
                       int.from_bytes(row.spi, "big"), choice.algorithms[EXTENDED_SEQUENCE_NUMBERS] == ON, additional)
