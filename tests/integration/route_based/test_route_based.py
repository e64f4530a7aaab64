# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route-based tunnels between two daemons: over TUN devices here, VTI in User-Mode Linux, xfrm interfaces in qemu."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.testbed.qemu import run_in_qemu
from tests.testbed.uml import run_in_uml

from .bed import Bed, built
from .cases import CASES, Case

#: Of an idle machine they take a fifth.
VTI_SECONDS, XFRM_SECONDS = 420, 580
NAMES = [case.__name__ for case in CASES]

Json = dict[str, Any]
Outcome = Callable[[str], None]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with built("tun", tmp_path_factory.mktemp("bed")) as made:
        yield made


@pytest.mark.hosts
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_over_tun_devices(bed: Bed, case: Case) -> None:
    bed.come_up()
    case(bed)


def inside(kind: str) -> str:
    return ("export PYTHONPATH=build/dev:files/ikeengine:.\n"
            f"{sys.executable} -B -m tests.integration.route_based {kind}\n")


def outcome(output: str) -> Outcome:
    """What to ask whether a case held."""
    lines = [line for line in output.splitlines() if line.startswith('{"case"')]
    found: dict[str, Json] = {row["case"]: row for row in map(json.loads, lines)}
    print("\n".join(f"{row['seconds']:6} s {row['case']}" for row in found.values()))

    def held(name: str) -> None:
        if name not in found:
            pytest.fail(f"the machine did not come to it:\n{output[-4000:]}")
        assert found[name]["failure"] is None, found[name]["failure"]

    return held


@pytest.fixture(scope="module")
def with_vti() -> Outcome:
    return outcome(run_in_uml("modprobe -a ipv6 esp6\n" + inside("vti"), timeout=VTI_SECONDS).output)


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_over_vti(with_vti: Outcome, name: str) -> None:
    with_vti(name)


@pytest.fixture(scope="module")
def with_xfrm_interfaces() -> Outcome:
    return outcome(run_in_qemu(inside("xfrm"), timeout=XFRM_SECONDS).output)


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_over_xfrm_interfaces(with_xfrm_interfaces: Outcome, name: str) -> None:
    with_xfrm_interfaces(name)
