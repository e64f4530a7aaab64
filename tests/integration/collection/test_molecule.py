# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``molecule test`` passes: converge, idempotence and verify on the project's own test bed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.testbed import CHECKOUT

from .conftest import BIN

pytestmark = [pytest.mark.hosts, pytest.mark.slow]


def test_the_default_scenario_passes(able: None, collections: Path, tmp_path: Path):
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "PATH": f"{BIN}:{os.environ['PATH']}",
                   "ANSIBLE_HOME": str(tmp_path), "NO_COLOR": "1"}
    done = subprocess.run([str(BIN / "molecule"), "test"], cwd=CHECKOUT, env=environment, capture_output=True,
                          text=True, check=False, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    for action in ("converge", "idempotence", "verify"):
        assert f"{action}: Executed: Successful" in done.stdout + done.stderr
