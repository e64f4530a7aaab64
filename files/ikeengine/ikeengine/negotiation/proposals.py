# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offering and choosing proposals (RFC 7296 §2.7, §3.3). One matcher, which says why where nothing matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..vpn import algorithms
from ..vpn.algorithms import Encryption, KeyGroup
from ..vpn.model import Proposal, Transform
from ..wire.constants import ProtocolId, TransformType
from ..wire.security_association import ProposalSubstructure, TransformSubstructure

#: One algorithm on the wire: transform type, identifier, key length in bits where it is sent.
WireTransform: TypeAlias = tuple[int, int, int | None]

_NONE = 0
_NO_EXTENDED_SEQUENCE_NUMBERS = 0
# Types that may be offered as "none" beside, or instead of, being left out (RFC 7296 §3.3.2, §3.3.3).
_MAY_BE_NONE = frozenset({TransformType.INTEG, TransformType.KE})
_WORDS = {TransformType.ENCR: "encryption", TransformType.PRF: "PRF", TransformType.INTEG: "authentication",
          TransformType.KE: "key group", TransformType.ESN: "extended sequence numbers"}


@dataclass(frozen=True, slots=True)
class IkeChoice:
    """``transform`` is ours; ``answer`` is the proposal to send back, with SPI still as offered."""

    transform: Transform
    answer: ProposalSubstructure


@dataclass(frozen=True, slots=True)
class ChildChoice:
    """``spi`` is the peer's inbound SPI; ``group`` the key group of PFS, None where there is no key exchange."""

    proposal: Proposal
    group: KeyGroup | None
    answer: ProposalSubstructure
    spi: int


@dataclass(frozen=True, slots=True)
class NoMatch:
    """``reason`` is a sentence that names the nearest pair and what differs in it."""

    reason: str


def _encryption(row: Encryption) -> WireTransform:
    return (TransformType.ENCR, row.ikev2_id, None if row.fixed_key else row.key_bits)


def ike_needs(transform: Transform) -> tuple[WireTransform, ...]:
    """What a Phase 1 transform is on the wire. An AEAD takes no integrity algorithm (RFC 5282 §8)."""
    needs = [_encryption(transform.encryption), (TransformType.PRF, transform.authentication.ikev2_prf_id, None)]
    if not transform.encryption.aead:
        needs.append((TransformType.INTEG, transform.authentication.ikev2_integrity_id, None))
    needs.append((TransformType.KE, transform.key_group.number, None))
    return tuple(needs)


def child_needs(proposal: Proposal, group: KeyGroup | None) -> tuple[WireTransform, ...]:
    """What a Phase 2 proposal is on the wire, with ``group`` where the exchange carries a key exchange."""
    needs: list[WireTransform] = []
    if proposal.encryption is not None:
        needs.append(_encryption(proposal.encryption))
    if proposal.authentication is not None:
        needs.append((TransformType.INTEG, proposal.authentication.ikev2_integrity_id, None))
    if group is not None:
        needs.append((TransformType.KE, group.number, None))
    needs.append((TransformType.ESN, _NO_EXTENDED_SEQUENCE_NUMBERS, None))
    return tuple(needs)


def _substructure(number: int, protocol: int, spi: bytes, needs: Iterable[WireTransform]) -> ProposalSubstructure:
    return ProposalSubstructure(number, protocol, spi, tuple(TransformSubstructure(*need) for need in needs))


def offer_ike(transforms: Sequence[Transform], spi: bytes = b"") -> tuple[ProposalSubstructure, ...]:
    """One proposal for each transform, in order; ``spi`` is 8 octets when an IKE SA is rekeyed, else empty."""
    return tuple(_substructure(number, ProtocolId.IKE, spi, ike_needs(transform))
                 for number, transform in enumerate(transforms, 1))


def offer_child(proposals: Sequence[Proposal], group: KeyGroup | None, spi: int) -> tuple[ProposalSubstructure, ...]:
    """One proposal for each Phase 2 proposal, in order, all with our inbound SPI."""
    return tuple(_substructure(number, proposal.protocol.value, spi.to_bytes(4, "big"), child_needs(proposal, group))
                 for number, proposal in enumerate(proposals, 1))


def _fits(offered: ProposalSubstructure, needs: Sequence[WireTransform]) -> bool:
    """Every need is offered, and no other type is there that could not be left out (RFC 7296 §3.3.6)."""
    there = {(row.type, row.id, row.key_bits) for row in offered.transforms if not row.unknown_attributes}
    if not all(need in there for need in needs):
        return False
    needed = {need[0] for need in needs}
    return all((kind, _NONE, None) in there and kind in _MAY_BE_NONE
               for kind in {row.type for row in offered.transforms} - needed)


def choose_ike(offered: Sequence[ProposalSubstructure], ours: Sequence[Transform]) -> IkeChoice | NoMatch:
    """The first offered proposal that holds one of our transforms, and of those our first (RFC 7296 §2.7)."""
    for proposal in offered:
        if proposal.protocol != ProtocolId.IKE:
            continue
        for transform in ours:
            needs = ike_needs(transform)
            if _fits(proposal, needs):
                return IkeChoice(transform, _substructure(proposal.number, ProtocolId.IKE, proposal.spi, needs))
    return NoMatch(_why("phase 1", offered, [(row.name, ProtocolId.IKE, ike_needs(row)) for row in ours]))


def choose_child(offered: Sequence[ProposalSubstructure], ours: Sequence[Proposal],
                 group: KeyGroup | None) -> ChildChoice | NoMatch:
    """As `choose_ike`, for Phase 2. ``group`` is our PFS group, or None (always None in IKE_AUTH)."""
    for proposal in offered:
        for row in ours:
            needs = child_needs(row, group)
            if proposal.protocol == row.protocol.value and len(proposal.spi) == 4 and _fits(proposal, needs):
                answer = _substructure(proposal.number, proposal.protocol, b"", needs)
                return ChildChoice(row, group, answer, int.from_bytes(proposal.spi, "big"))
    return NoMatch(_why("phase 2", offered,
                        [(row.name, row.protocol.value, child_needs(row, group)) for row in ours]))


def _name(transform: WireTransform) -> str:
    kind, identifier, bits = transform
    if identifier == _NONE and kind in _MAY_BE_NONE:
        return "none"
    row: algorithms.Encryption | algorithms.Authentication | None = None
    if kind == TransformType.ENCR:
        row = algorithms.encryption_from_wire(identifier, bits)
    elif kind == TransformType.INTEG:
        row = algorithms.integrity_from_wire(identifier)
    elif kind == TransformType.PRF:
        row = algorithms.prf_from_wire(identifier)
    elif kind == TransformType.KE:
        return f"group {identifier}"
    elif kind == TransformType.ESN:
        return "off" if identifier == _NO_EXTENDED_SEQUENCE_NUMBERS else "on"
    if row is not None:
        return row.name
    return f"transform {identifier}" + (f" with {bits} bits" if bits else "")


def _differences(offered: ProposalSubstructure, protocol: int, needs: Sequence[WireTransform]) -> list[str]:
    if offered.protocol != protocol:
        return [f"protocol: the peer offers {_protocol(offered.protocol)}, we have {_protocol(protocol)}"]
    there: dict[int, list[WireTransform]] = {}
    for row in offered.transforms:
        there.setdefault(row.type, []).append((row.type, row.id, row.key_bits))
    wanted = {need[0]: need for need in needs}
    found = []
    for kind, need in wanted.items():
        if need not in there.get(kind, []):
            names = " or ".join(_name(row) for row in there[kind]) if kind in there else "none"
            found.append(f"{_word(kind)}: the peer offers {names}, we have {_name(need)}")
    for kind in there.keys() - wanted.keys():
        if (kind, _NONE, None) not in there[kind]:
            names = " or ".join(_name(row) for row in there[kind])
            found.append(f"{_word(kind)}: the peer offers {names}, we have none")
    return found


def _word(kind: int) -> str:
    return _WORDS[TransformType(kind)] if kind in _WORDS else f"transform type {kind}"


def _protocol(identifier: int) -> str:
    try:
        return ProtocolId(identifier).name
    except ValueError:
        return f"protocol {identifier}"


def _why(phase: str, offered: Sequence[ProposalSubstructure],
         ours: Sequence[tuple[str, int, Sequence[WireTransform]]]) -> str:
    if not offered or not ours:
        return f"{phase}: no common transform: {'the peer offers' if not offered else 'we have'} none"
    differences, proposal, name = min(
        ((_differences(proposal, protocol, needs), proposal, name)
         for proposal in offered for name, protocol, needs in ours), key=lambda found: len(found[0]))
    return (f"{phase}: no common transform; nearest are the peer's proposal {proposal.number} and our {name}: "
            f"{'; '.join(differences)}")
