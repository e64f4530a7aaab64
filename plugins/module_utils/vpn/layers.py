# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several mappings of the same fields read as one: what is said more closely has the word, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .reading import Fields, Misfit

_T = TypeVar("_T")
_D = TypeVar("_D")


class Layers(Fields):
    """Fields of which each layer has some, the last layer that has one gives it. A misfit is named where it stands."""

    def __init__(self, first: Fields, *others: Fields) -> None:
        self._layers = (first, *others)
        self.path = self._layers[-1].path

    def __contains__(self, name: str) -> bool:
        return any(name in layer for layer in self._layers)

    def take(self, name: str, parse: Callable[[object], _T], otherwise: _D, *, required: bool = False) -> _T | _D:
        return self._holder(name).take(name, parse, otherwise, required=required)

    def section(self, name: str, known: Sequence[str], *, hidden: bool = False) -> Fields:
        """The sections of all layers that have it, in layers again."""
        holders = [layer for layer in self._layers if name in layer] or [self._layers[-1]]
        return Layers(*(layer.section(name, known, hidden=hidden) for layer in holders))

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
