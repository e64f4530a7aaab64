# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of ipsec_config on a real host, what it refuses, and what ipsec_info says of changes by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.topology import Bed

from .conftest import MARKER, Site
from .test_life import changed, on, received

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

VOICE = {"name": "voice", "gateway": "branch", "routes": [{"local": "10.1.8.0/24", "remote": "10.2.8.0/24"}]}


def result(done: Any) -> dict[str, Any]:
    """What a task returned, as -v prints it."""
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(re.search(r"=> (\{.*\})$", done.stdout, re.M | re.S)[1].partition("\n\n")[0])
    return found


def test_the_states_of_a_network_engineer(converged: Site, bed: Bed):
    held = result(converged.task("ipsec_config", {"state": "gathered"}, "-v"))["gathered"]
    assert [tunnel["name"] for tunnel in held["tunnels"]] == ["lan"]
    assert MARKER not in json.dumps(held)
    assert changed(converged.task("ipsec_config", {**held, "state": "overridden"})) == {"hq": 0}

    added = result(converged.task("ipsec_config", {"tunnels": [VOICE], "state": "merged"}, "-v"))
    assert [tunnel["name"] for tunnel in added["after"]["tunnels"]] == ["lan", "voice"]
    assert changed(converged.task("ipsec_config", {"tunnels": [VOICE], "state": "merged"})) == {"hq": 0}
    without = {**VOICE, "pfs": {"enabled": False}}
    assert changed(converged.task("ipsec_config", {"tunnels": [without], "state": "merged"})) == {"hq": 1}
    assert changed(converged.task("ipsec_config", {"tunnels": [VOICE], "state": "merged"})) == {"hq": 0}
    assert changed(converged.task("ipsec_config", {"tunnels": [VOICE], "state": "replaced"})) == {"hq": 1}
    assert changed(converged.task("ipsec_config", {"tunnels": [{"name": "voice"}], "state": "deleted"})) == {"hq": 1}
    assert result(converged.task("ipsec_config", {"state": "gathered"}, "-v"))["gathered"] == held
    assert MARKER in on(bed, "hq", "cat /etc/ikeengine/secrets.json")


def test_rendered_needs_no_host(tmp_path: Path, collections: Path):
    site = Site(tmp_path / "site", collections, None)
    gateway = {"name": "branch", "credential": {"method": "psk", "psk": MARKER},
               "endpoints": [{"local": {"address": "192.0.2.2"}, "remote": {"address": "198.51.100.2"}}]}
    done = site.task("ipsec_config", {"gateways": [gateway], "state": "rendered"}, "-v")
    made = result(done)["rendered"]
    apart = {"gateways": [{**gateway, "credential": {"method": "psk"}}], "secrets": {"branch": MARKER}}
    assert result(site.task("ipsec_config", {**apart, "state": "rendered"}, "-v"))["rendered"] == made
    assert made["gateways"][0]["dead_peer_detection"] == {"enabled": True, "idle": "20s", "retries": 5}
    assert made["site"]["name"] == "hq"
    assert MARKER not in done.stdout


@pytest.mark.parametrize("state", ["merged", "rendered"])
def test_an_option_that_is_none_is_refused_and_not_shown(tmp_path: Path, collections: Path, state: str):
    site = Site(tmp_path / "site", collections, None)
    done = site.task("ipsec_config", {"gateway": [{"name": "branch", "credential": {"psk": MARKER}}], "state": state},
                     "-vvv")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "ipsec_config has no option gateway. Remove it" in " ".join(said.split())
    assert MARKER not in said


@pytest.mark.parametrize("option", [{"psk": MARKER}, {f"psk:{MARKER}": None}])
def test_a_key_beside_a_gateways_options_is_not_shown(tmp_path: Path, collections: Path, option):
    done = Site(tmp_path / "site", collections, None).task("ipsec_gateway", {"name": "branch", **option}, "-vvv")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "ipsec_gateway has no option" in " ".join(said.split())
    assert MARKER not in said


@pytest.mark.parametrize(("module", "options", "refusal"), [
    ("ipsec_gateway", {"name": "branch", "nat_traversal": {"enabled": False}},
     "NAT traversal: it is off: IKEv2 always has it"),
    ("ipsec_gateway", {"name": "branch", "mode": "main"}, "IKEv2 has no modes"),
    ("ipsec_gateway", {"name": "branch", "ike_keep_alive": {"enabled": True}}, "IKEv2 has no IKE keep-alive"),
    ("ipsec_tunnel", {"name": "lan", "interface": {"name": "ike0"}}, "Linux takes names of 1 to 15 characters"),
])
def test_what_cannot_be_negotiated_is_refused_and_changes_nothing(converged: Site, bed: Bed, module, options, refusal):
    before = on(bed, "hq", "cat /etc/ikeengine/declaration.json")
    done = converged.task(module, options)
    assert done.returncode != 0
    assert refusal in " ".join((done.stdout + done.stderr).split())
    assert on(bed, "hq", "cat /etc/ikeengine/declaration.json") == before


def test_a_refused_apply_leaves_the_old_declaration_in_force_and_says_so(converged: Site, bed: Bed):
    before = on(bed, "hq", "cat /etc/ikeengine/declaration.json /etc/ikeengine/secrets.json")
    done = converged.task("ipsec_tunnel", {"name": "lan", "dataplane": "kernel"})
    assert done.returncode != 0
    assert "the old one stays in force" in " ".join((done.stdout + done.stderr).split())
    assert on(bed, "hq", "cat /etc/ikeengine/declaration.json /etc/ikeengine/secrets.json") == before
    assert result(converged.task("ipsec_info", {}, "-v"))["live"]["tunnels"][0]["state"] == "up"


def departures(site: Site) -> dict[str, tuple[str, str]]:
    """What ipsec_info says that somebody changed by hand on hq: expected and found, by what it is."""
    rows = result(site.task("ipsec_info", {}, "-v"))["departures"]
    assert all(row["fix"] and row["message"] for row in rows)
    return {row["what"]: (row["expected"], row["found"]) for row in rows}


def diff_of(done: Any) -> set[str]:
    """Every changed line of the diffs of a play."""
    return {line.strip().rstrip(",") for line in re.findall(r"^[-+] (.*)$", done.stdout, re.M)}


def test_info_tells_of_changes_by_hand(converged: Site, bed: Bed):
    assert result(converged.task("ipsec_info", {}, "-v"))["drift"] == []
    on(bed, "hq", f"sed -i s/{MARKER}/by-hand/ /etc/ikeengine/secrets.json; chmod 644 /etc/ikeengine/declaration.json")
    assert result(converged.task("ipsec_info", {}, "-v"))["drift"] == [
        "the files on the host can be read by others than root", "the daemon has other keys than the file on the host"]
    shown = converged.play("--diff")
    assert len(set(re.findall(r"keyed digest [0-9a-f]{16}", shown.stdout))) == 2
    assert result(converged.task("ipsec_info", {}, "-v"))["drift"] == []


def test_what_is_changed_by_hand_in_the_kernel_and_with_ikectl_is_mended_and_just_that_is_reported(
        converged: Site, bed: Bed):
    on(bed, "hq", "ip rule del priority 210; ikectl down branch")
    told = departures(converged)
    assert told == {"rule from 10.1.0.0/24 to table 118272": ("there", "not there"),
                    "gateway branch": ("as it is declared", "taken down by hand")}
    expected = {f'"{what}": "{found}"' for what, found in
                [(what, how) for what, pair in told.items() for how in pair]}
    shown = converged.play("--check", "--diff", "--limit", "hq")
    assert diff_of(shown) == expected and departures(converged) == told
    done = converged.play("--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (changed(done), diff_of(done)) == ({"hq": 1, "branch": 0}, expected)
    assert departures(converged) == {} and received(bed) == "5 received"
    assert changed(converged.play()) == {"hq": 0, "branch": 0}


def test_a_file_that_was_edited_and_a_service_that_was_stopped_are_mended(converged: Site, bed: Bed):
    on(bed, "hq", "sed -i 's/\"idle\": \"20s\"/\"idle\": \"7s\"/' /etc/ikeengine/declaration.json; "
                  "systemctl stop ikeengine")
    assert departures(converged) == {"daemon": ("running", "not running")}
    on(bed, "hq", "systemctl start ikeengine; sed -i 's/\"idle\": \"7s\"/\"idle\": \"8s\"/' "
                  "/etc/ikeengine/declaration.json")
    assert departures(converged) == {"daemon": ("as the files on the host say", "otherwise")}
    on(bed, "hq", "systemctl stop ikeengine")
    done = converged.play("--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(done) == {"hq": 2, "branch": 0}  # the file, and the service
    assert diff_of(done) == {'"gateways[branch].dead_peer_detection.idle": "8s"',
                             '"gateways[branch].dead_peer_detection.idle": "20s"'}
    assert departures(converged) == {} and changed(converged.play()) == {"hq": 0, "branch": 0}


def test_a_new_phase_1_meets_no_old_phase_2(converged: Site, bed: Bed):
    """Of a policy that becomes strict with the proposal that it asks for, and of a tunnel that somebody spoilt."""
    def weak(*sides: dict[str, Any]) -> None:
        for side in sides:
            side["ipsec_proposals"] = [{"name": "p2", "authentication": "SHA1"}]
            side["ipsec_tunnels"][0]["proposals"] = ["p2"]

    def strict(*sides: dict[str, Any]) -> None:
        for side in sides:
            side["ipsec_policy"] = "strict"
            side["ipsec_proposals"] = [{"name": "p2", "authentication": "SHA2-256"}]

    converged.edit(weak)
    assert converged.play().returncode == 0
    converged.edit(strict)
    done = converged.play()
    assert done.returncode == 0, done.stdout
    on(bed, "hq", "sed -i 's/\"key_group\": 14/\"key_group\": 5/' /etc/ikeengine/declaration.json")
    done = converged.play()
    assert (done.returncode, changed(done)["hq"] > 0) == (0, True), done.stdout
    assert changed(converged.play()) == {"hq": 0, "branch": 0}


def test_check_mode_shows_both_phases_of_one_edit(converged: Site):
    def edit(hq: dict[str, Any], branch: dict[str, Any]) -> None:
        for side, local, remote in ((hq, "10.1.7.0/24", "10.2.7.0/24"), (branch, "10.2.7.0/24", "10.1.7.0/24")):
            side["ipsec_gateways"][0]["dead_peer_detection"] = {"idle": "25s"}
            side["ipsec_tunnels"][0]["routes"].append({"local": local, "remote": remote})

    converged.edit(edit)
    shown = converged.play("--check", "--diff").stdout
    assert '"gateways[branch].dead_peer_detection.idle": "25s"' in shown
    assert '"tunnels[lan].routes[1].local": "10.1.7.0/24"' in shown


def test_what_is_deleted_whole_is_down_at_once(converged: Site, bed: Bed):
    assert changed(converged.task("ipsec_config", {"state": "deleted"})) == {"hq": 1}
    assert json.loads(on(bed, "hq", "ikectl status --json"))["tunnels"] == []
    assert changed(converged.task("ipsec_config", {"state": "deleted"})) == {"hq": 0}
    assert result(converged.task("ipsec_info", {}, "-v"))["drift"] == []


def test_a_key_alone_is_taken_and_an_edit_names_no_site(converged: Site, bed: Bed):
    assert changed(converged.task("ipsec_config", {"site": {"name": "headquarters"}})) == {"hq": 1}
    assert changed(converged.task("ipsec_config", {"secrets": {"branch": MARKER + "-new"}})) == {"hq": 1}
    assert MARKER + "-new" in on(bed, "hq", "cat /etc/ikeengine/secrets.json")
    assert result(converged.task("ipsec_config", {"state": "gathered"}, "-v"))["gathered"]["site"]["name"] == (
        "headquarters")


@pytest.mark.parametrize(("options", "words"), [
    ({"state": "deleted", "policy": "strict"}, "state deleted takes lists, and policy is none: nothing was deleted"),
    ({"state": "deleted", "gateways": None}, "gateways is no list: nothing was deleted"),
    ({"gateways": [{"name": "branch"}], "secrets": [MARKER]}, "secrets is no mapping"),
    ({"gateways": [{"name": "branch", "credentials": {"psk": MARKER}}]}, "gateways[branch].credentials is unknown"),
    ({"gateways": [{"name": "branch", "credential": {"method": "hex-psk", "psk": 1234}}]}, "psk is no text"),
    ({"secrets": {"brunch": MARKER}, "gateways": [], "state": "rendered"}, "a gateway that is not declared"),
    ({"rotation": {"branch": "swich"}}, "rotation.branch is 'swich': it is none of accept, switch, finish. Write "
                                        "switch."),
    ({"rotation": {"branch": [MARKER]}}, "rotation.branch is a list: it is none of accept, switch, finish."),
    ({"rotation": {}, "state": "gathered"}, "rotation is set with state gathered, in which no credential changes. Leave"
                                            " rotation out, or set state to merged, replaced or overridden"),
    ({"rotation": {"branch": "accept"}, "state": "rendered"}, "rotation is set with state rendered"),
    ({"rotation": {}, "state": "deleted"}, "rotation is none: nothing was deleted"),
])
def test_options_that_say_too_little_or_too_much_are_refused_on_the_controller(
        tmp_path: Path, collections: Path, options: dict[str, Any], words: str):
    done = Site(tmp_path / "site", collections, None).task("ipsec_config", options, "-vvv")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert words in said
    assert MARKER not in said


@pytest.mark.parametrize("misplaced", [{"psk": MARKER}, {"credentials": {"psk": MARKER}}])
def test_a_key_in_the_wrong_place_reaches_no_host(converged: Site, bed: Bed, misplaced: dict[str, Any]):
    for module, options in (("ipsec_gateway", {"name": "branch", **misplaced}),
                            ("ipsec_config", {"gateways": [{"name": "branch", **misplaced}]})):
        done = converged.task(module, options, "-vvv")
        assert done.returncode != 0
        assert any(words in done.stdout + done.stderr for words in ("is unknown", "has no option"))
        assert MARKER not in done.stdout + done.stderr
    assert MARKER not in on(bed, "hq", "journalctl --no-pager -o verbose")


def test_rendered_takes_what_gathered_gave(converged: Site):
    held = result(converged.task("ipsec_config", {"state": "gathered"}, "-v"))["gathered"]
    assert result(converged.task("ipsec_config", {**held, "state": "rendered"}, "-v"))["rendered"] == held


def test_the_role_of_tunnels_leaves_a_phase_1_that_no_variable_declares(converged: Site, bed: Bed):
    assert changed(converged.task("ipsec_config", {"site": {"name": "headquarters"}, "policy": "strict"})) == {"hq": 1}

    def tunnels_only(hq: dict[str, Any], branch: dict[str, Any]) -> None:
        for name in ("ipsec_gateways", "ipsec_transforms"):
            hq.pop(name, None)

    converged.edit(tunnels_only)
    play = {"hosts": "hq", "gather_facts": False, "roles": ["tandem.vpn.ipsec_tunnel"],
            "vars": {"ipsec_tunnel_proof": False}}
    converged._write("tunnels.yml", [play])
    assert changed(converged.play(playbook="tunnels.yml")) == {"hq": 0}
    proved = converged.play("-e", "ipsec_tunnel_proof=true", playbook="tunnels.yml")
    assert proved.returncode != 0
    assert "cannot be read, so nothing is proved" in proved.stdout + proved.stderr
    assert json.loads(on(bed, "hq", "cat /etc/ikeengine/declaration.json"))["policy"] == "strict"


def test_a_hybrid_suite_and_a_post_quantum_key_come_up_and_the_key_is_shown_nowhere(converged: Site, bed: Bed):
    key = MARKER[::-1] * 2

    def edit(*sides: dict[str, Any]) -> None:
        for side in sides:
            side["ipsec_transforms"] = [{"name": "hybrid", "key_group": 31, "additional_key_exchange": "ML-KEM-768"}]
            (gateway,) = side["ipsec_gateways"]
            gateway["transforms"] = ["hybrid"]
            gateway["credential"] |= {"ppk": {"id": "qkd-1"}, "ppk_key": key}
            side["ipsec_tunnels"][0]["pfs"] = {"key_group": 31, "additional_key_exchange": "ML-KEM-1024"}

    converged.edit(edit)
    said = [converged.play("--check", "--diff", "-v"), converged.play("--diff", "-v")]
    assert [done.returncode for done in said] == [0, 0], said[-1].stdout
    assert re.search(r"credential\.ppk_key.*keyed digest [0-9a-f]{16}", said[-1].stdout)
    assert key not in "".join(done.stdout + done.stderr for done in said)
    assert f"0x{key.encode().hex()}" in on(bed, "hq", "cat /etc/ikeengine/secrets.json")
    (gateway,) = result(converged.task("ipsec_info", {}, "-v"))["live"]["gateways"]
    assert [ike["suite"] for ike in gateway["ike"]] == ["AES-256/SHA2-256/group 31/ML-KEM-768/PPK"]
    assert changed(converged.play()) == {"hq": 0, "branch": 0}
