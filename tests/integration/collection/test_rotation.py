# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A credential that changes at both ends: the ordinary playbook changes it in steps, and no packet is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import certificates
from tests.testbed.topology import Bed

from .conftest import MARKER, Site
from .test_life import changed, on, status

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

ROOTS = [certificates.issue(f"CN=root {name}", authority=True) for name in "ab"]
OWN = {site: [certificates.issue(f"CN={site}", root, alternative=[address]) for root in ROOTS]
       for site, address in (("hq", "192.0.2.2"), ("branch", "branch.example.net"))}


class Pinging:
    """A hundred packets a second from LAN to LAN. ``lost`` are those before the last answer that had none: what was
    under way at the end may have one."""

    lost = answered = 0

    def count(self, said: str) -> None:
        numbers = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", said)}
        self.answered = len(numbers)
        self.lost = max(numbers) - len(numbers)


@contextmanager
def pinging(bed: Bed) -> Iterator[Pinging]:
    argv = [*bed.namespaces["lan-hq"].entry, "ping", "-i", "0.01", "10.2.0.2"]
    ping = Pinging()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reader.start()
        try:
            yield ping
        finally:
            process.send_signal(signal.SIGINT)
            reader.join()
    ping.count("".join(said))


def keyed(key: str):
    """An edit that gives both ends this pre-shared key."""
    def edit(*sides: dict[str, Any]) -> None:
        for side in sides:
            side["ipsec_gateways"][0]["credential"] = {"method": "psk", "psk": key}

    return edit


def certified(which: int):
    """An edit that gives both ends certificates of that authority."""
    def edit(*sides: dict[str, Any]) -> None:
        for name, side in zip(("hq", "branch"), sides, strict=True):
            side["ipsec_gateways"][0]["credential"] = certificates.credential(OWN[name][which], ROOTS[which])

    return edit


def kept(bed: Bed, host: str) -> dict[str, Any]:
    """The secrets on the host, of its one gateway."""
    (found,) = json.loads(on(bed, host, "cat /etc/ikeengine/secrets.json"))["gateways"].values()
    return found


def spis(bed: Bed) -> dict[str, list[str]]:
    return {host: [ike["spi_i"] for ike in status(bed, host)["gateways"][0]["ike"]] for host in bed.hosts}


def proved(bed: Bed) -> list[bool]:
    return [ike["credential_in_force"] for host in bed.hosts for ike in status(bed, host)["gateways"][0]["ike"]]


def test_a_key_is_changed_in_steps_and_no_packet_is_lost(converged: Site, bed: Bed):
    old, before = kept(bed, "hq"), spis(bed)
    new = {"method": "psk", "psk": f"{MARKER}-new"}
    converged.edit(keyed(new["psk"]))
    with pinging(bed) as ping:
        alone = converged.play("--limit", "hq")  # one end accepts both, and waits for the other
        assert alone.returncode == 0, alone.stdout + alone.stderr
        assert "until branch does, too" in " ".join((alone.stderr + alone.stdout).split())
        assert (kept(bed, "hq"), kept(bed, "branch")) == ({**old, "also_accepted": [new["psk"]]}, old)
        converged.killed_at("Wait until both ends have shown that they take each other")
        assert kept(bed, "hq") == kept(bed, "branch") == {**new, "also_accepted": [old["psk"]]}
        done = converged.play("--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ping.lost, ping.answered > 500) == (0, True)
    assert kept(bed, "hq") == kept(bed, "branch") == new
    assert proved(bed) == [True, True] and not set(before["hq"]) & set(spis(bed)["hq"])
    assert MARKER not in alone.stdout + done.stdout


def test_certificates_of_another_authority_take_the_place_of_a_key_and_of_each_other(converged: Site, bed: Bed):
    with pinging(bed) as ping:
        converged.edit(certified(0))
        first = converged.play()
        assert first.returncode == 0, first.stdout + first.stderr
        converged.edit(certified(1))
        converged.killed_at("Drop the old credentials")
        done = converged.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ping.lost, proved(bed)) == (0, [True, True])
    again = converged.play()
    assert (again.returncode, changed(again)) == (0, {"hq": 0, "branch": 0}), again.stdout


def test_what_is_not_proved_in_time_fails_the_play_and_the_old_key_is_taken_still(converged: Site, bed: Bed):
    old, new = kept(bed, "hq")["psk"], f"{MARKER}-newer"
    converged.edit(keyed(new))
    blackhole = ["blackhole", "192.0.2.2/32"]
    bed.namespaces["router"].run(["ip", "route", "add", *blackhole])
    try:
        done = converged.play("-e", "ipsec_gateway_rotation_timeout=3")
    finally:
        bed.namespaces["router"].run(["ip", "route", "del", *blackhole])
    said = " ".join(re.sub(r"\\n|[\"']", " ", done.stdout).split())
    assert done.returncode != 0
    assert "Not every new credential is proved, so these old ones are taken still:" in said
    for end in ("hq: gateway branch", "branch: gateway hq"):
        assert f"- {end} is up by the old credential still: " in said
    assert kept(bed, "hq") == kept(bed, "branch") == {"method": "psk", "psk": new, "also_accepted": [old]}
    again = converged.play()
    assert again.returncode == 0, again.stdout + again.stderr
    assert kept(bed, "hq") == kept(bed, "branch") == {"method": "psk", "psk": new}


def test_beside_a_peer_of_others_an_end_drops_and_renews_what_is_its_own(converged: Site, bed: Bed):
    def played(credential: dict[str, Any]) -> dict[str, Any]:
        def edit(hq: dict[str, Any], branch: dict[str, Any]) -> None:
            hq["ipsec_gateways"][0]["credential"] = credential
            branch["ipsec_site"]["managed"] = False
            branch["ipsec_gateways"][0]["credential"] = {"method": "certificate"} if "ca" in credential else credential

        converged.edit(edit)
        done = converged.play("--limit", "hq")
        assert done.returncode == 0, done.stdout + done.stderr
        return kept(bed, "hq")

    key = kept(bed, "hq")
    assert played({**key, "also_accepted": [f"{MARKER}-leaked"]}) == {**key, "also_accepted": [f"{MARKER}-leaked"]}
    with pinging(bed) as ping:
        assert played(key) == key
        certificate = certificates.credential(OWN["hq"][0], ROOTS[0])
        assert played(certificate) == {"method": "certificate", "private_key": certificate["private_key"]}
        renewed = certificates.credential(certificates.issue("CN=hq", ROOTS[0], alternative=["192.0.2.2"]), ROOTS[0])
        assert played(renewed) == {"method": "certificate", "private_key": renewed["private_key"]}
    assert (ping.lost, ping.answered > 500) == (0, True)
