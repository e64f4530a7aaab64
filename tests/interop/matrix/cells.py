# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells: a covering array of the axes, in which every pair of values that may meet does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import covertable

from tests.interop.matrix.axes import AXES, RULES, Cell, Rule


@cache
def numbered() -> Mapping[int, Cell]:
    """All cells by their numbers, the same in every run. Takes seconds."""
    rows = covertable.make(dict(AXES), constraints=[_constraint(rule) for rule in RULES])
    return {number: Cell(**row) for number, row in enumerate(rows, 1)}


def _constraint(rule: Rule) -> Mapping[str, object]:
    return {"operator": "fn", "requires": list(rule.axes), "evaluate": rule.allows}
