# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test's sanity tests over the collection as it is built, with no network but the package registry."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ansible_test

CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = CHECKOUT / "build" / "collections" / "ansible_collections" / "tandem" / "vpn"
HOME = CHECKOUT / "build" / "ansible-test"
# ansible-test downloads this script to put pip into its virtual environments; here pip comes from its wheel.
GET_PIP = """\
import runpy
import sys
import tempfile

sys.path.insert(0, {wheel!r})
options = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.argv = ["pip", "install", "--no-index", "--force-reinstall", "--find-links", {folder!r}, *options]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def main() -> int:
    """Run every test on a copy of the installed collection; returns ansible-test's exit status."""
    prepare_home()
    program = Path(sys.executable).with_name("ansible-test")
    # Not below the checkout: ansible-test would ask its git which files there are, and build/ is ignored.
    with tempfile.TemporaryDirectory() as folder:
        collection = Path(folder, "ansible_collections", "tandem", "vpn")
        shutil.copytree(INSTALLED, collection, symlinks=True)
        argv = [program, "sanity", "--color", "no", "--truncate", "0"]
        # The machine's own Pythons alone: what stands elsewhere on the path may be a version manager's empty shim.
        path = f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {**os.environ, "HOME": str(HOME), "PATH": path}
        return subprocess.run(argv, cwd=collection, env=env, check=False).returncode


def prepare_home() -> None:
    """A home of ansible-test's own, that has the user's settings for pip and the stand-in for its download."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for settings in (".config/pip", ".pip"):
        theirs, ours = Path.home() / settings, HOME / settings
        if theirs.is_dir() and not ours.exists():
            ours.parent.mkdir(exist_ok=True)
            ours.symlink_to(theirs)
    wanted = Path(ansible_test.__file__).with_name("_internal") / "python_requirements.py"
    version = re.search(r"\bpip='([0-9.]+)'", wanted.read_text())
    if version is None:
        raise LookupError(f"{wanted} does not say which pip it wants")
    script = cache / f"get_pip_{version[1].replace('.', '_')}.py"
    if not script.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", cache]
        subprocess.run([*download, f"pip=={version[1]}"], check=True)
        (wheel,) = cache.glob(f"pip-{version[1]}-*.whl")
        script.write_text(GET_PIP.format(wheel=str(wheel), folder=str(cache)))


if __name__ == "__main__":
    sys.exit(main())
