# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikectl as an operator sees it, against a daemon that answers from a script."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ikeengine import cli

Json = dict[str, Any]
STATUS: Json = {
    "daemon": {"version": "0.1.0", "pid": 77, "started_at": 1000.0, "declaration_digest": "00"},
    "dataplanes": {"kernel": {"available": False, "missing": ["ESP", "AH"]},
                   "userspace": {"available": True, "missing": []}},
    "gateways": [
        {"name": "branch", "state": "established", "last_error": None, "ike": [
            {"version": 2, "spi_i": "00" * 8, "spi_r": "11" * 8, "initiator": True,
             "suite": "AES-256/SHA2-256/group 14", "local": "192.0.2.1:4500", "remote": "198.51.100.1:4500",
             "local_identity": "192.0.2.1", "remote_identity": "branch.example.net", "nat": True,
             "initiated_at": 1000.0, "established_at": 1001.0, "rekey_in": 80000.0}]},
        {"name": "store", "state": "down", "last_error": "gateway store: the peer is silent", "ike": []}],
    "tunnels": [
        {"name": "lan", "gateway": "branch", "dataplane": "userspace", "state": "up", "last_error": None,
         "dataplane_reason": "the kernel lacks ESP", "interface": None, "routes": [
            {"declared": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24", "direction": "both"}, "state": "up", "sas": [
                {"spi_in": "c0ffee01", "spi_out": "c0ffee02", "esp": "ESP AES-256/SHA2-256", "encapsulation": "udp",
                 "local": "10.1.0.0/24", "remote": "10.2.0.0/24", "packets_in": 5, "octets_in": 420, "packets_out": 6,
                 "octets_out": 504, "initiated_at": 1001.0, "installed_at": 1001.0, "rekey_in": 27000.0}]},
            {"declared": {"local": "10.3.0.0/24", "remote": "10.4.0.0/24", "direction": "local-to-remote"},
             "state": "connecting", "sas": []}]},
        {"name": "transit", "gateway": "branch", "dataplane": "userspace", "state": "up", "last_error": None,
         "dataplane_reason": "the kernel lacks ESP", "interface": {"name": "vpn0", "kind": "tun"}, "routes": []}],
    "counters": {"datagrams_dropped": {"malformed": 0}, "datagrams_unsent": 0},
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[Json]]]]:
    """Starts a daemon that gives these answers to its one client; the socket's path, and what it was asked."""
    threads = []

    def start(*answers: Json) -> tuple[str, list[Json]]:
        path, asked = str(tmp_path / "s"), []
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()

        def serve() -> None:
            with server, server.accept()[0] as client, client.makefile("rwb") as stream:
                asked.append(json.loads(stream.readline()))
                for answer in answers:
                    stream.write(json.dumps({"version": 1, **answer}).encode() + b"\n")

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return path, asked

    yield start
    for thread in threads:
        thread.join(5)


def _result(value: Json) -> Json:
    return {"ok": True, "result": value}


def test_status_is_two_aligned_tables(daemon: Any, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0 + 3723)
    path, _ = daemon(_result(STATUS))
    assert cli.main(["--control", path, "status"]) == 0
    assert capsys.readouterr().out == """\
ikeengine 0.1.0, pid 77, running for 1h 2m
kernel data plane not available: ESP; AH
userspace data plane available

GATEWAY  STATE        PEER               IDENTITY            IKE SUITE                  AGE    REKEY IN
branch   established  198.51.100.1:4500  branch.example.net  AES-256/SHA2-256/group 14  1h 2m  22h 13m
store    down

TUNNEL  STATE       ROUTE                        SUITE                        SPI IN    SPI OUT   PACKETS IN  \
PACKETS OUT  AGE    REKEY IN
lan     up          10.1.0.0/24 <-> 10.2.0.0/24  ESP AES-256/SHA2-256 in UDP  c0ffee01  c0ffee02  5           \
6            1h 2m  7h 30m
lan     connecting  10.3.0.0/24 -> 10.4.0.0/24

userspace data plane (the kernel lacks ESP): lan, transit by vpn0 (tun)

gateway store: the peer is silent
"""


def test_json_is_the_daemons_own_answer(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, asked = daemon(_result(STATUS))
    assert cli.main(["--control", path, "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS
    assert asked == [{"version": 1, "command": "status"}]


def test_explain_prints_one_page_for_each_explanation(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page: Json = {"gateway": None, "state": "unknown", "since": None, "summary": "its negotiation is under way",
                  "declared": None, "negotiations": []}
    path, asked = daemon(_result({"explanations": [page, page]}))
    assert cli.main(["--control", path, "explain", "198.51.100.7"]) == 0
    assert asked == [{"version": 1, "command": "explain", "gateway": "198.51.100.7"}]
    one = "no gateway: unknown\n  its negotiation is under way\n"
    assert capsys.readouterr().out == f"{one}\n{one}"


BY_HAND = [
    {"what": "route to 10.2.0.0/24, into the tunnel", "expected": "there", "found": "not there"},
    {"what": "address 169.254.9.1/30 of vpn0", "expected": "not there", "found": "there"},
    {"what": "device vpn0", "expected": "there", "found": "another one"},
    {"what": "device ipsec0", "expected": "MTU 1438", "found": "MTU 1400"},
    {"what": "tunnel lan: inbound SA c0ffee01", "expected": "in the kernel", "found": "not there"},
    {"what": "gateway branch", "expected": "as it is declared", "found": "taken down by hand"}]


def test_audit_says_what_is(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, _asked = daemon(_result({"departures": BY_HAND}))
    assert cli.main(["--control", path, "audit"]) == 0
    assert capsys.readouterr().out == """\
route to 10.2.0.0/24, into the tunnel is not there
address 169.254.9.1/30 of vpn0 is there, and is not declared
device vpn0 is another one
device ipsec0: MTU 1400, and is to be MTU 1438
tunnel lan: inbound SA c0ffee01 is not there
gateway branch: taken down by hand, and is to be as it is declared
"""


def test_mend_says_what_was(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, _asked = daemon(_result({"mended": BY_HAND}))
    assert cli.main(["--control", path, "mend"]) == 0
    assert capsys.readouterr().out == """\
mended: route to 10.2.0.0/24, into the tunnel was not there
mended: address 169.254.9.1/30 of vpn0 was there, and was not declared
mended: device vpn0 was another one
mended: device ipsec0: MTU 1400, now MTU 1438
mended: tunnel lan: inbound SA c0ffee01 was not there
mended: gateway branch: taken down by hand, now as it is declared
"""


@pytest.mark.parametrize(("words", "said"), [
    (["audit"], "nothing departs from what is declared\n"), (["mend"], "nothing departs from what is declared\n"),
    (["audit", "--json"], '{\n  "audit": []\n}\n'), (["mend", "--json"], '{\n  "mend": []\n}\n')])
def test_where_nothing_departs_that_is_said(daemon: Any, words: list[str], said: str,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    path, _asked = daemon(_result({words[0]: []}))
    assert cli.main(["--control", path, *words]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(("words", "request_"), [
    (["up", "branch"], {"command": "up", "gateway": "branch", "timeout": 30.0}),
    (["up", "branch", "--tunnel", "lan", "--timeout", "5"],
     {"command": "up", "gateway": "branch", "tunnel": "lan", "timeout": 5.0}),
    (["down", "--tunnel", "lan"], {"command": "down", "tunnel": "lan"}),
    (["rekey", "branch"], {"command": "rekey", "gateway": "branch", "timeout": 30.0}),
    (["rekey", "branch", "--reauthenticate"], {"command": "rekey", "gateway": "branch", "timeout": 30.0,
                                               "reauthenticate": True}),
])
def test_orders_name_gateways_and_tunnels(daemon: Any, words: list[str], request_: Json,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    path, asked = daemon(_result({"done": ["gateway branch"]}))
    assert cli.main(["--control", path, *words]) == 0
    assert asked == [{"version": 1, **request_}]
    assert capsys.readouterr().out == "done: gateway branch\n"


def test_a_refusal_is_printed_and_fails(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = daemon({"ok": False, "error": {"code": "negotiation_failed", "message": "phase 1: the keys differ"}})
    assert cli.main(["--control", path, "up", "branch"]) == 1
    assert capsys.readouterr().err == "ikectl: phase 1: the keys differ\n"


def test_reload_hands_over_both_files_and_prints_every_finding(daemon: Any, tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d").write_text('{"version": 1}')
    (tmp_path / "k").write_text('{"version": 1, "gateways": {}}')
    path, asked = daemon({"ok": False, "error": {"code": "invalid_declaration", "message": "", "findings": [
        {"message": "gateways[branch].start is 'bot'"}, {"message": "tunnels[lan].gateway is missing"}]}})
    assert cli.main(["--control", path, "reload", "--declaration", str(tmp_path / "d"), "--secrets",
                     str(tmp_path / "k")]) == 1
    assert asked[0]["declaration"] == {"version": 1} and asked[0]["secrets"] == {"version": 1, "gateways": {}}
    assert capsys.readouterr().err == ("ikectl: the declaration is not valid; the one before stays in force:\n"
                                       "  gateways[branch].start is 'bot'\n  tunnels[lan].gateway is missing\n")


def test_flush_says_what_follows_and_what_brings_all_back(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, asked = daemon(_result({"added": [], "changed": [], "removed": ["gateway branch", "tunnel lan"],
                                  "unchanged": []}))
    assert cli.main(["--control", path, "flush"]) == 0
    assert asked == [{"version": 1, "command": "flush"}]
    assert capsys.readouterr().out == (
        "removed: gateway branch, tunnel lan\n"
        "Nothing is declared now and no policies stand, so traffic to the tunnels' networks goes unprotected. ikectl "
        "reload, or a restart of the service, brings all back.\n")


@pytest.mark.parametrize(("command", "told"), [
    ("flush", "traffic to the tunnels' networks goes unprotected until ikectl reload or a restart of the service "
              "brings all back"),
    ("up", "the gateway's name; it or --tunnel is needed"),
    ("down", "the gateway's name; it or --tunnel is needed"),
    ("rekey", "the gateway's name; it or --tunnel is needed"),
    ("rekey", "more than 0 and at most 3600; default: 30"),
    ("reload", "default: /etc/ikeengine/declaration.json"),
    ("reload", "default: /etc/ikeengine/secrets.json"),
])
def test_the_help_of_a_command_says_what_it_needs_and_what_follows(command: str, told: str,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert told in " ".join(capsys.readouterr().out.split())


def test_log_follows_until_the_daemon_ends(daemon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [{"time": 0, "level": "info", "message": f"line {number}", "tunnel": "lan"} for number in range(3)]
    path, _ = daemon(*(_result({"entries": [entry]}) for entry in entries))
    assert cli.main(["--control", path, "log", "--follow", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == entries


@pytest.mark.parametrize(("words", "told"), [
    (["status"], "is the service running? systemctl status ikeengine"),
    (["up"], "up needs a gateway's name or --tunnel"),
    (["reload", "--declaration", "/nowhere"], "cannot read /nowhere"),
])
def test_what_to_do_is_said_with_status_two(words: list[str], told: str, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--control", str(tmp_path / "nobody"), *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "rekey"])
@pytest.mark.parametrize("value", ["0", "-3", "abc", "3601", "nan", "inf", ""])
def test_a_timeout_that_is_none_is_named_with_the_rule(command: str, value: str,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main([command, "branch", "--timeout", value])
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"ikectl {command}: error: argument --timeout: {value!r} is no number of seconds that is more than 0 and at "
        "most 3600")


@pytest.mark.parametrize("value", ["-1", "abc", "1.5"])
def test_a_number_of_lines_that_is_none_is_named_with_the_rule(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["log", "--lines", value])
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"ikectl log: error: argument --lines/-n: {value!r} is no whole number that is 0 or more")


@pytest.mark.parametrize("words", [["--tunnel", "lan"], ["branch", "--tunnel", "lan"]])
def test_reauthenticating_is_for_gateways(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--control", str(tmp_path / "nobody"), "rekey", *words, "--reauthenticate"]) == 2
    assert capsys.readouterr().err == (
        "ikectl: --reauthenticate makes the IKE SA of a gateway anew, with all its tunnels: name the gateway alone, "
        "without --tunnel lan\n")


def test_it_loads_nothing_heavy() -> None:
    script = "import sys, ikeengine.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                            cwd=Path(cli.__file__).parents[1]).stdout.split()
    assert not {"asyncio", "cryptography", "pyroute2", "ssl", "ikeengine.daemon"} & set(loaded)
