# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers of other releases of ansible-core, each in a virtual environment of its own, kept between runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.collection.conftest import Site
from tests.integration.conftest import installed
from tests.testbed import CHECKOUT
from tests.testbed.topology import Bed

# The minors of Python 3 that each release supports on controllers, where the collection runs too (3.11 or later).
PYTHONS = {"2.17": (11, 12), "2.18": (11, 12, 13), "2.20": (12, 13, 14), "2.21": (12, 13, 14)}


@pytest.fixture(params=PYTHONS)
def binaries(request: pytest.FixtureRequest) -> Path:
    """The bin folder of a virtual environment with the pinned ansible-core of that release."""
    release: str = request.param
    requirements = CHECKOUT / "requirements" / f"ansible-core-{release}.txt"
    environment = CHECKOUT / "build" / "compatibility" / release
    made = environment / "requirements.txt"
    if not made.exists() or made.read_text() != requirements.read_text():
        make = [_python(release), "-m", "venv", "--clear", str(environment)]
        fill = [str(environment / "bin" / "pip"), "install", "--quiet", "--no-compile", "--requirement",
                str(requirements)]
        for command in (make, fill):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        shutil.copy(requirements, made)
    return environment / "bin"


def _python(release: str) -> str:
    """A Python that the release runs on; the test is skipped, and says why, where there is none."""
    for path in _pythons(PYTHONS[release]):
        # The shims of version managers are found too, and may lead nowhere.
        if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return path
    names = " or ".join(f"python3.{minor}" for minor in PYTHONS[release])
    pytest.skip(f"ansible-core {release} needs {names}, on PATH or in ~/.pyenv/versions, and there is none")


def _pythons(minors: tuple[int, ...]) -> Iterator[str]:
    for minor in minors:
        if found := shutil.which(f"python3.{minor}"):
            yield found
        for path in sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3")):
            yield str(path)


@pytest.fixture(scope="module")
def deployed(bed: Bed, collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Bed:
    """The bed with the example in force, as the tests' own ansible-core deploys it."""
    done = Site(tmp_path_factory.mktemp("own") / "site", collections, bed).play()
    assert done.returncode == 0, done.stdout + done.stderr
    return bed


@pytest.fixture
def other(deployed: Bed, archive: Path, tmp_path: Path, binaries: Path) -> Site:
    """The example, played by the other release with the collection that it has installed."""
    return Site(tmp_path / "site", installed(archive, tmp_path, binaries), deployed, binaries=binaries)
