# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several networks in one child SA of the kernel's at both ends, and a peer whose address is not known before."""

from pathlib import Path

import pytest

from tests.interop.several_networks import PER_ROUTE, PER_TUNNEL, PRODUCT, carries, declared, load, settled
from tests.interop.site import CBC, GCM, PINGS, Json, Site, declaration, peer
from tests.testbed.capture import Capture, Counts
from tests.testbed.network import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.interop]

# Each end pings over every route; a ping is a request and its answer.
PACKETS = 2 * 2 * PINGS * len(PRODUCT)


def in_kernel(side: Json) -> Json:
    side["tunnels"][0]["dataplane"] = "kernel"
    return side


def seen(capture: Capture) -> Counts:
    return capture.counts(["10.1.0.0/16", "10.2.0.0/16"])


@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_all_pairs_of_networks_in_one_child(site: Site, wire: Namespace, tmp_path: Path, initiator: str) -> None:
    load(site, declared(peer(CBC), PER_TUNNEL))
    site.ours.start(in_kernel(declared(declaration(CBC), PER_TUNNEL)))
    with Capture(wire, "theirs", tmp_path / "pcap") as capture:
        if initiator == "ikeengine":
            site.ours.ask("up", gateway="swan")
        else:
            site.theirs.initiate("lan")
        before = settled(site, 1)
        carries(site)
        site.ours.ask("rekey", tunnel="lan")
        assert settled(site, 1) != before
        carries(site)
        site.ours.ask("down", gateway="swan")
    counts = seen(capture)
    assert (counts.esp, counts.clear) == (2 * PACKETS, 0)
    assert "proto esp" not in site.ours.namespace.run(["ip", "xfrm", "state"]).stdout


def test_one_child_of_theirs_after_one_for_each_route_of_ours(site: Site) -> None:
    """The policies of every route lead to whichever SA carries it now, and back."""
    load(site, declared(peer(GCM), PER_TUNNEL))
    site.ours.start(in_kernel(declared(declaration(GCM), PER_ROUTE)))
    site.ours.ask("up", gateway="swan")
    settled(site, 4)
    carries(site)
    site.ours.ask("down", gateway="swan")
    site.ours.ask("up", gateway="swan")
    settled(site, 4)
    site.theirs.terminate(ike="tandem")
    site.theirs.initiate("lan")
    settled(site, 1)
    carries(site)
