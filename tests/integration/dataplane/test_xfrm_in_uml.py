# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The xfrm data plane on a kernel with ESP and AH, which is User-Mode Linux's."""

from __future__ import annotations

import sys

import pytest

from tests.testbed.uml import run_in_uml

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.mark.parametrize("tests", ["uml_xfrm", "uml_routes", "uml_devices"])
def test_xfrm_data_plane_on_a_kernel_with_esp(tests):
    ended = run_in_uml("modprobe -a ipv6 esp6\n"
                       f"{sys.executable} -m pytest -q --tb=short --durations=8 -p no:cacheprovider "
                       f"tests/integration/dataplane/{tests}.py", timeout=480)
    print(ended.output)
    assert ended.exit_status == 0, ended.output
