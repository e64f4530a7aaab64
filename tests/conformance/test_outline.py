# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of conformance cases is that of the tests, and each role has its part of them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.conformance.outline import PUBLISHED, cases, table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"


def test_the_page_has_the_table_that_the_tests_make():
    assert PAGE.read_text(encoding="utf-8").endswith(f"\n\n{table()}")


def test_a_number_of_ours_is_one_case():
    numbers = Counter(row.number for row in cases() if row.title is None)
    assert {number: count for number, count in numbers.items() if count > 1} == {}


def test_every_published_item_that_is_listed_is_covered():
    covered = {row.number.partition(".")[2] for row in cases() if row.title}
    assert covered == set(PUBLISHED)


def test_both_roles_have_their_cases():
    roles = Counter((row.of, row.key[0]) for row in cases())
    assert roles["", "I"] >= 80 and roles["", "R"] >= 80
    assert all(roles[name, role] >= 12 for name in ("IKEv1", "MOBIKE") for role in "IR")


def test_every_test_of_a_conformance_file_is_a_case():
    marked = {row.test for row in cases()}
    for path in sorted(HERE.glob("test_*.py")):
        if path != Path(__file__):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            tests = {f"{path.name}: {node.name}" for node in tree.body
                     if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
            assert tests <= marked, tests - marked
