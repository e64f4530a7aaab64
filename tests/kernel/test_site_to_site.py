# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site-to-site example as its playbook leaves it, on hosts whose kernel has ESP: what `auto` chooses there."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import CHECKOUT, demo, proof
from tests.testbed.capture import Capture
from tests.testbed.topology import FIRST, Bed

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.hosts]

Json = dict[str, Any]
PEERS = {"hq": "branch", "branch": "hq"}
FAR_LAN_HOST = "10.2.0.2"
STATE = re.compile(r"spi 0x([0-9a-f]{8})[\s\S]*?lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)")
SETTLE_SECONDS = 30


class CheckoutBed(Bed):
    """Its playbook takes the collection from the checkout, so that a daemon sent to hosts is the one packed before."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "dev")}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """hq and branch with their LANs and the router, after the example's playbook has run once."""
    demo.FOLDER.mkdir(parents=True, exist_ok=True)
    with CheckoutBed(FIRST, state=tmp_path_factory.mktemp("bed")) as bed:
        demo.play(bed)
        yield bed


def sas(bed: Bed) -> dict[str, Json]:
    """The one SA pair of each host; waits until rekeying has left no more than that."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = {host: [sa for tunnel in demo.ikectl(bed, host, "status")["tunnels"] for route in tunnel["routes"]
                        for sa in route["sas"]] for host in bed.hosts}
        if all(len(held) == 1 for held in found.values()):
            return {host: held[0] for host, held in found.items()}
        assert time.monotonic() < deadline, found


def kernel_states(bed: Bed, host: str) -> dict[str, tuple[int, int]]:
    """Octets and packets of each SA in the kernel of a host, by SPI; what has no keys only holds an SPI for a while."""
    listed = bed.hosts[host].namespace.run(["ip", "-s", "xfrm", "state"]).stdout
    states = [STATE.search(state) for state in re.split(r"^(?=src )", listed, flags=re.MULTILINE) if "\tenc " in state]
    return {state[1]: (int(state[2]), int(state[3])) for state in states if state}


@contextmanager
def pinged(bed: Bed, count: int = 60) -> Iterator[None]:
    """LAN to LAN, 50 ms from ping to ping, while something happens; none may be lost."""
    argv = ["ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "2", FAR_LAN_HOST]
    with subprocess.Popen([*bed.namespaces["lan-hq"].entry, *argv], stdout=subprocess.PIPE, text=True) as ping:
        yield
        said = ping.communicate(timeout=60)[0]
    assert f"{count} packets transmitted, {count} received, 0% packet loss" in said, said


def test_both_ends_chose_the_kernel_and_hold_each_others_spis(bed: Bed) -> None:
    statuses = {host: demo.ikectl(bed, host, "status") for host in bed.hosts}
    (tunnel,) = proof.tunnels(statuses)
    assert {end["dataplane"] for end in tunnel["ends"].values()} == {"kernel"}
    near, far = tunnel["ends"]["hq"], tunnel["ends"]["branch"]
    assert (near["spi_in"], near["spi_out"]) == (far["spi_out"], far["spi_in"])
    assert (near["local"], near["remote"], near["esp"]) == ("10.1.0.0/24", "10.2.0.0/24", "ESP AES-256/SHA2-256")


def test_the_kernels_hold_the_same_spis(bed: Bed) -> None:
    for host, sa in sas(bed).items():
        assert set(kernel_states(bed, host)) == {sa["spi_in"], sa["spi_out"]}


def test_lan_to_lan_is_esp_at_the_router_and_counted_by_the_kernel(bed: Bed) -> None:
    before = sas(bed)
    counts, ping, _ = demo.measure(bed)
    assert ping == {"sent": demo.PINGS, "received": demo.PINGS}
    assert (counts.esp, counts.esp_in_udp, counts.clear) == (2 * demo.PINGS, 0, 0)
    for host, sa in sas(bed).items():
        states = kernel_states(bed, host)
        for way in ("in", "out"):
            assert sa[f"packets_{way}"] - before[host][f"packets_{way}"] == demo.PINGS
            assert states[sa[f"spi_{way}"]] == (sa[f"octets_{way}"], sa[f"packets_{way}"])


@pytest.mark.parametrize("host", PEERS)
def test_a_child_rekey_loses_no_ping(bed: Bed, host: str) -> None:
    before = sas(bed)["hq"]
    with pinged(bed):
        demo.ikectl(bed, host, "rekey", "--tunnel", "lan")
    after = sas(bed)
    assert {before["spi_in"], before["spi_out"]}.isdisjoint({after["hq"]["spi_in"], after["hq"]["spi_out"]})
    assert (after["hq"]["spi_in"], after["hq"]["spi_out"]) == (after["branch"]["spi_out"], after["branch"]["spi_in"])


@pytest.mark.parametrize("host", PEERS)
def test_an_ike_rekey_loses_no_ping_and_leaves_the_child(bed: Bed, host: str) -> None:
    before, child = ike_spi(bed), sas(bed)["hq"]["spi_in"]
    with pinged(bed):
        demo.ikectl(bed, host, "rekey", PEERS[host])
    assert ike_spi(bed) != before and sas(bed)["hq"]["spi_in"] == child


def test_reauthentication_loses_no_ping_and_leaves_nothing_behind(bed: Bed) -> None:
    before, child = ike_spi(bed), sas(bed)["hq"]["spi_in"]
    with pinged(bed, count=100):
        demo.ikectl(bed, "branch", "rekey", "hq", "--reauthenticate")
    after = sas(bed)
    assert ike_spi(bed) != before and after["hq"]["spi_in"] != child
    for name, sa in after.items():
        assert set(kernel_states(bed, name)) == {sa["spi_in"], sa["spi_out"]}


def test_what_somebody_deleted_in_the_kernel_is_told_and_brought_back_by_a_new_sa(bed: Bed) -> None:
    before = sas(bed)["hq"]
    for words in (["state", "delete", "src", "192.0.2.2", "dst", "198.51.100.2", "proto", "esp", "spi",
                   f"0x{before['spi_out']}"], ["policy", "flush"]):
        bed.hosts["hq"].namespace.run(["ip", "xfrm", *words])
    told = demo.ikectl(bed, "hq", "mend")["mended"]
    assert {row["what"]: (row["expected"], row["found"]) for row in told} == {
        f"tunnel lan: outbound SA {before['spi_out']}": ("in the kernel", "not there"),
        **dict.fromkeys((f"policy {way}" for way in ("out 10.1.0.0/24 -> 10.2.0.0/24", "in 10.2.0.0/24 -> 10.1.0.0/24",
                                                     "fwd 10.2.0.0/24 -> 10.1.0.0/24")), ("there", "not there"))}
    with pinged(bed, count=20):
        pass
    after = sas(bed)["hq"]
    assert set(kernel_states(bed, "hq")) == {after["spi_in"], after["spi_out"]} and after["spi_in"] != before["spi_in"]
    assert demo.ikectl(bed, "hq", "audit") == {"departures": []}


def ike_spi(bed: Bed) -> str:
    (gateway,) = demo.ikectl(bed, "hq", "status")["gateways"]
    spi: str = gateway["ike"][-1]["spi_i"]
    return spi


def test_while_the_tunnel_is_down_nothing_passes(bed: Bed, tmp_path: Path) -> None:
    demo.ikectl(bed, "hq", "down", "branch")
    with Capture(bed.router, "wan-hq", tmp_path / "pcap") as capture:
        for lan, target in (("lan-hq", FAR_LAN_HOST), ("lan-branch", "10.1.0.2")):
            argv = ["ping", "-n", "-q", "-c", "5", "-i", "0.05", "-W", "1", target]
            assert ", 0 received" in bed.namespaces[lan].run(argv, check=False).stdout
    counts = capture.counts(bed.LANS)
    assert (counts.esp, counts.esp_in_udp, counts.clear) == (0, 0, 0)
    assert [kernel_states(bed, host) for host in PEERS] == [{}, {}]

    demo.ikectl(bed, "hq", "up", "branch")
    with pinged(bed, count=10):
        pass
