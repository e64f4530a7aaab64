# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing among offers, whichever version of IKE they came in: the one matcher, which says why where nothing matches.

An offer has, for each kind of algorithm, the alternatives by their names, as the one table of algorithms and operators
write them: so a sentence can be made of what was compared, and the wire is left to `ikev2_proposals` and its like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TypeAlias

# Kinds of algorithm, in the words of a sentence. A wire may bring others; nothing of ours has those.
PROTOCOL = "protocol"
ENCRYPTION = "encryption"
PRF = "PRF"
AUTHENTICATION = "authentication"
KEY_GROUP = "key group"
ADDITIONAL_KEY_EXCHANGE = "additional key exchange"
EXTENDED_SEQUENCE_NUMBERS = "extended sequence numbers"
METHOD = "authentication method"
ENCAPSULATION = "encapsulation mode"
LIFE = "life"

NONE = "none"
ON, OFF = "on", "off"

_ONLY_NONE = (NONE,)
# A message of 64 KiB holds some thousand offers; what is nearest is looked for among the peer's favourites.
_MOST_COMPARED = 64


@dataclass(frozen=True, slots=True)
class Offer:
    """Alternatives for each kind, its sender's favourite first; a kind that is not there is one whose only alternative
    is `NONE`. ``label`` says which offer it is: ``proposal 1``, ``transform p1``."""

    label: str
    alternatives: Mapping[str, Sequence[str]]

    @property
    def path(self) -> str:
        """Where one of ours stands in the declaration: ``transforms[p1]``."""
        kind, _space, name = self.label.partition(" ")
        return f"{kind}s[{name}]"


@dataclass(frozen=True, slots=True)
class Choice:
    """The places of the two offers among those given, and the name chosen for each kind of ours."""

    their_place: int
    our_place: int
    algorithms: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind in which two offers have nothing in common, and what each has of it."""

    kind: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...]


Differences: TypeAlias = tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """Two offers, and all in which they differ."""

    theirs: Offer
    ours: Offer
    differences: Differences


@dataclass(frozen=True, slots=True)
class NoMatch:
    """All that was compared in vain."""

    theirs: tuple[Offer, ...]
    ours: tuple[Offer, ...]

    def nearest(self, told: Callable[[Differences], Differences] = lambda found: found,
                minor: Collection[str] = ()) -> Near | None:
        """The two that differ least, the earliest of them; None where an end has no offer at all. Offers of one
        protocol are nearer than any of two. ``told`` leaves out differences that only follow from others; those in
        ``minor`` kinds do not count."""
        pairs = (Near(one, other, told(_differences(one, other)))
                 for one, other in islice(product(self.theirs, self.ours), _MOST_COMPARED))
        return min(pairs, key=lambda near: (any(row.kind == PROTOCOL for row in near.differences),
                                            sum(row.kind not in minor for row in near.differences)), default=None)


def choose(theirs: Iterable[Offer], ours: Sequence[Offer]) -> Choice | NoMatch:
    """The first of the peer's offers that one of ours matches, and of ours the first (RFC 7296 §2.7, RFC 2408 §4.2).
    Of each kind it is our favourite among what both have. ``theirs`` is read no further than that."""
    compared = []
    for their_place, offer in enumerate(theirs):
        for our_place, own in enumerate(ours):
            algorithms = _common(offer.alternatives, own.alternatives)
            if algorithms is not None:
                return Choice(their_place, our_place, algorithms)
        compared.append(offer)
    return NoMatch(tuple(compared), tuple(ours))


def _common(theirs: Mapping[str, Sequence[str]], ours: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    chosen = {}
    for kind, accepted in ours.items():
        offered = theirs.get(kind, _ONLY_NONE)
        for name in accepted:
            if name in offered:
                chosen[kind] = name
                break
        else:
            return None
    for kind, offered in theirs.items():
        if kind not in ours and NONE not in offered:
            return None
    return chosen


def _differences(theirs: Offer, ours: Offer) -> Differences:
    there, here = theirs.alternatives, ours.alternatives
    found = (Difference(kind, tuple(there.get(kind, _ONLY_NONE)), tuple(here.get(kind, _ONLY_NONE)))
             for kind in dict.fromkeys((*here, *there)))
    return tuple(row for row in found if not set(row.theirs) & set(row.ours))
