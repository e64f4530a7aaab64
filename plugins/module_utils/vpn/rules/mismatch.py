# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a mismatch: which two offers come nearest to each other, in what they differ, and what would mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Generic, TypeVar

from ..durations import format_duration, format_traffic
from ..model import IkeVersion, Proposal, Transform
from .book import Broken
from .settings import PairSettings

_Offer = TypeVar("_Offer", Transform, Proposal)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an offer: its field in the declaration, its name in a sentence, and its value."""

    field: str
    label: str
    value: str


def transform_members(transform: Transform) -> tuple[Member, ...]:
    additional = transform.additional_key_exchange
    return (Member("encryption", "encryption", transform.encryption.name),
            Member("authentication", "authentication", transform.authentication.name),
            Member("key_group", "key group", f"group {transform.key_group.number}"),
            Member("additional_key_exchange", "additional key exchange", additional.name if additional else "none"))


def proposal_members(proposal: Proposal) -> tuple[Member, ...]:
    encryption, authentication = proposal.encryption, proposal.authentication
    return (Member("protocol", "protocol", proposal.protocol.name),
            Member("encryption", "encryption", encryption.name if encryption else "none"),
            Member("authentication", "authentication", authentication.name if authentication else "none"))


def transform_life(transform: Transform) -> Member:
    return Member("sa_life", "SA life", format_duration(transform.sa_life))


def proposal_life(proposal: Proposal) -> Member:
    expiration = proposal.expiration
    parts = [] if expiration.seconds is None else [f"time: {format_duration(expiration.seconds)}"]
    if expiration.kilobytes is not None:
        parts.append(f"traffic: {format_traffic(expiration.kilobytes)}")
    return Member("force_key_expiration", "force key expiration", f"{{{', '.join(parts)}}}")


@dataclass(frozen=True, slots=True)
class Near(Generic[_Offer]):
    """Two offers, and the members in which they differ; their lives decide on nothing, and must be equal all the same.
    """

    left_offer: _Offer
    right_offer: _Offer
    left: tuple[Member, ...]
    right: tuple[Member, ...]
    lives: tuple[Member, Member]

    @property
    def labels(self) -> str:
        return listed(member.label for member in self.left)

    def paths(self, kind: str) -> tuple[str, str]:
        """Where the two stand under the lists of ``kind``: the one member that differs, or the whole offer."""
        member = f".{self.left[0].field}" if len(self.left) == 1 else ""
        return f"{kind}[{self.left_offer.name}]{member}", f"{kind}[{self.right_offer.name}]{member}"

    def as_left(self) -> tuple[str, _Offer]:
        """What makes the right offer equal to the left one, in words, and the offer that it then is."""
        return self._made(self.right_offer, self.left_offer, self.left, self.lives[0])

    def as_right(self) -> tuple[str, _Offer]:
        """The same of the left offer."""
        return self._made(self.left_offer, self.right_offer, self.right, self.lives[1])

    def _made(self, offer: _Offer, like: _Offer, members: Sequence[Member], life: Member) -> tuple[str, _Offer]:
        members = members if self.lives[0] == self.lives[1] else (*members, life)
        words = listed(f"{member.field} to {member.value.removeprefix('group ')}" for member in members)
        return words, replace(offer, **{_ATTRIBUTES.get(member.field, member.field): getattr(
            like, _ATTRIBUTES.get(member.field, member.field)) for member in members})


_ATTRIBUTES = {"force_key_expiration": "expiration"}
"""What the model calls otherwise than the language does."""


def nearest(left: Sequence[_Offer], right: Sequence[_Offer], members: Callable[[_Offer], tuple[Member, ...]],
            life: Callable[[_Offer], Member]) -> list[Near[_Offer]]:
    """Each offer of two lists that have none in common beside each of the other list, the most alike first."""
    found = []
    for one, other in product(left, right):
        unequal = [both for both in zip(members(one), members(other), strict=True) if both[0] != both[1]]
        found.append(Near(one, other, tuple(mine for mine, _its in unequal), tuple(its for _mine, its in unequal),
                          (life(one), life(other))))
    return sorted(found, key=lambda near: len(near.left))


def _chosen(left: Sequence[_Offer], right: Sequence[_Offer],
            members: Callable[[_Offer], tuple[Member, ...]]) -> list[tuple[list[_Offer], list[_Offer]]]:
    """The offers of either list that have the members which the peers choose, in the one's or in the other's order."""
    here, there = _by_members(left, members), _by_members(right, members)
    firsts = [next((key for key in keys if key in others), None) for keys, others in ((here, there), (there, here))]
    return [(here[key], there[key]) for key in dict.fromkeys(firsts) if key is not None]


def _by_members(offers: Sequence[_Offer],
                members: Callable[[_Offer], tuple[Member, ...]]) -> dict[tuple[Member, ...], list[_Offer]]:
    found: dict[tuple[Member, ...], list[_Offer]] = {}
    for offer in offers:
        found.setdefault(members(offer), []).append(offer)
    return found


def lives_differ(pair: PairSettings, phase: str, kind: str, left: Sequence[_Offer], right: Sequence[_Offer],
                 members: Callable[[_Offer], tuple[Member, ...]], life: Callable[[_Offer], Member]) -> Iterator[Broken]:
    """What is broken where the offers that the peers choose have no life in common; they are of one ``kind``."""
    negotiated = ", and IKEv2 does not negotiate lifetimes" if pair.left_gateway.version is IkeVersion.V2 else ""
    for here, there in _chosen(left, right, members):
        if set(map(life, here)) & set(map(life, there)):
            continue
        one, other = here[0], there[0]
        mine, its = life(one), life(other)
        yield Broken(f"{phase} {mine.label}", f"{pair.left.name}'s {kind} {one.name} has {mine.value}",
                     f"{pair.right.name}'s {kind} {other.name} has {its.value}",
                     f"{kind}s must match exactly{negotiated}",
                     f"Set {mine.field} to {mine.value} in {pair.right.name}'s {kind} {other.name}, or to {its.value} "
                     f"in {pair.left.name}'s {kind} {one.name}",
                     f"{kind}s[{one.name}].{mine.field}", f"{kind}s[{other.name}].{its.field}")


def values(members: Iterable[Member]) -> str:
    return listed(member.value if member.value != "none" else f"no {member.label}" for member in members)


def listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
