# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nf_tables does for the kernel's data plane, which takes a kernel that has it and ESP: the distribution's."""

from __future__ import annotations

import sys

import pytest

from tests.testbed.qemu import run_in_qemu

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

#: Of the tests of the userspace data plane, as many as an emulated processor does in two minutes.
TESTS = ("test_routes.py::test_one_side_opens_connections_and_answers_flow_back[IPv4]",
         "test_path_mtu.py::test_a_peer_that_does_not_clamp_is_clamped_for")


def test_directions_and_clamping_on_a_kernel_with_esp():
    ended = run_in_qemu("export TANDEM_DATA_PLANE=kernel\n"
                        f"{sys.executable} -B -m pytest -q --tb=short --durations=4 -p no:cacheprovider "
                        + " ".join(f"tests/integration/dataplane/{test}" for test in TESTS) + "\n", timeout=580)
    print(ended.output)
    assert ended.exit_status == 0, ended.output
