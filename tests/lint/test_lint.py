# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every linter of the field has nothing to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["ruff", "check"], id="ruff"),
        pytest.param(["mypy"], id="mypy: the daemon and the domain"),
        pytest.param(["mypy", "--strict", "tests/testbed"], id="mypy: the test bed"),
        pytest.param(["ansible-lint", "--offline"], id="ansible-lint"),
        pytest.param(["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."], id="antsibull-docs"),
        pytest.param(["python", "tests/lint/sanity.py"], id="ansible-test sanity", marks=pytest.mark.slow),
    ],
)
def test_it_has_nothing_to_say(argv: list[str]) -> None:
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
        "ANSIBLE_HOME": str(CHECKOUT / "build" / "ansible"),
    }
    said = subprocess.run(
        [PROGRAMS / argv[0], *argv[1:]],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
