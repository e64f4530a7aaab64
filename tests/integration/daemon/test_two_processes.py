# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons as an operator runs them: real processes, real sockets, real packets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.hosts

Site = Any  # of conftest.py, which importlib mode keeps out of reach


def test_a_tunnel_comes_up_and_carries_pings_from_lan_to_lan(site: Site) -> None:
    site.start()
    [near], [far] = site.hq.sas(), site.branch.sas()
    assert (near["spi_in"], near["spi_out"]) == (far["spi_out"], far["spi_in"])
    pinged = site.hq.ping(site.branch, 10)
    assert " 0% packet loss" in pinged.stdout, pinged.stdout
    [near] = site.hq.sas()
    assert (near["packets_in"], near["packets_out"], near["octets_out"]) == (10, 10, 10 * 84)
    table = site.hq.ikectl("status").stdout
    assert near["spi_in"] in table and "10.1.0.0/24 <-> 10.2.0.0/24" in table and "established" in table


def test_both_ends_starting_at_once_agree_on_one_pair(site: Site) -> None:
    site.start(start="boot")
    deadline = time.monotonic() + 60
    while len(site.hq.sas()) != 1 or len(site.branch.sas()) != 1:
        assert time.monotonic() < deadline, site.hq.logged() + site.branch.logged()
        time.sleep(0.1)
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout


@pytest.mark.parametrize("what", [["--tunnel", "lan"], ["branch"]])
def test_a_rekey_loses_no_packet(site: Site, what: list[str]) -> None:
    site.start()
    before = site.hq.ask("status")
    with subprocess.Popen(site.hq.command("ping", "-c", "100", "-i", "0.01", "-W", "1", "-I", site.hq.lan,
                                          site.branch.lan), stdout=subprocess.PIPE, text=True) as ping:
        site.hq.ask("rekey", *what)
        told, _ = ping.communicate(timeout=30)
    assert " 0% packet loss" in told, told
    after = site.hq.ask("status")
    if what == ["branch"]:
        assert before["gateways"][0]["ike"][0]["spi_i"] != after["gateways"][0]["ike"][0]["spi_i"]
    else:
        assert before["tunnels"][0]["routes"][0]["sas"][0]["spi_in"] not in json.dumps(after)


def test_a_reload_touches_only_what_changed(site: Site) -> None:
    site.start()
    [before] = site.hq.sas()
    for node, other, options in ((site.branch, site.hq, {"start": "answer"}), (site.hq, site.branch, {})):
        node.declare(other, routes=2, **options)
        changes = json.loads(node.reload().stdout)
        assert changes == {"added": [], "changed": ["tunnel lan"], "removed": [],
                           "unchanged": [f"gateway {other.name}"]}
    site.hq.ask("up", "--tunnel", "lan")
    after = site.hq.sas()
    assert len(after) == 2 and before["spi_in"] in [sa["spi_in"] for sa in after]
    again = json.loads(site.hq.reload().stdout)
    assert (again["changed"], again["unchanged"]) == ([], ["gateway branch", "tunnel lan"])


def test_a_bad_declaration_is_refused_with_its_findings_and_the_old_stays(site: Site) -> None:
    site.start()
    site.hq.declare(site.branch, start="bot")
    refused = site.hq.reload()
    assert refused.returncode == 1
    assert "gateways[branch].start" in refused.stderr and "the one before stays in force" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout
    checked = site.hq.run_daemon("--check")
    assert checked.returncode == 1 and "gateways[branch].start" in checked.stderr


def test_a_stop_tells_the_peer_and_leaks_nothing_and_a_start_finds_the_way_back(site: Site) -> None:
    site.start()
    began = time.monotonic()
    assert site.hq.stop() == 0
    assert time.monotonic() - began < 5
    assert site.branch.sas() == [] and site.branch.ask("status")["gateways"][0]["state"] == "down"
    routes = subprocess.run(site.hq.command("ip", "route", "show", "table", "all"), capture_output=True, text=True)
    assert "unreachable 10.2.0.0/24" in routes.stdout  # still blocked
    site.hq.start()
    site.hq.ask("up", "branch")
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout


def test_flush_leaves_nothing_behind_running_or_stopped(site: Site) -> None:
    def left() -> str:
        shown = ""
        for words in (("rule",), ("route", "show", "table", "all"), ("xfrm", "policy", "list"), ("link",)):
            shown += subprocess.run(site.hq.command("ip", *words), capture_output=True, text=True).stdout
        return "\n".join(line for line in shown.splitlines()
                         if "proto 206" in line or "10.2.0.0/24" in line or "ike0" in line)

    site.start()
    assert left()
    refused = site.hq.run_daemon("--flush")
    assert refused.returncode == 1 and "ikectl flush" in refused.stderr
    assert site.hq.ask("flush")["removed"] == ["gateway branch", "tunnel lan"]
    deadline = time.monotonic() + 60
    while site.branch.sas():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert site.hq.stop() == 0
    assert left() == ""

    site.hq.start()
    assert site.hq.stop() == 0
    assert left()
    assert site.hq.run_daemon("--flush").returncode == 0
    assert left() == ""


def test_started_as_root_it_lets_its_user_open_a_tun_device_that_no_udev_did(site: Site) -> None:
    site.hq.declare(site.branch)
    site.branch.declare(site.hq, start="answer")
    site.branch.start("--user", "nobody", tun_mode=0o600)
    site.hq.start("--user", "nobody", tun_mode=0o666)
    site.hq.ask("up", "branch")
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout
    assert site.hq.stop() == 0
    with pytest.raises(AssertionError, match="chmod 0666 /dev/net/tun"):
        site.hq.start("--user", "nobody", tun_mode=0o660)


def test_started_as_root_it_keeps_three_capabilities_of_another_user(site: Site) -> None:
    site.hq.declare(site.branch)
    site.branch.declare(site.hq, start="answer")
    site.branch.start("--user", "nobody", tun_mode=0o666)
    site.hq.start("--user", "nobody", tun_mode=0o666)
    site.hq.ask("up", "branch")
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout
    pid = site.hq.ask("status")["daemon"]["pid"]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    three = 1 << 10 | 1 << 12 | 1 << 13
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")] == [
        three, three, three, 0, 0]
    assert status["Uid"].split() == ["65534"] * 4 and "65534" in status["Groups"]
    assert status["NoNewPrivs"] == "1"
    assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0  # not dumpable: not its own user's to read
    owner = site.hq.control.stat()
    assert (owner.st_uid, owner.st_mode & 0o777) == (65534, 0o600)
    assert site.hq.stop() == 0


def test_a_taken_port_is_named_with_its_holder(site: Site) -> None:
    site.hq.declare(site.branch)
    script = "import socket; s = socket.socket(2, 2); s.bind(('', 4500)); print(flush=True); input()"
    with subprocess.Popen(site.hq.command(sys.executable, "-c", script), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        refused = site.hq.run_daemon()
        other.stdin.close()
    assert refused.returncode == 1
    assert "UDP port 4500 is taken by python" in refused.stderr and "Traceback" not in refused.stderr


def test_without_a_declaration_it_serves_and_declares_nothing(site: Site) -> None:
    site.hq.start()
    status = site.hq.ask("status")
    assert (status["gateways"], status["tunnels"]) == ([], [])
    links = subprocess.run(site.hq.command("ip", "link"), capture_output=True, text=True).stdout
    assert "ike0" not in links


def test_the_wrong_key_is_told_at_both_ends_and_never_shown(site: Site) -> None:
    site.hq.declare(site.branch)
    site.branch.declare(site.hq, start="answer")
    secrets = site.hq.directory / "secrets.json"
    secrets.write_text(secrets.read_text().replace("correct horse", "wrong horse"))
    site.branch.start()
    site.hq.start()
    refused = site.hq.ikectl("up", "branch", "--timeout", "10")
    assert refused.returncode == 1 and "AUTHENTICATION_FAILED" in refused.stderr
    assert "horse" not in site.hq.logged() + site.branch.logged() + refused.stderr
    assert site.branch.ask("status")["gateways"][0]["last_error"]


def test_noise_changes_nothing(site: Site) -> None:
    site.start()
    script = ("import os, random, socket, sys; random.seed(int(sys.argv[2])); s = socket.socket(2, 2)\n"
              "for _ in range(3000): s.sendto(random.randbytes(random.randrange(200)),"
              " (sys.argv[1], random.choice((500, 4500))))")
    seed = str(time.time_ns())
    print("seed", seed)
    subprocess.run(site.branch.command(sys.executable, "-c", script, site.hq.address, seed), check=True, timeout=60)
    assert " 0% packet loss" in site.hq.ping(site.branch).stdout
    assert sum(site.hq.ask("status")["counters"]["datagrams_dropped"].values()) > 100
    assert "Traceback" not in site.hq.logged() and len(site.hq.logged().splitlines()) < 50
