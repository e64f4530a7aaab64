# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `test_changing_devices` asks, where the kernel has route-based tunnels: in User-Mode Linux, which has VTI."""

from __future__ import annotations

import pytest

from tests.integration.dataplane.test_changing_devices import CHANGES, PRELUDE, TWO, holds, told, told_of

VTI = """
planes._makers["kernel"] = lambda: XfrmDataPlane(nothing, nothing, nothing, probe(), device_kind="vti")
"""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("before", "after"), [("kernel", "kernel"), ("kernel", "userspace"), ("userspace", "kernel")])
def test_nothing_goes_past_a_device_that_changes(change, before, after):
    holds(change, told_of(change, before, after, VTI))


def test_what_a_crash_left_stays_until_it_is_wanted_again():
    said = told(PRELUDE + VTI + f"""
declared = site({TWO.replace("userspace", "kernel")})
planes.start(planes.plan(declared), nothing)
planes.stop(keep_protection=True)
watch(2, 3)
planes = DataPlanes(planes._choose, planes._makers)
planes.start(planes.plan(declared), nothing)
tell()""")
    assert (said["past"], said["now"], said["departures"]) == ([], ["into a tunnel"], [])


@pytest.mark.parametrize(("plane", "other"), [("kernel", "kernel"), ("kernel", "userspace"), ("userspace", "kernel")])
def test_a_refused_reload_leaves_devices_and_routes_as_they_were(plane, other):
    said = told(PRELUDE + VTI + f"""
planes.start(planes.plan(site({TWO.replace("userspace", plane)})), nothing)
before = routes()
watch(2, 3)
shell("ip link add vpn9 type veth peer name other")
why = refused(site(a=({other!r}, 'vpn2', 3, {{}}), b=({other!r}, 'vpn9', 2, {{}})))
tell(before=before, why=why)""")
    assert "vpn9" in said["why"]
    assert (said["past"], said["now"], said["departures"]) == ([], ["into a tunnel"], [])
    assert (said["devices"], said["routes"]) == (["vpn0", "vpn1", "vpn9"], said["before"])


def test_what_a_killed_run_tried_to_make_is_in_nobodys_way():
    """Nor is what another program has under that name taken away."""
    left, taken = told("""
from ikeengine.dataplane.xfrm.devices import try_to_make
shell("ip link add iketest1 type vti local 240.0.0.1 remote 240.0.0.2 key 0x1ce00000")
left = try_to_make("vti")
shell("ip link add iketest1 type veth peer name other")
try:
    taken = try_to_make("vti")
except DataPlaneError as error:
    taken = str(error)
shell("ip link show iketest1")
print(json.dumps([left, taken]))""")
    assert left is None
    assert "EEXIST" in taken
