# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we send is what Wireshark reads, with the keys that ``--debug-keys`` exports."""

from pathlib import Path

import pytest

from tests.interop.site import CHILDREN, OURS, PINGS, ROUTES, SUITES, THEIRS, Site, configure, declaration
from tests.testbed import tshark
from tests.testbed.capture import Capture

pytestmark = pytest.mark.interop

IKE = ["isakmp.messageid", "isakmp.enc.decrypted", "isakmp.enc.icd", "isakmp.id.data.ipv4_addr",
       "isakmp.ts.start_ipv4", "isakmp.ts.end_ipv4", "isakmp.typepayload"]
QUICK_MODE = ["udp.payload", "isakmp.typepayload", "isakmp.id.data.ipv4_addr"]
QUICK, HASH = "32", "8"
IKE_AUTH, CREATE_CHILD_SA, NONCE = "35", "36", "40"


def recorded(site: Site, path: Path) -> Capture:
    """Our end of the cable. What we hand to the kernel in one call is cut before tcpdump sees it, not by the peer."""
    site.ours.namespace.ip("link set wan gso_max_segs 1")
    return Capture(site.ours.namespace, "wan", path)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_ike_and_esp_are_decrypted(site: Site, tmp_path: Path, initiator: str, suite: str) -> None:
    chosen, keys = SUITES[suite], tmp_path / "keys"
    site.ours.program = [*site.ours.program, "--debug-keys", str(keys)]
    configure(site.theirs, chosen)
    site.ours.start(declaration(chosen))
    with recorded(site, tmp_path / "pcap") as capture:
        if initiator == "ikeengine":
            site.ours.ask("up", gateway="swan")
        else:
            for child in CHILDREN:
                site.theirs.initiate(child)
        site.carries()
        site.ours.ask("rekey", gateway="swan")
        site.ours.ask("rekey", tunnel="lan")
        site.carries()

    request, answer = tshark.rows(capture.path, IKE, keys=keys, shown=f"isakmp.exchangetype == {IKE_AUTH}")
    near, far = (OURS, THEIRS) if initiator == "ikeengine" else (THEIRS, OURS)
    assert request["isakmp.id.data.ipv4_addr"] == [near, far] and answer["isakmp.id.data.ipv4_addr"] == [far]
    local, remote = ROUTES[0] if initiator == "ikeengine" else reversed(ROUTES[0])
    starts = [lan.network.removesuffix("/24") for lan in (local, remote)]
    for message in (request, answer):
        assert message["isakmp.ts.start_ipv4"] == starts
        assert message["isakmp.ts.end_ipv4"] == [f"{start[:-1]}255" for start in starts]

    created = tshark.rows(capture.path, IKE, keys=keys, shown=f"isakmp.exchangetype == {CREATE_CHILD_SA}")
    assert len(created) == 2 * 4, "the second route, the IKE SA, and both routes anew"
    assert all(message["isakmp.enc.decrypted"] and NONCE in message["isakmp.typepayload"] for message in created)

    pings = tshark.rows(capture.path, ["ip.src", "ip.dst", "icmp.type", "esp.icv_good"], keys=keys, shown="icmp")
    spoken = [(ping["ip.src"][-1], ping["ip.dst"][-1], ping["icmp.type"][0]) for ping in pings]
    for here, there in ROUTES:
        for one, other in ((here.host, there.host), (there.host, here.host)):
            assert spoken.count((one, other, "8")) == spoken.count((other, one, "0")) == 2 * PINGS
    assert all(ping["esp.icv_good"] == ["1"] for ping in pings) or "GCM" in suite
    assert not tshark.rows(capture.path, ["esp.spi"], keys=keys, shown="esp && !icmp")


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_ikev1_is_decrypted(site: Site, tmp_path: Path, mode: str) -> None:
    chosen, keys = SUITES["AES-256 SHA2-256 group 14"], tmp_path / "keys"
    site.theirs.stop()
    site.theirs.settings = "i_dont_care_about_security_and_use_aggressive_mode_psk = yes"
    site.theirs.start()
    site.ours.program = [*site.ours.program, "--debug-keys", str(keys)]
    configure(site.theirs, chosen, ike_version=1, mode=mode)
    site.ours.start(declaration(chosen, ike_version=1, mode=mode))
    with recorded(site, tmp_path / "pcap") as capture:
        site.ours.ask("up", gateway="swan")
        site.carries()

    # strongSwan may pass over the first ones, which wait with Phase 1's last message for one of its threads; they are
    # said again.
    messages = {tuple(message["udp.payload"]): message for message in tshark.rows(
        capture.path, QUICK_MODE, keys=keys, shown=f"isakmp.exchangetype == {QUICK}")}.values()
    assert len(messages) == 3 * len(ROUTES)
    assert all(HASH in message["isakmp.typepayload"] for message in messages)
    asked = {tuple(message["isakmp.id.data.ipv4_addr"]) for message in messages} - {()}
    assert asked == {tuple(lan.network.removesuffix("/24") for lan in route) for route in ROUTES}
    assert tshark.rows(capture.path, ["icmp.type"], keys=keys, shown="icmp")
    assert not tshark.rows(capture.path, ["esp.spi"], keys=keys, shown="esp && !icmp")


def test_without_the_option_nothing_is_written(site: Site) -> None:
    site.ours.start(declaration(SUITES["AES-GCM group 31"]))
    assert "KEYS" not in site.ours.log
    assert {path.name for path in site.ours.directory.iterdir()} == {
        "declaration.json", "secrets.json", "log", "control.sock"}
