# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beds for integration tests: `bed` is up while a test module runs, and gone after it."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.testbed.requirements import missing
from tests.testbed.topology import Bed

NUMBERS = count()


@pytest.fixture(scope="session")
def able() -> None:
    """This machine can hold a test bed; a test that needs one fails with what is lacking, it is not skipped."""
    if lacking := missing():
        pytest.fail("this machine cannot hold a test bed: " + "; ".join(lacking))


@pytest.fixture
def bed_name(able: None) -> Iterator[str]:
    """A name that no other bed of this machine has; whatever is left under it is removed after the test."""
    yield (name := _name())
    Bed(name).down()


@pytest.fixture(scope="module")
def bed(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The site-to-site bed: hosts `hq` and `branch`, `router`, `lan-hq` and `lan-branch`."""
    with Bed(_name(), state=tmp_path_factory.mktemp("bed")) as bed:
        yield bed


@pytest.fixture
def short_path(tmp_path: Path) -> Iterator[Path]:
    """`tmp_path` under a name that leaves room for a socket's path."""
    link = Path(f"/tmp/t{os.getpid()}-{next(NUMBERS)}")
    link.symlink_to(tmp_path)
    yield link
    link.unlink()


def _name() -> str:
    return f"t{os.getpid()}-{next(NUMBERS)}"
