# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two workers for a machine with two processors: what needs hosts and peers of this machine runs one test after the
other, and beside it, a file at a time, all that runs in one process or on a kernel of its own. See `make test`."""

from pathlib import Path

import pytest
from hypothesis import settings

# What an example takes on a busy machine says nothing of it; one that fails is printed so that it can be repeated.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")

HERE = Path(__file__).parent
#: What makes namespaces and hosts on this machine.
ON_THIS_MACHINE = ("integration", "interop")
#: What is among them and does not, since it runs in a virtual machine.
ELSEWHERE = ("integration/dataplane/test_routes_in_qemu.py", "integration/dataplane/test_xfrm_in_uml.py",
             "integration/testbed/test_uml.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE)
        here = path.parts[0] in ON_THIS_MACHINE and str(path) not in ELSEWHERE
        item.add_marker(pytest.mark.xdist_group("machine" if here else str(path)))
