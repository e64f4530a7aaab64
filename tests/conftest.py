# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two workers for a machine with two processors. A folder of tests that make hosts and namespaces on this machine is
one worker's, whatever else runs beside it, and so is every other file. See `make test`."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# What an example takes on a busy machine says nothing of it; one that fails is printed so that it can be repeated.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")

HERE = Path(__file__).parent
#: What makes namespaces and hosts on this machine.
ON_THIS_MACHINE = ("integration", "interop")
#: What is among them and does not, since it runs in a virtual machine.
ELSEWHERE = ("integration/dataplane/test_routes_in_qemu.py", "integration/dataplane/test_xfrm_in_uml.py",
             "integration/testbed/test_uml.py")


class Groups(LoadScopeScheduling):
    """Hands out folders and files. (``--dist loadgroup`` reads names that pytest 9.2 does not let its plugins set.)"""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0]).relative_to(HERE.name)
        return str(path.parent if _is_here(path) else path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker waits for the other at the end."""
    items.sort(key=lambda item: not _is_here(PurePosixPath(item.path.relative_to(HERE))))


def _is_here(path: PurePosixPath) -> bool:
    return path.parts[0] in ON_THIS_MACHINE and str(path) not in ELSEWHERE
