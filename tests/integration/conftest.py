# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beds for integration tests: `bed` is up while a test module runs, and gone after it. And the collection, built."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.testbed import CHECKOUT
from tests.testbed.requirements import missing
from tests.testbed.topology import Bed

BIN = Path(sys.executable).parent
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


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as ansible-galaxy builds it."""
    folder = tmp_path_factory.mktemp("archive")
    galaxy(BIN, "build", "--output-path", str(folder), str(CHECKOUT))
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="session")
def collections(archive: Path) -> Path:
    """A collections path with the built archive installed, without a network."""
    return installed(archive, archive.parent)


def installed(archive: Path, folder: Path, binaries: Path = BIN) -> Path:
    """The folder, with the archive installed into it."""
    galaxy(binaries, "install", "--offline", "--force", "--collections-path", str(folder), str(archive))
    return folder


def galaxy(binaries: Path, *words: str) -> None:
    subprocess.run([str(binaries / "ansible-galaxy"), "collection", *words], cwd="/", capture_output=True, check=True,
                   timeout=120)


def _name() -> str:
    return f"t{os.getpid()}-{next(NUMBERS)}"
