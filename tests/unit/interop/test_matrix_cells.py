# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix covers what can be covered, asks for nothing that is refused, and its page tells of it."""

from collections.abc import Mapping
from itertools import combinations, product

from tests.interop.matrix import page, report
from tests.interop.matrix.axes import AXES, RULES
from tests.interop.matrix.cells import numbered
from tests.interop.matrix.trial import validate


def completed(values: Mapping[str, str]) -> bool:
    """Whether some cell may have these values: found by trying one value after the other, where most rules bind first.
    """
    if any(not rule.allows(values) for rule in RULES if values.keys() >= set(rule.axes)):
        return False
    ruled = {axis for rule in RULES for axis in rule.axes} - values.keys()
    if not ruled:
        return True
    axis = max(sorted(ruled), key=lambda axis: sum({axis} == set(rule.axes) - values.keys() for rule in RULES))
    return any(completed({**values, axis: value}) for value in AXES[axis])


def test_every_pair_of_values_that_may_meet_does() -> None:
    met = {pair for cell in numbered().values() for pair in combinations(cell.values.items(), 2)}
    every = {pair for one, other in combinations(AXES, 2)
             for pair in product(((one, value) for value in AXES[one]), ((other, value) for value in AXES[other]))}
    assert not [pair for pair in every - met if completed(dict(pair))] and met < every
    assert len(numbered()) >= 100


def test_no_cell_breaks_a_rule_and_every_rule_forbids_something() -> None:
    assert all(rule.allows(cell.values) for cell in numbered().values() for rule in RULES)
    for rule in RULES:
        assert not all(rule.holds(*values) for values in product(*(AXES[axis] for axis in rule.axes))), rule.why


def test_both_ends_of_every_cell_validate() -> None:
    for cell in numbered().values():
        validate(cell)


def test_the_page_tells_of_these_cells_and_that_all_passed() -> None:
    """Otherwise: make interop, then python -m tests.interop.matrix page."""
    assert page.read() == page.part({**report.counted(numbered(), set()), "failed": []})


def test_the_page_names_what_failed() -> None:
    cell = next(iter(numbered().values()))
    failed = [{"number": 1, "cell": cell.values, "reason": "no\ntraffic"}]
    said = page.part({**report.counted({1: cell}, {1}), "failed": failed})
    assert "1 cells, 0 passed" in said and f"| 1: {', '.join(cell.values.values())} | no traffic |" in said
