# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon on the distribution's own cryptography and pyroute2, which are years older than the pinned ones."""

from __future__ import annotations

import pytest

from tests.testbed.topology import Bed

from .conftest import Site
from .test_life import changed, on, received

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

SYSTEM = ["-e", "ipsec_gateway_dependencies=system"]
LIBRARY = "grep -o '/[^ ]*/cryptography/hazmat/bindings/[^ ]*' /proc/$(pgrep -x ikeengine)/maps | sort -u"


def assert_quiet_on_its_own_libraries(bed: Bed) -> None:
    """The running daemon has the distribution's library, and its journal neither warnings nor tracebacks."""
    for host in bed.hosts:
        loaded = on(bed, host, LIBRARY).split()
        assert loaded and all(file.startswith("/usr/lib/python3/dist-packages/") for file in loaded), loaded
        journal = on(bed, host, "journalctl --unit ikeengine --no-pager --output cat")
        assert "ikeengine started" in journal
        assert not [line for line in journal.splitlines() if "Warning" in line or "Traceback" in line]


def test_a_tunnel_is_proved_on_the_distributions_packages(fresh: Site, bed: Bed):
    first = fresh.play(*SYSTEM)
    assert first.returncode == 0, first.stdout + first.stderr
    second = fresh.play(*SYSTEM)
    assert (second.returncode, changed(second)) == (0, {"hq": 0, "branch": 0}), second.stdout
    assert received(bed) == "5 received"
    for host in bed.hosts:
        files = on(bed, host, "ls /opt/ikeengine/current").split()
        assert files == ["ikeengine", "ikeengine.service", "release.json", "requirements.txt"]
    assert_quiet_on_its_own_libraries(bed)


def test_aead_and_curves_carry_traffic_and_are_rekeyed_on_them(site: Site, bed: Bed):
    def declare(hq: dict, branch: dict) -> None:
        for side in (hq, branch):
            side["ipsec_transforms"] = [{"name": "p1", "authentication": "SHA2-384", "encryption": "AES-GCM-256",
                                         "key_group": 20}]
            side["ipsec_proposals"] = [{"name": "p2", "protocol": "ESP", "encryption": "AES-GCM-128"}]
            side["ipsec_tunnels"][0]["pfs"] = {"enabled": True, "key_group": 31}

    site.edit(declare)
    done = site.play(*SYSTEM)
    assert done.returncode == 0, done.stdout + done.stderr
    on(bed, "hq", "ikectl rekey --tunnel lan && ikectl rekey branch")
    assert received(bed) == "5 received"
    assert_quiet_on_its_own_libraries(bed)
