# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel between two data planes of one real kernel: ours by NETLINK_XFRM, and strongSwan's."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.site import (
    CBC,
    CHILDREN,
    GCM,
    OURS,
    PINGS,
    PSK,
    ROUTES,
    Site,
    Suite,
    configure,
    declaration,
    eventually,
    peer,
    secrets,
)
from tests.kernel.conftest import PRIVATE
from tests.testbed.capture import Capture, Counts
from tests.testbed.network import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.interop]

SUITES = {"AES-GCM": GCM, "AES-CBC with SHA2-256": CBC}
# Each end pings over every route; a ping is a request and its answer.
PACKETS = 2 * 2 * PINGS * len(ROUTES)
# The kernel looks ever more seldom whether what it holds may go on, and at most for so long.
HELD_SECONDS = 60


def in_kernel(suite: Suite, **gateway: Any) -> dict[str, Any]:
    declared = declaration(suite, **gateway)
    declared["tunnels"][0]["dataplane"] = "kernel"
    return declared


def up_from_ours(site: Site) -> None:
    site.ours.ask("up", gateway="swan")


def up_from_theirs(site: Site) -> None:
    for child in CHILDREN:
        site.theirs.initiate(child)


UP: dict[str, Callable[[Site], None]] = {"ikeengine": up_from_ours, "strongSwan": up_from_theirs}


def kernel_spis(namespace: Namespace) -> set[str]:
    return set(re.findall(r"spi 0x([0-9a-f]{8})", namespace.run(["ip", "xfrm", "state"]).stdout))


def seen(capture: Capture) -> Counts:
    return capture.counts(["10.1.0.0/16", "10.2.0.0/16"])


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("initiator", UP)
def test_a_tunnels_life(site: Site, wire: Namespace, tmp_path: Path, initiator: str, suite: str) -> None:
    chosen, up = SUITES[suite], UP[initiator]
    configure(site.theirs, chosen)
    site.ours.start(in_kernel(chosen))

    with Capture(wire, "theirs", tmp_path / "pcap") as capture:
        up(site)
        begun = site.carries()
    counts = seen(capture)
    assert (counts.esp, counts.esp_in_udp, counts.clear) == (PACKETS, 0, 0)
    assert {(near["esp"], near["encapsulation"]) for near, _far in begun.children} == {(chosen.esp, None)}
    spis = {near[way] for near, _far in begun.children for way in ("spi_in", "spi_out")}
    assert kernel_spis(site.ours.namespace) == kernel_spis(site.theirs.namespace) == spis

    with site.traffic():
        site.ours.ask("rekey", tunnel="lan")
    ours = site.carries()
    assert not ours.spis & begun.spis and ours.ike == begun.ike

    with site.traffic():
        for child in CHILDREN:
            site.theirs.rekey(child=child)
        eventually(lambda: not site.settled().spis & ours.spis, site.logs)
    theirs = site.carries()
    assert theirs.ike == begun.ike

    with site.traffic():
        site.ours.ask("rekey", gateway="swan")
    ours = site.carries()
    assert ours.ike != begun.ike and ours.spis == theirs.spis

    with site.traffic():
        site.theirs.rekey(ike="tandem")
        eventually(lambda: site.settled().ike != ours.ike, site.logs)
    assert site.carries().spis == theirs.spis
    assert "Traceback" not in site.ours.log


def test_nothing_travels_in_clear_before_the_tunnel_is_up_or_after_it_went(
    site: Site, wire: Namespace, tmp_path: Path
) -> None:
    """What the kernel held goes through the tunnel once it is up."""
    (local, remote), held = ROUTES[0], 5
    ping = ["ping", "-n", "-q", "-c", str(held), "-i", "0.02", "-W", "1", "-I", local.host, remote.host]

    def went_on() -> bool:
        (sa,) = site.ours.routes[0]["sas"]
        return (sa["packets_out"], sa["packets_in"]) == (held, held)

    site.ours.start(in_kernel(GCM))
    with Capture(wire, "theirs", tmp_path / "pcap") as capture:
        before = site.ours.namespace.run(ping, check=False).stdout
        configure(site.theirs, GCM)
        up_from_ours(site)
        eventually(went_on, lambda: str(site.ours.routes), seconds=HELD_SECONDS)
        site.carries()
        site.ours.ask("down", gateway="swan")
        after = site.ours.namespace.run(ping, check=False).stdout
    assert f"{held} packets transmitted, 0 received" in before and ", 0 received" in after
    counts = seen(capture)
    assert (counts.esp, counts.clear) == (2 * held + PACKETS, 0)


@pytest.mark.parametrize("initiator", UP)
def test_a_route_based_tunnel_is_everything_for_strongswan_as_well(
    site: Site, wire: Namespace, tmp_path: Path, initiator: str
) -> None:
    """Ours has a device, strongSwan policies; it proposes IPv6, too, of which ours has nothing."""
    ours, theirs = in_kernel(GCM), peer(GCM)
    ours["tunnels"][0]["interface"] = {"name": "vpn0", "addresses": ["169.254.3.1/30"], "metric": 7}
    theirs["tunnels"][0]["interface"] = {"name": "vpn0"}
    rendering = swanctl.render(read(theirs, secrets=secrets("tandem", PSK)))
    without_device = re.sub(r" +if_id_.*\n", "", rendering.files[swanctl.CONFIGURATION])
    site.theirs.load(without_device, {**rendering.files, **rendering.secrets, swanctl.CONFIGURATION: without_device})
    site.theirs.namespace.ip(f"route add 10.1.0.0/16 via {OURS}")
    site.ours.start(ours)
    with Capture(wire, "theirs", tmp_path / "pcap") as capture:
        if initiator == "ikeengine":
            up_from_ours(site)
        else:
            site.theirs.initiate("lan")
        eventually(lambda: site.ours.routes[0]["state"] == "up", site.logs)
        for near, far in ROUTES:
            for namespace, source, target in ((site.ours.namespace, near, far), (site.theirs.namespace, far, near)):
                argv = ["ping", "-n", "-q", "-c", str(PINGS), "-i", "0.05", "-W", "2", "-I", source.host, target.host]
                assert f" {PINGS} received" in namespace.run(argv, check=False).stdout, site.logs()
    assert (seen(capture).esp, seen(capture).clear) == (PACKETS, 0)
    (route,) = site.ours.routes
    assert [(sa["local"], sa["remote"]) for sa in route["sas"]] == [("0.0.0.0/0", "0.0.0.0/0")]
    (link,) = json.loads(site.ours.namespace.run(["ip", "-json", "-details", "link", "show", "vpn0"]).stdout)
    assert link["linkinfo"]["info_kind"] == "vti"


@pytest.mark.parametrize("suite", SUITES)
def test_behind_a_nat_esp_goes_in_udp(site_behind_nat: Site, wire: Namespace, tmp_path: Path, suite: str) -> None:
    site, chosen = site_behind_nat, SUITES[suite]
    pair = declaration(chosen)["gateways"][0]["endpoints"][0]
    local = {"address": PRIVATE, "identifier": {"type": "ip-address", "value": OURS}}
    configure(site.theirs, chosen)
    site.ours.start(in_kernel(chosen, endpoints=[{**pair, "local": local}]))
    with Capture(wire, "theirs", tmp_path / "pcap") as capture:
        up_from_ours(site)
        begun = site.carries()
    counts = seen(capture)
    assert (counts.esp, counts.esp_in_udp, counts.clear) == (0, PACKETS, 0)
    (ike,) = site.ours.gateway["ike"]
    assert ike["nat"] is True
    assert {near["encapsulation"] for near, _far in begun.children} == {"udp"}
    for namespace in (site.ours.namespace, site.theirs.namespace):
        states = namespace.run(["ip", "xfrm", "state"]).stdout
        assert states.count("encap type espinudp") == 2 * len(ROUTES)

    with site.traffic():
        site.ours.ask("rekey", tunnel="lan")
    ours = site.carries()
    assert not ours.spis & begun.spis
    with site.traffic():
        for child in CHILDREN:
            site.theirs.rekey(child=child)
        eventually(lambda: not site.settled().spis & ours.spis, site.logs)
    assert not site.carries().spis & ours.spis
