# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo says yes only to a tunnel that both ends hold, and otherwise says what is wrong."""

import copy
from typing import Any

import pytest

from tests.testbed.proof import findings, seconds_to_up, table, tunnels


def status(*, local: str, remote: str, spi_in: str, spi_out: str, installed_at: float) -> dict[str, Any]:
    sa = {
        "spi_in": spi_in,
        "spi_out": spi_out,
        "esp": "ESP AES-256/SHA2-256",
        "encapsulation": "udp",
        "local": local,
        "remote": remote,
        "packets_in": 20,
        "packets_out": 20,
        "initiated_at": 100.0,
        "installed_at": installed_at,
    }
    return {
        "gateways": [{"name": "peer", "ike": [{"suite": "AES-256/SHA2-256/group 14", "initiated_at": 100.0}]}],
        "tunnels": [{"name": "lan", "gateway": "peer", "dataplane": "userspace", "routes": [{"sas": [sa]}]}],
    }


@pytest.fixture
def statuses() -> dict[str, Any]:
    hq, branch = "10.1.0.0/24", "10.2.0.0/24"
    return {
        "hq": status(local=hq, remote=branch, spi_in="c0ffee01", spi_out="c0ffee02", installed_at=100.031),
        "branch": status(local=branch, remote=hq, spi_in="c0ffee02", spi_out="c0ffee01", installed_at=100.028),
    }


def result(statuses: dict[str, Any]) -> dict[str, Any]:
    return {
        "tunnels": tunnels(statuses),
        "ping": {"sent": 20, "received": 20},
        "clear_packets": 0,
        "second_run": {"changed": 0},
    }


def test_a_tunnel_that_both_ends_hold_is_proved(statuses: dict[str, Any]) -> None:
    assert findings(result(statuses)) == []
    assert result(statuses)["tunnels"] == [
        {
            "name": "lan",
            "ends": {
                host: {
                    "dataplane": "userspace",
                    "ike": "AES-256/SHA2-256/group 14",
                    "esp": "ESP AES-256/SHA2-256",
                    "spi_in": spi_in,
                    "spi_out": spi_out,
                    "local": local,
                    "remote": remote,
                    "packets_in": 20,
                    "packets_out": 20,
                }
                for host, spi_in, spi_out, local, remote in (
                    ("hq", "c0ffee01", "c0ffee02", "10.1.0.0/24", "10.2.0.0/24"),
                    ("branch", "c0ffee02", "c0ffee01", "10.2.0.0/24", "10.1.0.0/24"),
                )
            },
        }
    ]
    assert seconds_to_up(statuses) == pytest.approx(0.031)
    assert "c0ffee01, c0ffee02" in table(result(statuses))


def sa(statuses: dict[str, Any], host: str) -> dict[str, Any]:
    found: dict[str, Any] = statuses[host]["tunnels"][0]["routes"][0]["sas"][0]
    return found


def test_spis_that_are_not_each_others_are_found(statuses: dict[str, Any]) -> None:
    sa(statuses, "branch")["spi_in"] = "deadbeef"
    assert findings(result(statuses)) == ["tunnel lan: the SPIs of hq and branch are not each other's"]


def test_selectors_that_were_narrowed_at_one_end_are_found(statuses: dict[str, Any]) -> None:
    sa(statuses, "branch")["remote"] = "10.1.0.0/25"
    assert findings(result(statuses))[:2] == [
        "tunnel lan: only hq has an SA with these selectors",
        "tunnel lan: only branch has an SA with these selectors",
    ]


def test_an_end_that_counted_no_packets_is_found(statuses: dict[str, Any]) -> None:
    sa(statuses, "hq")["packets_in"] = 3
    assert findings(result(statuses)) == ["hq counted 3 packets in after 20 pings"]


def test_the_newest_sa_of_a_route_is_the_one_that_counts(statuses: dict[str, Any]) -> None:
    old = copy.deepcopy(sa(statuses, "hq")) | {"spi_in": "00000bad", "installed_at": 1.0}
    statuses["hq"]["tunnels"][0]["routes"][0]["sas"].append(old)
    assert findings(result(statuses)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ping": {"sent": 20, "received": 19}}, "1 of 20 pings were lost"),
        ({"ping": {"sent": 0, "received": 0}}, "no ping was sent"),
        ({"clear_packets": 2}, "2 packets were readable at the router"),
        ({"second_run": {"changed": 1}}, "the second run changed 1 things"),
        ({"tunnels": []}, "neither end has a tunnel"),
    ],
)
def test_each_thing_that_does_not_hold_is_said(statuses: dict[str, Any], change: Any, sentence: str) -> None:
    assert findings(result(statuses) | change) == [sentence]


def test_hosts_without_any_sa_are_no_tunnel(statuses: dict[str, Any]) -> None:
    for status in statuses.values():
        status["gateways"][0]["ike"] = []
        status["tunnels"][0]["routes"][0]["sas"] = []
    assert findings(result(statuses)) == ["neither end has a tunnel"]
    assert seconds_to_up(statuses) is None
