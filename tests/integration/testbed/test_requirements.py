# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that cannot hold a bed hears all the reasons at once, and is left as it was."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import CHECKOUT
from tests.testbed.requirements import missing

pytestmark = pytest.mark.hosts
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def readable() -> Iterator[Path]:
    """A copy of the test bed and its Makefile that anybody may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(CHECKOUT / "tests" / "testbed", folder / "tests" / "testbed")
        shutil.copy(CHECKOUT / "Makefile", folder)
        yield folder


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_this_machine_lacks_nothing() -> None:
    assert missing() == []


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_root_make_says_so_and_changes_nothing(readable: Path, target: str) -> None:
    before, networks = contents(readable), os.listdir("/sys/class/net")
    said = subprocess.run([*NOBODY, "make", target], cwd=readable, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "nothing was changed" in said.stderr
    assert "  - root: namespaces, mounts and packages need it; run this as root (sudo)\n" in said.stderr
    assert "Traceback" not in said.stderr
    assert contents(readable) == before
    assert [name for name in os.listdir("/sys/class/net") if name == "tbr-demo" and name not in networks] == []


def test_all_that_is_lacking_is_said_at_once(readable: Path) -> None:
    # A machine of another distribution without TUN, seen by somebody who is not root.
    script = f"""
        mount -t tmpfs none /dev/net
        printf 'ID=other\\nPRETTY_NAME="Other 1"\\n' > /dev/net/os-release
        mount --bind /dev/net/os-release /etc/os-release
        exec {" ".join(NOBODY)} /usr/bin/python3 -B -m tests.testbed up demo
    """
    said = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], cwd=readable, capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    for words in ("- root:", "- /dev/net/tun (No such file or directory)", "with apt-get: this is Other 1"):
        assert words in said.stderr
