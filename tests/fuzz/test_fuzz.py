# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs by the hundred thousand, led by coverage: nothing but typed errors, nothing slow, no growth."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzz

pytestmark = pytest.mark.slow

INPUTS = 200_000
LIMIT_MS = 50


def test_two_hundred_thousand_inputs_led_by_coverage(tmp_path: Path) -> None:
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    found = fuzz.run(INPUTS, seed, tmp_path)
    print(json.dumps(found))
    assert sum(row["inputs"] for row in found.values()) == INPUTS
    assert all(row["slowest_ms"] < LIMIT_MS for row in found.values())
