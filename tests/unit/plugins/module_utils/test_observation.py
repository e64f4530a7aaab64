# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says that somebody changed by hand, whatever release its daemon is of."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils import control, observation
from ansible_collections.tandem.vpn.plugins.module_utils.configure import converge, override
from ansible_collections.tandem.vpn.plugins.module_utils.store import Store

GONE = {"what": "rule from 10.1.0.0/24 to table 118272", "expected": "there", "found": "not there"}


@pytest.fixture
def look(declared, daemon, tmp_path, monkeypatch):
    """What ipsec_info returns on a host that declares something."""
    store = Store(tmp_path / "ikeengine")
    converge(override(declared), check_mode=False, store=store, socket=daemon.path)
    plain = control.request
    monkeypatch.setattr(observation, "Store", lambda: store)
    monkeypatch.setattr(observation.control, "request",
                        lambda command, **options: plain(command, **{**options, "path": daemon.path}))
    daemon.answers["abilities"] = lambda request: {"version": 1, "ok": True, "result": {}}

    def look() -> list[dict[str, Any]]:
        status = daemon.answers["status"]
        daemon.answers["status"] = lambda request: status({"challenge": "00", **request}) | {}
        return observation._departures(*observation._live())

    return look


def test_where_nothing_was_changed_nothing_is_said(look):
    assert look() == []


def test_what_the_daemon_finds_is_said_with_what_mends_it(look, daemon):
    daemon.by_hand = [GONE]
    assert look() == [GONE | {"message": f"{GONE['what']} is not there",
                              "fix": "Run the playbook again, or ikectl mend"}]


UNABLE = "ikeengine cannot say what somebody may have changed by hand: no netlink"


@pytest.mark.parametrize(("code", "said"), [
    ("unknown_command", []), ("data_plane_failed", [("what the daemon installed", "not looked at", UNABLE)])])
def test_a_daemon_of_an_older_release_finds_nothing_and_one_that_cannot_look_says_so(look, daemon, code, said):
    daemon.answers["audit"] = lambda request: {"version": 1, "ok": False,
                                               "error": {"code": code, "message": "no netlink"}}
    assert [(row["what"], row["found"], row["message"]) for row in look()] == said


def test_a_daemon_that_does_not_run_is_said_once(look, daemon):
    daemon.path += ".gone"
    (row,) = look()
    assert (row["what"], row["expected"], row["found"]) == ("daemon", "running", "not running")


def test_files_that_cannot_be_read_are_said_to_be_that(look):
    observation.Store().secrets.write_text("no JSON")
    (row,) = look()
    assert (row["what"], row["found"]) == ("declaration", "not readable")


def test_what_the_host_can_do_is_seen_without_loading_anything_into_the_kernel(monkeypatch):
    monkeypatch.setattr("socket.socket", lambda *arguments: pytest.fail("a socket of a family loads its module"))
    assert observation._abilities({})["source"] == "files"


@pytest.mark.parametrize(("start", "ike", "said"), [
    ("boot", [True], ""), ("boot", [True, False], "is up by the old credential still: refused"),
    ("boot", [], "is down, so that nothing is shown: refused"), ("traffic", [], ""), ("answer", [], ""),
    ("answer", [False], "is up by the old credential still: refused")])
def test_the_credential_of_what_is_kept_up_is_proved_when_it_is_up(start, ike, said):
    live = {"gateways": [{"name": "branch", "ike": [{"credential_in_force": row} for row in ike],
                          "last_error": "refused"}]}
    declared = {"gateways": [{"name": "branch", "start": start}], "tunnels": [{"name": "lan", "gateway": "branch"}]}
    assert observation.unproved(live, declared, "branch") == said
    assert observation._ready("credentials", live, declared, ["branch"]) is not bool(said)
    assert observation._ready("credentials", live, declared, []) is True
    assert observation.unproved(live, declared | {"tunnels": []}, "branch") == ""
