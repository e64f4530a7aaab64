# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who begins: what waits for traffic and is not up, or what is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.configure import converge, override
from ansible_collections.tandem.vpn.plugins.module_utils.initiation import Refused, initiate
from ansible_collections.tandem.vpn.plugins.module_utils.store import Store

TUNNELS = {"boot": "down", "traffic": "down", "busy": "up"}
STARTS = {"boot": "boot", "traffic": "traffic", "busy": "traffic"}


@pytest.fixture
def begin(declared, daemon, tmp_path):
    """`initiate` on a host whose gateways are called as they start, but for one whose tunnel is up."""
    (gateway,), (tunnel,) = declared["gateways"], declared["tunnels"]
    declared["gateways"], declared["tunnels"] = [], []
    for number, (name, start) in enumerate(STARTS.items(), 2):
        row = copy.deepcopy(gateway) | {"name": name, "start": start}
        row["endpoints"][0]["remote"]["address"] = f"198.51.100.{number}"
        declared["gateways"].append(row)
        declared["tunnels"].append(tunnel | {"name": name, "gateway": name, "routes": [
            {"local": "10.1.0.0/24", "remote": f"10.2.{number}.0/24"}]})
    store = Store(tmp_path / "ikeengine")
    converge(override(declared), check_mode=False, store=store, socket=daemon.path)
    daemon.answers["status"] = lambda request: {"version": 1, "ok": True, "result": {
        "tunnels": [{"gateway": name, "state": state} for name, state in TUNNELS.items()]}}
    daemon.asked.clear()

    def begin(*gateways: str, code: str = "timeout", check_mode: bool = False) -> tuple[list[str], list[str]]:
        refusal = {"code": code, "message": "so it is"}
        daemon.answers["up"] = lambda request: {"version": 1, "ok": False, "error": refusal}
        begun = initiate(gateways or None, check_mode=check_mode, store=store, socket=daemon.path)
        return begun, [row["gateway"] for row in daemon.asked if row["command"] == "up"]

    return begin


def test_what_waits_for_traffic_and_is_not_up_begins(begin):
    assert begin() == (["traffic"], ["traffic"])


def test_what_is_named_begins_unless_it_is_up(begin):
    assert begin("boot", "busy", "boot") == (["boot"], ["boot"])


def test_in_check_mode_nothing_begins(begin):
    assert begin(check_mode=True) == (["traffic"], [])


def test_what_fails_at_once_has_begun(begin):
    assert begin(code="negotiation_failed")[0] == ["traffic"]


@pytest.mark.parametrize(("gateways", "code", "said"), [
    (("trafic",), "timeout", "gateways[0] is 'trafic': the host declares no gateway of that name. Did you mean "
                             "traffic? Write traffic"),
    ((), "not_found", "so it is")])
def test_what_cannot_begin_is_said(begin, gateways: tuple[str, ...], code: str, said: Any):
    with pytest.raises(Refused) as refused:
        begin(*gateways, code=code)
    assert str(refused.value) == said


def test_a_daemon_that_does_not_run_begins_nothing_and_is_asked_only_where_something_is_to_begin(begin, tmp_path):
    nobody = {"check_mode": False, "socket": str(tmp_path / "none")}
    with pytest.raises(Refused, match="ikeengine is not running"):
        initiate(None, store=Store(tmp_path / "ikeengine"), **nobody)
    assert initiate(None, store=Store(tmp_path / "empty"), **nobody) == []
