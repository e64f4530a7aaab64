# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells: a covering array of the axes, in which every pair of values that may meet does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import covertable

from tests.interop.matrix.axes import AXES, RULES, Cell, Rule

_Pair: TypeAlias = frozenset[tuple[str, str]]


@cache
def numbered() -> Mapping[int, Cell]:
    """All cells by their numbers, the same in every run. Takes seconds."""
    rows = covertable.make(dict(AXES), constraints=[_constraint(rule) for rule in RULES])
    return {number: Cell(**row) for number, row in enumerate(_spread(rows), 1)}


def _constraint(rule: Rule) -> Mapping[str, object]:
    return {"operator": "fn", "requires": list(rule.axes), "evaluate": rule.allows}


def _spread(rows: Sequence[Mapping[str, str]]) -> Sequence[dict[str, str]]:
    """Where no pair hangs on a value, one that is seldom takes its place: a covering array fills up with the first."""
    spread = [{axis: row[axis] for axis in AXES} for row in rows]
    pairs = Counter(pair for row in spread for axis in AXES for pair in _pairs(row, axis))
    used = Counter(value for row in spread for value in row.items())
    for row in spread:
        for axis in AXES:
            value = _seldom(row, axis, pairs, used)
            if value is not None:
                used.subtract([(axis, row[axis])])
                pairs.subtract(2 * list(_pairs(row, axis)))
                row[axis] = value
                used.update([(axis, value)])
                pairs.update(2 * list(_pairs(row, axis)))
    return spread


def _seldom(row: Mapping[str, str], axis: str, pairs: Counter[_Pair], used: Counter[tuple[str, str]]) -> str | None:
    """A value that may stand in the place of the row's and is used less, if there is one. ``pairs`` counts all twice.

    No cell changes its peer: most are strongSwan's.
    """
    if axis == "beyond" or any(pairs[pair] == 2 for pair in _pairs(row, axis)):
        return None
    rules = [rule for rule in RULES if axis in rule.axes]
    free = [value for value in AXES[axis] if used[axis, value] + 1 < used[axis, row[axis]]
            and all(rule.allows({**row, axis: value}) for rule in rules)]
    return min(free, key=lambda value: used[axis, value], default=None)


def _pairs(row: Mapping[str, str], axis: str) -> Iterator[_Pair]:
    """Those of one axis' value."""
    return (frozenset(((axis, row[axis]), other)) for other in row.items() if other[0] != axis)
