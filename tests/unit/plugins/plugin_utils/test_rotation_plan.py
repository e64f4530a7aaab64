# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end takes a step of a change only when its far end has taken the one before, and this run has seen it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import declaration
from ansible_collections.tandem.vpn.plugins.plugin_utils.rotation import plan


def side(name: str, peer: str, local: str, remote: str, **site: Any):
    return declaration.read({
        "site": {"name": name, **site},
        "gateways": [{"name": f"to-{peer}", "credential": {"method": "psk", "psk": "k"},
                      "endpoints": [{"local": {"address": local}, "remote": {"address": remote}}]}],
        "tunnels": [{"name": "lan", "gateway": f"to-{peer}",
                     "routes": [{"local": f"{local}/32", "remote": f"{remote}/32"}]}]})


SIDES = {"hq": side("hq", "branch", "192.0.2.1", "198.51.100.1"),
         "branch": side("branch", "hq", "198.51.100.1", "192.0.2.1")}
AT = {"hq": "to-branch", "branch": "to-hq"}
CHANGING = ("accepts", "switched")


def declared(at_once: bool = False, /, **stages: str | None) -> dict[str, dict[str, Any]]:
    """What ipsec_config returned; None is a host that failed, ``done`` one that is not changing."""
    return {host: {"failed": True} if stage is None else
            {"rotation": {} if stage == "done" else {AT[host]: stage}, "at_once": [AT[host]] if at_once else []}
            for host, stage in stages.items()}


def observed(in_force: bool | None = True, error: str | None = None, *hosts: str,
             start: str = "boot") -> dict[str, dict[str, Any]]:
    """What ipsec_info returned; with None nothing is up."""
    ike = [] if in_force is None else [{"credential_in_force": in_force}]
    return {host: {"live": {"gateways": [{"name": AT[host], "ike": ike, "last_error": error}]},
                   "declared": {"gateways": [{"name": AT[host], "start": start}],
                                "tunnels": [{"name": "lan", "gateway": AT[host]}]}}
            for host in hosts or ("hq", "branch")}


@pytest.mark.parametrize(("here", "there"), list(product(CHANGING, (*CHANGING, "done"))))
def test_ends_that_both_accept_both_switch_and_go_no_further_unseen(here: str, there: str):
    found = plan(SIDES, declared(hq=here, branch=there))
    assert found.steps["hq"] == {"to-branch": "switch"}
    assert (found.waiting, found.unproved) == ([], [])


@pytest.mark.parametrize(("here", "there", "step"), [
    ("accepts", "accepts", "switch"), ("accepts", "switched", "switch"), ("switched", "accepts", "switch"),
    ("switched", "switched", "finish"), ("switched", "done", "finish")])
@pytest.mark.parametrize(("in_force", "start"), [(True, "boot"), (None, "traffic"), (None, "answer")],
                         ids=["up", "down until traffic", "down until the peer begins"])
def test_ends_that_both_switched_drop_what_is_old_once_it_is_proved(here, there, step, in_force, start):
    found = plan(SIDES, declared(hq=here, branch=there), observed(in_force, start=start))
    assert found.steps["hq"] == {"to-branch": step}
    assert found.unproved == []


def test_an_end_that_does_not_know_where_its_peer_is_has_not_to_prove_anything():
    sides = dict(SIDES)
    sides["hq"] = declaration.read({
        "site": {"name": "hq"},
        "gateways": [{"name": "to-branch", "credential": {"method": "psk", "psk": "k"}, "endpoints": [
            {"local": {"address": "192.0.2.1"}, "remote": {"address": "dynamic", "identifier": {
                "type": "ip-address", "value": "198.51.100.1"}}}]}],
        "tunnels": [{"name": "lan", "gateway": "to-branch",
                     "routes": [{"local": "192.0.2.1/32", "remote": "198.51.100.1/32"}]}]})
    assert plan(sides, declared(hq="accepts", branch="accepts")).proving == {"branch": ["to-hq"]}
    found = plan(sides, declared(hq="switched", branch="switched"), observed(False, None, "hq") | observed(
        True, None, "branch"))
    assert (found.steps["hq"], found.unproved) == ({"to-branch": "finish"}, [])


@pytest.mark.parametrize("there", [None, "old"])
@pytest.mark.parametrize("here", CHANGING)
def test_an_end_whose_far_end_was_not_reached_goes_no_further(here: str, there: str | None):
    found = plan(SIDES, declared(hq=here, branch=there), observed())
    assert found.steps["hq"] == {"to-branch": "accept"}
    assert any("hq: gateway to-branch takes the new credential beside the old one, until branch does, too" in said
               for said in found.waiting)
    assert plan(SIDES, declared(hq=here), observed()).steps == {"hq": {"to-branch": "accept"}}


def test_what_is_not_proved_is_told_with_its_reason_and_nothing_is_dropped():
    found = plan(SIDES, declared(hq="switched", branch="switched"),
                 observed(False, "the peer answered AUTHENTICATION_FAILED", "hq") | observed(True, None, "branch"))
    assert found.steps == {"hq": {"to-branch": "switch"}, "branch": {"to-hq": "switch"}}
    assert found.unproved == ["hq: gateway to-branch is up by the old credential still: the peer answered "
                              "AUTHENTICATION_FAILED"]


def test_what_is_kept_up_and_is_down_has_proved_nothing():
    seen = observed(None, "no answer", "hq") | observed(None, None, "branch", start="answer")
    found = plan(SIDES, declared(hq="switched", branch="switched"), seen)
    assert found.steps == {"hq": {"to-branch": "switch"}, "branch": {"to-hq": "switch"}}
    assert found.unproved == ["hq: gateway to-branch is down, so that nothing is shown: no answer"]
    seen["hq"]["declared"]["tunnels"] = []  # nor has it anything to come up for
    assert plan(SIDES, declared(hq="switched", branch="switched"), seen).steps["hq"] == {"to-branch": "finish"}


def test_one_gateway_that_is_not_proved_holds_up_no_other():
    sides = SIDES | {"far": side("far", "near", "192.0.2.7", "198.51.100.7"),
                     "near": side("near", "far", "198.51.100.7", "192.0.2.7")}
    said = declared(hq="switched", branch="switched") | {"far": {"rotation": {"to-near": "switched"}},
                                                         "near": {"rotation": {"to-far": "switched"}}}
    up = {"gateways": [{"name": name, "ike": [{"credential_in_force": True}], "last_error": None}
                       for name in ("to-near", "to-far")]}
    found = plan(sides, said, observed(False) | {"far": {"live": up}, "near": {"live": up}})
    assert (found.steps["hq"], found.steps["branch"]) == ({"to-branch": "switch"}, {"to-hq": "switch"})
    assert (found.steps["far"], found.steps["near"]) == ({"to-near": "finish"}, {"to-far": "finish"})
    assert [row.partition(" is ")[0] for row in found.unproved] == ["hq: gateway to-branch", "branch: gateway to-hq"]


def test_a_host_that_was_not_seen_proves_nothing():
    found = plan(SIDES, declared(hq="switched", branch="switched"),
                 observed(True, None, "hq") | {"branch": {"reason": "ikeengine is not running"}})
    assert found.unproved == ["branch: gateway to-hq: ikeengine is not running"]


@pytest.fixture(params=["configured by others", "not declared"])
def beside_others(request):
    """hq, whose peer is none of ours."""
    sides = {"hq": SIDES["hq"]}
    if request.param == "configured by others":
        sides["branch"] = side("branch", "hq", "198.51.100.1", "192.0.2.1", managed=False)
    return sides


@pytest.mark.parametrize(("in_force", "step"), [(True, "accept"), (False, "finish"), (None, "accept")])
def test_beside_a_peer_of_others_an_end_goes_on_when_that_has_changed(beside_others, in_force: bool | None, step: str):
    assert plan(beside_others, declared(hq="accepts")).steps == {"hq": {"to-branch": "accept"}}
    found = plan(beside_others, declared(hq="accepts"), observed(in_force, None, "hq"))
    assert found.steps == {"hq": {"to-branch": step}}
    assert [("run this again then" in said) for said in found.waiting] == ([True] if step == "accept" else [])


@pytest.mark.parametrize("stage", CHANGING)
def test_beside_a_peer_of_others_nothing_is_waited_for_that_it_does_not_take_part_in(beside_others, stage: str):
    found = plan(beside_others, declared(True, hq=stage))
    assert (found.steps, found.waiting, found.proving) == ({"hq": {"to-branch": "finish"}}, [], {})


def test_authorities_that_were_added_in_this_run_are_not_dropped_in_it(beside_others):
    """What ipsec_config says when it is asked a second time is of what the first time has left."""
    found = plan(beside_others, declared(True, hq="switched"), observed(True, None, "hq"))
    assert found.steps == {"hq": {"to-branch": "accept"}}
