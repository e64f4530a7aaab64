# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several mappings of the same fields read as one: what is said more closely has the word, field by field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .reading import Fields, Misfit

_T = TypeVar("_T")
_D = TypeVar("_D")


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A field whose values have fields beside it that other values lack; ``section.field`` is one in a section.

    The closest layer that chooses leaves behind what farther ones say of fields that its choice lacks, and of fields
    that it has where they are said of another choice that has them, too.
    """

    name: str
    parse: Callable[[object], object]
    has: Mapping[object, Collection[str]]

    def counting(self, layers: Sequence[Fields]) -> Sequence[Fields]:
        """The layers without what is left behind."""
        chosen = [layer.take(self.name, self._parsed, None) for layer in layers]
        closest = max((position for position, value in enumerate(chosen) if value is not None), default=0)
        last, in_force, counting = chosen[closest], None, []
        for layer, value in zip(layers[:closest], chosen, strict=False):
            in_force = in_force if value is None else value
            of_another = () if in_force in (None, last) else self.has[in_force]
            counting.append(layer.without(name for names in self.has.values() for name in names
                                          if name not in self.has[last] or name in of_another))
        return (*counting, *layers[closest:])

    def _parsed(self, value: object) -> object:
        """None where it is no choice: who reads the field says so."""
        try:
            return self.parse(value)
        except Misfit:
            return None


class Layers(Fields):
    """Fields of which each layer has some, the last layer that has one gives it. A misfit is named where it stands."""

    def __init__(self, first: Fields, *others: Fields, choices: Sequence[Choice] = ()) -> None:
        self._layers: Sequence[Fields] = (first, *others)
        self._choices = choices
        self.path = self._layers[-1].path
        for choice in choices:
            self._layers = choice.counting(self._layers)

    def __contains__(self, name: str) -> bool:
        return any(name in layer for layer in self._layers)

    def take(self, name: str, parse: Callable[[object], _T], otherwise: _D, *, required: bool = False) -> _T | _D:
        return self._holder(name).take(name, parse, otherwise, required=required)

    def section(self, name: str, known: Sequence[str], *, hidden: bool = False) -> Fields:
        """The sections of all layers that have it, in layers again."""
        holders = [layer for layer in self._layers if name in layer] or [self._layers[-1]]
        return Layers(*(layer.section(name, known, hidden=hidden) for layer in holders), choices=self._choices)

    def sections(self, name: str, known: Sequence[str], *, named: bool = True,
                 required: bool = False) -> Iterator[Fields]:
        return self._holder(name).sections(name, known, named=named, required=required)

    def each(self, name: str, parse: Callable[[object], _T], *, required: bool = False) -> tuple[_T, ...]:
        return self._holder(name).each(name, parse, required=required)

    def listed(self, name: str, *, required: bool = False) -> Sequence[object]:
        return self._holder(name).listed(name, required=required)

    def report(self, name: str, misfit: Misfit, value: object = None) -> None:
        self._holder(name).report(name, misfit, value)

    def _holder(self, name: str) -> Fields:
        return next((layer for layer in reversed(self._layers) if name in layer), self._layers[-1])
