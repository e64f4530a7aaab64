# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cell of the matrix: both ends up, traffic both ways, rekeyed, traffic, and down again."""

import time

import pytest

from tests.interop.matrix import report, run
from tests.interop.matrix.cells import numbered

pytestmark = [pytest.mark.interop, pytest.mark.kernel, pytest.mark.slow]


def test_every_cell(able: None, subtests: pytest.Subtests) -> None:
    cells, begun = numbered(), time.monotonic()
    outcomes = run.run(cells)
    report.write(cells, outcomes, time.monotonic() - begun)
    for number, outcome in outcomes.items():
        with subtests.test(f"{number}: {cells[number]}"):
            assert outcome.reason is None, f"{outcome.reason}\n{outcome.log}"
