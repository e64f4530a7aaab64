# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a mismatch: which two offers come nearest to each other, in what they differ, and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from ..algorithms import Strength
from ..model import Proposal, Transform


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an offer: its field in the declaration, its name in a sentence, its value, and its strength."""

    field: str
    label: str
    value: str
    weak: bool


def transform_members(transform: Transform) -> tuple[Member, ...]:
    encryption, authentication, group = transform.encryption, transform.authentication, transform.key_group
    additional = transform.additional_key_exchange
    return (Member("encryption", "encryption", encryption.name, encryption.strength is Strength.WEAK),
            Member("authentication", "authentication", authentication.name, authentication.strength is Strength.WEAK),
            Member("key_group", "key group", f"group {group.number}", group.strength is Strength.WEAK),
            Member("additional_key_exchange", "additional key exchange", additional.name if additional else "none",
                   False))


def proposal_members(proposal: Proposal) -> tuple[Member, ...]:
    encryption, authentication = proposal.encryption, proposal.authentication
    return (Member("protocol", "protocol", proposal.protocol.name, False),
            Member("encryption", "encryption", encryption.name if encryption else "none",
                   encryption is None or encryption.strength is Strength.WEAK),
            Member("authentication", "authentication", authentication.name if authentication else "none",
                   authentication is not None and authentication.strength is Strength.WEAK))


Offer = tuple[str, tuple[Member, ...]]
"""The name of a transform or proposal, and its members."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The two offers that differ least, and the members in which they do."""

    left_name: str
    right_name: str
    left: tuple[Member, ...]
    right: tuple[Member, ...]

    @property
    def labels(self) -> str:
        return listed(member.label for member in self.left)

    def paths(self, kind: str) -> tuple[str, str]:
        """Where the two stand under the lists of ``kind``: the one member that differs, or the whole offer."""
        member = f".{self.left[0].field}" if len(self.left) == 1 else ""
        return f"{kind}[{self.left_name}]{member}", f"{kind}[{self.right_name}]{member}"

    def mend(self, left_site: str, right_site: str, kind: str) -> str:
        """The change at either end that would make the two equal, but never towards what is weak."""
        at_right = f"{_settings(self.left)} in {right_site}'s {kind} {self.right_name}"
        at_left = f"{_settings(self.right)} in {left_site}'s {kind} {self.left_name}"
        left_weak, right_weak = (any(member.weak for member in members) for members in (self.left, self.right))
        if left_weak is right_weak:
            return f"Set {at_right}, or {at_left}"
        return f"Set {at_left if left_weak else at_right}"


def nearest(left: Sequence[Offer], right: Sequence[Offer]) -> Nearest:
    """Of two lists that are not empty and have no offer in common."""
    best: Nearest | None = None
    for (left_name, left_members), (right_name, right_members) in product(left, right):
        unequal = [(one, other) for one, other in zip(left_members, right_members, strict=True)
                   if one.value != other.value]
        if best is None or len(unequal) < len(best.left):
            best = Nearest(left_name, right_name,
                           tuple(one for one, _other in unequal), tuple(other for _one, other in unequal))
    if best is None:
        raise ValueError("an empty list has no nearest offer")
    return best


def values(members: Iterable[Member]) -> str:
    return listed(member.value if member.value != "none" else f"no {member.label}" for member in members)


def listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _settings(members: Iterable[Member]) -> str:
    return listed(f"{member.field} to {member.value.removeprefix('group ')}" for member in members)
