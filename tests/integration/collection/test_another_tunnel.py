# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel takes the place of another: what passed through the one is in clear text at no moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.capture import Capture
from tests.testbed.topology import Bed

from .conftest import MARKER, Site
from .test_life import changed, proved, received
from .test_rotation import Pinging, kept, keyed, pinging

pytestmark = [pytest.mark.hosts, pytest.mark.slow]


@contextmanager
def watched(bed: Bed, folder: Path) -> Iterator[Pinging]:
    """Pings from LAN to LAN all the time; none of them may go over the wire in clear text."""
    with Capture(bed.router, "wan-hq", folder / "pcap") as capture, pinging(bed) as ping:
        yield ping
    counts = capture.counts(Bed.LANS)
    assert counts.clear == 0 and counts.protected > 100, counts


def renamed(*sides: dict[str, Any]) -> None:
    for side in sides:
        side["ipsec_tunnels"][0]["name"] = "office"


def test_a_tunnel_gets_another_name_and_its_peers_another_key_in_one_run(converged: Site, bed: Bed, tmp_path: Path):
    new = f"{MARKER}-of-another-tunnel"
    converged.edit(keyed(new))
    converged.edit(renamed)
    with watched(bed, tmp_path):
        done = converged.play()
        assert done.returncode == 0, done.stdout + done.stderr
    assert kept(bed, "hq") == kept(bed, "branch") == {"method": "psk", "psk": new}
    assert (proved(done), received(bed)) == (2, "5 received")
    again = converged.play()
    assert (again.returncode, changed(again)) == (0, {"hq": 0, "branch": 0}), again.stdout


def routed(name: str):
    """An edit that makes it a route-based tunnel of that name."""
    def edit(*sides: dict[str, Any]) -> None:
        for number, side in enumerate(sides, 1):
            side["ipsec_tunnels"][0] |= {"name": name, "interface": {
                "name": "vpn0", "addresses": [f"169.254.6.{number}/30"]}}

    return edit


def test_a_route_based_tunnel_takes_the_place_of_a_policy_based_one_and_of_another(converged: Site, bed: Bed,
                                                                                    tmp_path: Path):
    for name in ("transit", "backbone"):
        converged.edit(routed(name))
        with watched(bed, tmp_path):
            done = converged.play()
            assert done.returncode == 0, done.stdout + done.stderr
        assert (proved(done), received(bed)) == (2, "5 received")


def on_demand(*sides: dict[str, Any]) -> None:
    for side in sides:
        side["ipsec_gateways"][0]["start"] = "traffic"


def test_a_tunnel_that_waits_for_traffic_is_proved_too(fresh: Site, bed: Bed):
    fresh.edit(on_demand)
    done = fresh.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (proved(done), received(bed)) == (2, "5 received")
    again = fresh.play()
    assert (again.returncode, changed(again)) == (0, {"hq": 0, "branch": 0}), again.stdout
