# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeengine and strongSwan, each in a namespace of its own, joined by a cable."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.interop.site import OURS, ROUTES, THEIRS, Engine, Site
from tests.testbed.network import Namespace, ip
from tests.testbed.requirements import missing
from tests.testbed.strongswan import Charon

NUMBERS = count()


@pytest.fixture(scope="session")
def able() -> None:
    """A machine that cannot run these tests fails them with what it lacks; they are not skipped."""
    lacking = missing()
    programs = ("charon-systemd", "swanctl", "tshark")
    lacking += [f"{program}: make system-packages-test installs it" for program in programs
                if shutil.which(program) is None]
    if lacking:
        pytest.fail("this machine cannot run strongSwan against ikeengine: " + "; ".join(lacking))


@pytest.fixture
def site(able: None) -> Iterator[Site]:
    """strongSwan runs, ikeengine does not yet. What they logged is shown where a test fails."""
    number = next(NUMBERS)
    ours, theirs = (Namespace(f"iop{os.getpid()}-{number}{end}") for end in "ab")
    # Not pytest's own folder: a socket's path is at most 100 octets long.
    with tempfile.TemporaryDirectory(prefix="interop-") as folder:
        engine, charon = Engine(ours, Path(folder) / "ikeengine"), Charon(theirs, Path(folder) / "charon", detail=1)
        try:
            for namespace in (ours, theirs):
                namespace.create()
            ip(f"link add wan netns {ours.name} type veth peer name wan netns {theirs.name}")
            for namespace, address, end in ((ours, OURS, 0), (theirs, THEIRS, 1)):
                namespace.ip(f"address add {address}/24 dev wan", "link set wan up",
                             *(f"address add {route[end].host} dev lo" for route in ROUTES))
            with charon:
                made = Site(engine, charon)
                yield made
                print(made.logs())
        finally:
            engine.kill()
            ours.delete()
            theirs.delete()
