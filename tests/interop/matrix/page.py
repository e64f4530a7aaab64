# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of docs/interop.md that is made from build/interop/matrix.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.interop.matrix.axes import RULES, TITLES
from tests.testbed import CHECKOUT

PAGE = CHECKOUT / "docs" / "interop.md"
BEGIN, END = "<!-- made by: python -m tests.interop.matrix page -->\n", "<!-- made until here -->\n"


def part(matrix: dict[str, Any]) -> str:
    """The table and what it leaves out, as Markdown."""
    return "\n".join(_lines(matrix)) + "\n"


def _lines(matrix: dict[str, Any]) -> Iterator[str]:
    peers = matrix["peers"]
    yield (f"{matrix['cells']} cells, {_passed(matrix)}: {peers['strongSwan']['cells']} with strongSwan, "
           f"{peers['ikeengine']['cells']} between two of ours, with what strongSwan 5.9.8 lacks.")
    yield from ("", "| Axis | Values, each with the number of its cells |", "|---|---|")
    for axis, values in matrix["axes"].items():
        yield f"| {TITLES[axis]} | {', '.join(f'{value} ({_count(count)})' for value, count in values.items())} |"
    if matrix["failed"]:
        yield from ("", "| Failed | Reason |", "|---|---|")
        for row in matrix["failed"]:
            yield f"| {row['number']}: {', '.join(row['cell'].values())} | {' '.join(row['reason'].split())} |"
    yield from ("", "What does not go together, and is in no cell:", "")
    yield from (f"- {rule.why}" for rule in RULES)


def _passed(count: dict[str, int]) -> str:
    return "all passed" if count["passed"] == count["cells"] else f"{count['passed']} passed"


def _count(count: dict[str, int]) -> str:
    return str(count["cells"]) if count["passed"] == count["cells"] else f"{count['passed']} of {count['cells']}"


def read() -> str:
    """The part as it stands on the page. Raises ValueError."""
    text = PAGE.read_text()
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def write(matrix: dict[str, Any]) -> None:
    PAGE.write_text(PAGE.read_text().replace(BEGIN + read() + END, BEGIN + part(matrix) + END))
