# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task changes on a host, what it leaves alone, and what it says."""

import copy
import errno
import hashlib
import hmac
import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils import control
from ansible_collections.tandem.vpn.plugins.module_utils.configure import (
    ConfigureError,
    converge,
    departures,
    in_turn,
    merge,
    override,
    rekey,
    replace,
    take_out,
)
from ansible_collections.tandem.vpn.plugins.module_utils.credentials import apart
from ansible_collections.tandem.vpn.plugins.module_utils.store import Store
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rotation import Step

MARKER = "marker-that-must-appear-nowhere"
REFUSAL = {"version": 1, "ok": False, "error": {"code": "invalid_declaration", "message": "this kernel has no ESP",
                                                "findings": []}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ikeengine")


@pytest.fixture
def run(store, tmp_path):
    """Converge against this test's folder and control socket, as a task of its own."""

    def run(edit, *, check_mode=False, **options):
        return converge(edit, check_mode=check_mode, store=Store(store.directory),
                        socket=str(tmp_path / "control.sock"), **options)

    return run


def contents(store):
    return {path.name: path.read_bytes() for path in store.directory.iterdir()} if store.directory.exists() else {}


def test_a_declaration_is_written_once_for_root_alone_and_then_left_alone(run, store, declared):
    assert run(override(declared))["changed"]
    assert {path.name: stat.filemode(path.stat().st_mode) for path in store.directory.iterdir()} == {
        "declaration.json": "-rw-------", "digest.key": "-rw-------", "secrets.json": "-rw-------"}
    written = contents(store)
    again = run(override(declared))
    assert (again["changed"], again["diff"]["before"], again["diff"]["after"]) == (False, {}, {})
    assert contents(store) == written


def test_the_key_is_in_its_own_file_and_in_no_result(run, store, declared):
    result = run(override(declared))
    assert MARKER in store.secrets.read_text()
    assert MARKER not in store.declaration.read_text()
    assert MARKER not in repr(result) + repr(store.load())


def test_the_same_in_other_words_is_no_change(run, declared):
    run(override(declared))
    declared["transforms"][0] = {"name": "p1", "encryption": "aes256", "key_group": "modp2048", "sa_life": 86400}
    assert not run(override(declared))["changed"]


def test_check_mode_says_what_would_change_and_writes_nothing(run, store, declared, daemon):
    result = run(override(declared), check_mode=True)
    assert result["changed"]
    assert result["diff"]["after"]["gateways[branch].endpoints[0].remote.address"] == "198.51.100.1"
    assert not store.directory.exists()
    assert [request["command"] for request in daemon.asked] == ["status", "audit"]


def test_lists_that_are_not_given_stay(run, store, declared):
    run(override(declared))
    gateways_only = {key: declared[key] for key in ("site", "transforms", "gateways")}
    assert not run(override(gateways_only))["changed"]
    assert not run(override({"tunnels": declared["tunnels"]}))["changed"]


def test_a_gateway_that_goes_takes_its_tunnels_with_it(run, store, declared):
    run(override(declared))
    assert run(override({"gateways": []}))["changed"]
    assert store.load().declaration["tunnels"] == []
    assert store.load().secrets["gateways"] == {}


def test_an_edit_touches_only_what_it_names_and_never_the_key(run, store, declared):
    run(override(declared))
    before = store.load()
    result = run(merge({"gateways": [{"name": "branch", "start": "answer", "credential": None, "endpoints": None}]}))
    assert result["diff"]["before"] == {"gateways[branch].start": "boot"}
    assert result["diff"]["after"] == {"gateways[branch].start": "answer"}
    assert store.load().secrets == before.secrets


def test_a_key_changed_by_hand_is_drift_and_is_put_back(run, store, declared):
    run(override(declared))
    store.secrets.write_text(store.secrets.read_text().replace(MARKER, "by-hand"))
    result = run(merge({"gateways": [{"name": "branch", "credential": {"psk": MARKER}}]}))
    assert result["changed"]
    shown = [result["diff"][when]["gateways[branch].credential.psk"] for when in ("before", "after")]
    assert all(re.fullmatch("keyed digest [0-9a-f]{16}", text) for text in shown) and shown[0] != shown[1]
    assert "by-hand" not in repr(result)
    assert MARKER in store.secrets.read_text()


def test_a_post_quantum_key_is_put_in_and_changed_without_being_shown(run, store, declared):
    run(override(declared))
    added = run(merge({"gateways": [{"name": "branch", "credential": {"ppk": {"id": "qkd-1"}, "ppk_key": MARKER}}]}))
    assert added["diff"]["after"].keys() == {
        "gateways[branch].credential.ppk.id", "gateways[branch].credential.ppk.required",
        "gateways[branch].credential.ppk_key"}
    kept = store.load().secrets["gateways"]["branch"]
    assert kept == {"method": "psk", "psk": MARKER, "ppk_key": f"0x{MARKER.encode().hex()}"}
    changed = run(merge({"gateways": [{"name": "branch", "credential": {"ppk_key": "0x" + "ab" * 32}}]}))
    shown = [changed["diff"][when] for when in ("before", "after")]
    assert [list(side) for side in shown] == [["gateways[branch].credential.ppk_key"]] * 2 and shown[0] != shown[1]
    assert MARKER not in repr(added) + repr(changed)
    assert not run(merge({"gateways": [{"name": "branch", "start": None}]}))["changed"]


def test_a_mode_changed_by_hand_is_drift(run, store, declared):
    run(override(declared))
    store.secrets.chmod(0o644)
    assert run(override(declared))["changed"]
    assert stat.S_IMODE(store.secrets.stat().st_mode) == 0o600


def test_a_declaration_that_is_no_json_is_rebuilt_by_the_whole_and_refused_by_a_part(run, store, declared):
    run(override(declared))
    store.declaration.write_text("{broken")
    with pytest.raises(ConfigureError, match="is not JSON"):
        run(merge({"transforms": [{"name": "p2"}]}))
    result = run(override(declared), rebuild=True)
    assert result["changed"]
    assert "written anew" in result["warnings"][0]
    assert not run(override(declared))["changed"]


def test_an_error_names_the_field_and_leaves_the_host_alone(run, store, declared):
    run(override(declared))
    before = contents(store)
    with pytest.raises(ConfigureError, match=r"transforms\[p1\]\.encryption") as caught:
        run(merge({"transforms": [{"name": "p1", "encryption": "AES-257"}]}))
    assert caught.value.findings[0]["code"] == "declaration-invalid-value"
    assert contents(store) == before


def test_a_transform_in_use_cannot_be_taken_out(run, store, declared):
    run(override(declared))
    with pytest.raises(ConfigureError, match="p1"):
        run(take_out({"transforms": [{"name": "p1"}]}))
    assert not run(take_out({"tunnels": [{"name": "no-such"}]}))["changed"]


def test_taking_out_of_nothing_writes_nothing(run, store):
    assert not run(take_out({"tunnels": [{"name": "lan"}]}))["changed"]
    assert not store.directory.exists()


def test_absent_removes_the_files_and_their_folder(run, store, declared):
    run(override(declared))
    assert run(None)["changed"]
    assert not store.directory.exists()
    assert not run(None)["changed"]


def test_a_running_daemon_gets_both_files_once(run, declared, daemon):
    assert run(override(declared))["daemon"] == "reloaded"
    reload = daemon.asked[-2]
    assert reload["declaration"]["gateways"][0]["name"] == "branch"
    assert reload["secrets"]["gateways"]["branch"] == {"method": "psk", "psk": MARKER}
    assert run(override(declared))["daemon"] == "unchanged"
    assert [request["command"] for request in daemon.asked] == ["status", "reload", "mend", "status", "mend"]


def test_a_daemon_that_runs_something_else_is_reloaded(run, declared, daemon):
    run(override(declared))
    daemon.answers["status"] = lambda _request: {
        "version": 1, "ok": True, "result": {"daemon": {"declaration_digest": "of something older"}}}
    result = run(override(declared))
    assert (result["changed"], result["daemon"]) == (True, "reloaded")


def test_a_refused_reload_puts_the_old_files_back_and_says_so(run, store, declared, daemon):
    run(override(declared))
    before = contents(store)
    daemon.answers["reload"] = lambda _request: {"version": 1, "ok": False, "error": {
        "code": "invalid_declaration", "message": "this kernel has no ESP", "findings": [{"message": "no ESP"}]}}
    with pytest.raises(ConfigureError, match="old one stays in force: this kernel has no ESP") as caught:
        run(merge({"tunnels": [{"name": "lan", "dataplane": "kernel"}]}))
    assert caught.value.findings == [{"message": "no ESP"}]
    assert contents(store) == before


def test_an_answer_that_is_no_protocol_is_an_error_and_restores_too(run, store, declared, daemon):
    daemon.answers["reload"] = lambda _request: "nonsense\n"
    with pytest.raises(ConfigureError, match="answer to reload is none of version 1"):
        run(override(declared))
    assert not store.directory.exists()


def test_the_files_are_json_of_version_1(run, store, declared):
    run(override(declared))
    assert json.loads(store.declaration.read_text())["version"] == 1
    assert json.loads(store.secrets.read_text())["version"] == 1


def test_merged_touches_what_is_named_and_replaced_the_whole_object(run, store, declared):
    declared["gateways"][0]["start"] = "answer"
    declared["tunnels"].append({"name": "voice", "gateway": "branch", "pfs": {"enabled": False},
                                "routes": [{"local": "10.1.1.0/24", "remote": "10.2.1.0/24"}]})
    run(override(declared))
    merged = run(merge({"tunnels": [{"name": "voice", "dataplane": "userspace"}]}))
    assert merged["diff"]["after"] == {"tunnels[voice].dataplane": "userspace"}
    assert merged["after"]["tunnels"][1]["pfs"] == {"enabled": False}
    replaced = run(replace({"tunnels": [{**declared["tunnels"][1], "pfs": None}]}))
    assert replaced["diff"]["after"] == {"tunnels[voice].dataplane": "auto", "tunnels[voice].pfs.enabled": True,
                                         "tunnels[voice].pfs.key_group": 14}
    assert [tunnel["name"] for tunnel in replaced["after"]["tunnels"]] == ["lan", "voice"]
    assert replaced["after"]["gateways"][0]["start"] == "answer"
    assert run(replace({"gateways": [{**declared["gateways"][0], "start": None, "credential": {"method": "psk"}}]}))[
        "diff"]["after"] == {"gateways[branch].start": "boot"}
    assert MARKER in store.secrets.read_text()


def test_merged_adds_what_is_new_and_keeps_the_order(run, declared):
    run(override(declared))
    added = run(merge({"policy": "strict", "transforms": [{"name": "p2", "key_group": 19},
                                                          {"name": "p1", "sa_life": "1h"}]}))
    assert [(item["name"], item["sa_life"]) for item in added["after"]["transforms"]] == [("p1", "1h"), ("p2", "24h")]
    assert added["after"]["policy"] == "strict"
    with pytest.raises(ConfigureError, match=r"transforms\[p2\] is declared twice"):
        run(merge({"transforms": [{"name": "p2"}, {"name": "p2"}]}))


@pytest.mark.parametrize(("edit", "authentication"), [
    ({"encryption": "AES-GCM-256"}, None), ({"encryption": "AES-128"}, "SHA2-512"), ({"protocol": "ESP"}, "SHA2-512"),
])
def test_what_cannot_stand_beside_a_new_encryption_goes(run, store, declared, edit, authentication):
    declared["proposals"] = [{"name": "p2", "authentication": "SHA2-512"}]
    declared["tunnels"][0]["proposals"] = ["p2"]
    run(override(declared))
    run(merge({"proposals": [{"name": "p2", **edit}]}))
    (proposal,) = store.load().declaration["proposals"]
    assert proposal.get("authentication") == authentication


def test_before_and_after_hold_no_key(run, declared):
    result = run(override(declared))
    assert (result["before"], result["after"]["gateways"][0]["credential"]) == ({}, {"method": "psk"})


def test_the_digest_of_a_key_is_the_hosts_own(run, store, declared):
    run(override(declared))
    store.secrets.write_text(store.secrets.read_text().replace(MARKER, "by-hand"))
    shown = run(override(declared), check_mode=True)["diff"]["before"]["gateways[branch].credential.psk"]
    assert shown == run(override(declared), check_mode=True)["diff"]["before"]["gateways[branch].credential.psk"]
    secret = json.dumps({"method": "psk", "psk": "by-hand"}, sort_keys=True, separators=(",", ":")).encode()
    assert shown.removeprefix("keyed digest ") not in (
        hashlib.sha256(secret).hexdigest()[:16], hmac.new(b"", secret, "sha256").hexdigest()[:16])
    key = (store.directory / "digest.key").read_bytes()
    assert shown == f"keyed digest {hmac.new(key, secret, 'sha256').hexdigest()[:16]}"


def test_a_disk_that_is_full_leaves_both_files_and_says_so(run, store, declared, monkeypatch):
    run(override(declared))
    before = contents(store)
    syncs = []

    def fsync(_descriptor):
        syncs.append(1)
        if len(syncs) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigureError, match=r"the old declaration stays in force: .*No space left"):
        run(merge({"gateways": [{"name": "branch", "start": "answer", "credential": {"psk": "another-key"}}]}))
    assert contents(store) == before


def test_a_daemon_that_has_other_keys_is_reloaded(run, store, declared, daemon, tmp_path):
    run(override(declared))
    daemon.loaded["secrets"] = {"version": 1, "gateways": {"branch": {"method": "psk", "psk": "of-yesterday"}}}
    assert departures(store.load(), str(tmp_path / "control.sock")) == [
        "the daemon has other keys than the file on the host"]
    assert run(override(declared))["daemon"] == "reloaded"
    assert departures(store.load(), str(tmp_path / "control.sock")) == []


def test_a_daemon_that_dies_in_the_middle_of_a_reload_leaves_the_old_declaration(run, store, declared, daemon):
    run(override(declared))
    before = contents(store)
    daemon.answers["reload"] = lambda _request: ""
    with pytest.raises(ConfigureError, match="the old one stays in force"):
        run(merge({"gateways": [{"name": "branch", "start": "answer"}]}))
    assert contents(store) == before


@pytest.mark.parametrize("stays", ["declaration.json", "secrets.json"])
def test_both_files_are_replaced_or_none(run, store, declared, monkeypatch, stays):
    run(override(declared))
    before = contents(store)
    put = os.replace

    def refuse(source, target):
        if os.path.basename(target) == stays:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))
        put(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConfigureError, match=f"the old declaration stays in force: .*{stays}.*not permitted"):
        run(merge({"gateways": [{"name": "branch", "start": "answer", "credential": {"psk": "another-key"}}]}))
    assert contents(store) == before


def test_a_disk_that_is_full_from_the_start_gets_nothing_and_says_so(run, store, declared, monkeypatch):
    def fsync(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigureError, match=r"the old declaration stays in force: .*ikeengine: No space left"):
        run(override(declared))
    assert contents(store) == {}


@pytest.mark.parametrize("spoil", [
    lambda key: key.write_bytes(b""), lambda key: key.chmod(0o644), lambda key: key.unlink(),
], ids=["empty", "readable", "gone"])
def test_a_digest_key_that_others_may_know_is_made_anew(run, store, declared, spoil):
    run(override(declared))
    key = store.directory / "digest.key"
    old = key.read_bytes()
    spoil(key)
    assert run(merge({"gateways": [{"name": "branch", "start": "answer"}]}))["changed"]
    assert key.read_bytes() != old
    assert (len(key.read_bytes()), stat.S_IMODE(key.stat().st_mode)) == (32, 0o600)


def test_a_digest_key_that_others_can_read_is_drift(run, store, declared):
    run(override(declared))
    (store.directory / "digest.key").chmod(0o644)
    assert run(override(declared))["changed"]
    assert not run(override(declared))["changed"]


def test_what_goes_is_named_and_what_is_in_use_stays(run, store, declared):
    run(override(declared))
    for kind, name, sentence in (
            ("transforms", "p1", r"transforms\[p1\] cannot go: gateways\[branch\]\.transforms names it. Take gateways"),
            ("gateways", "branch", r"gateways\[branch\] cannot go: tunnels\[lan\]\.gateway names it")):
        with pytest.raises(ConfigureError, match=sentence):
            run(take_out({kind: [{"name": name}]}))
    with pytest.raises(ConfigureError, match=r"tunnels\[0\] has no name"):
        run(take_out({"tunnels": [{"nam": "lan"}]}))
    run(take_out({"tunnels": [{"name": "lan"}], "gateways": [{"name": "branch"}], "transforms": [{"name": "p1"}]}))
    assert store.load().declaration["gateways"] == []


def test_a_key_alone_changes_the_gateway_that_the_host_has(run, store, declared):
    run(override(declared))
    assert run(in_turn(merge({}), rekey({"branch": "a-new-key-of-good-length"})))["changed"]
    assert store.load().secrets["gateways"]["branch"] == {"method": "psk", "psk": "a-new-key-of-good-length"}
    with pytest.raises(ConfigureError, match=r"as number 1, a gateway that is not declared.*Did you mean branch"):
        run(in_turn(merge({}), rekey({"brunch": MARKER})))


def test_without_add_tunnels_only_those_of_the_host_are_brought_up_to_date(run, store, declared):
    run(override({**declared, "tunnels": []}))
    assert not run(override(declared, add_tunnels=False))["changed"]
    run(override(declared))
    weak = {**declared, "proposals": [{"name": "p2", "authentication": "SHA1"}],
            "tunnels": [{**declared["tunnels"][0], "proposals": ["p2"]}]}
    run(override(weak))
    strict = {**weak, "policy": "strict", "proposals": [{"name": "p2"}]}
    with pytest.raises(ConfigureError, match="strict"):
        run(override({name: value for name, value in strict.items() if name not in ("proposals", "tunnels")}))
    assert run(override(strict, add_tunnels=False))["changed"]
    more = {**strict, "tunnels": [*strict["tunnels"], {
        "name": "voice", "gateway": "branch", "routes": [{"local": "10.1.1.0/24", "remote": "10.2.1.0/24"}]}]}
    assert not run(override(more, add_tunnels=False))["changed"]


def test_without_add_tunnels_those_that_are_to_go_stay_until_what_takes_their_place_is_there(run, store, declared):
    """Else their traffic would travel in the clear meanwhile, and a gateway without any could not prove a new key."""
    run(override(declared))
    (lan,) = store.load().declaration["tunnels"]
    renamed = {**declared, "proposals": [{"name": "p9"}],
               "tunnels": [{**declared["tunnels"][0], "name": "office", "proposals": ["p9"]}]}
    run(override(renamed, add_tunnels=False))
    assert store.load().declaration["tunnels"] == [lan]
    assert [row["name"] for row in store.load().declaration["proposals"]] == ["p9", *lan["proposals"]]
    run(override(renamed))
    assert [row["name"] for row in store.load().declaration["tunnels"]] == ["office"]
    assert [row["name"] for row in store.load().declaration["proposals"]] == ["p9"]
    run(override({**renamed, "tunnels": []}, add_tunnels=False))
    assert [row["name"] for row in store.load().declaration["tunnels"]] == ["office"]
    run(override({**renamed, "gateways": [], "tunnels": []}, add_tunnels=False))
    assert store.load().declaration["tunnels"] == []


def test_without_add_tunnels_one_goes_whose_route_another_takes_over(run, store, declared):
    (lan,) = declared["tunnels"]
    voice = {**lan, "name": "voice", "routes": [{"local": "10.1.1.0/24", "remote": "10.2.1.0/24"}]}
    more = {**lan, "name": "more", "routes": [{"local": "10.1.2.0/24", "remote": "10.2.2.0/24"}]}
    run(override({**declared, "tunnels": [lan, voice, more]}))
    taken_over = {**voice, "routes": [*voice["routes"], *lan["routes"]]}
    run(override({**declared, "tunnels": [taken_over]}, add_tunnels=False))
    assert [row["name"] for row in store.load().declaration["tunnels"]] == ["voice", "more"]


def test_without_add_tunnels_one_goes_that_a_new_policy_forbids(run, store, declared):
    run(override({**declared, "proposals": [{"name": "p2", "authentication": "SHA1"}],
                  "tunnels": [{**declared["tunnels"][0], "proposals": ["p2"]}]}))
    run(override({**declared, "policy": "strict", "tunnels": []}, add_tunnels=False))
    assert store.load().declaration["tunnels"] == []


def test_what_is_taken_out_whole_the_daemon_forgets_too(run, declared, daemon, store, tmp_path):
    run(override(declared))
    assert run(None)["daemon"] == "reloaded"
    assert (daemon.asked[-2]["declaration"], daemon.asked[-2]["secrets"]) == (
        {"version": 1}, {"version": 1, "gateways": {}})
    assert (run(None)["changed"], run(None)["daemon"]) == (False, "unchanged")
    assert departures(store.load(), str(tmp_path / "control.sock")) == []


def test_a_refused_reload_puts_back_what_could_not_be_read_too(run, store, declared, daemon):
    run(override(declared))
    store.declaration.write_text("{broken")
    before = contents(store)
    daemon.answers["reload"] = lambda _request: REFUSAL
    with pytest.raises(ConfigureError, match="the old one stays in force"):
        run(override(declared), rebuild=True)
    assert contents(store) == before


def test_taking_out_what_is_not_there_leaves_other_files_alone(run, store, declared):
    run(override(declared))
    store.declaration.unlink()
    before = contents(store)
    assert not run(take_out({"tunnels": [{"name": "ghost"}]}))["changed"]
    assert contents(store) == before


@pytest.mark.parametrize("text", ['{"version": 1, "gateways": ["x"]}', '{"version": 1, "gateways": null}',
                                  '{"version": 1, "tunnels": 5}', "[" * 100_000, "[]"])
def test_a_damaged_file_is_named_by_every_edit_and_rebuilt_by_the_whole(run, store, declared, text):
    run(override(declared))
    store.declaration.write_text(text)
    for edit in (merge({"transforms": [{"name": "p2"}]}), take_out({"tunnels": [{"name": "lan"}]})):
        with pytest.raises(ConfigureError, match=r"declaration\.json.*mend it by hand, or declare everything anew"):
            run(edit)
    assert run(override(declared), rebuild=True)["changed"]
    assert not run(override(declared))["changed"]


def test_drift_of_modes_and_of_the_daemon_stands_in_the_diff(run, store, declared, daemon):
    run(override(declared))
    store.secrets.chmod(0o644)
    shown = run(override(declared), check_mode=True)["diff"]
    assert shown["before"] == {str(store.secrets): f"mode 0644, user {os.geteuid()}"}
    assert shown["after"] == {str(store.secrets): "root's alone"}
    run(override(declared))
    store.declaration.write_text(store.declaration.read_text().replace("24h", "12h"))
    result = run(merge({"tunnels": [{"name": "lan"}]}))
    assert (result["daemon"], result["diff"]["before"]) == (
        "reloaded", {"daemon": "the daemon runs another declaration than the file on the host"})


def test_what_is_weak_is_said_once(run, declared):
    run(override(declared))
    (warning,) = run(merge({"transforms": [{"name": "p1", "authentication": "SHA1"}]}))["warnings"]
    assert "SHA1" in warning and "weak" in warning
    assert run(merge({"tunnels": [{"name": "lan", "dataplane": "userspace"}]}))["warnings"] == []


def test_edits_at_the_same_time_are_all_kept(store, run, declared):
    run(override(declared))
    names = [f"t{number}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: run(merge({"transforms": [{"name": name}]})), names))
    assert {item["name"] for item in store.load().declaration["transforms"]} >= set(names)


@pytest.mark.parametrize("secrets", [{f"branch:{MARKER}": None}, {MARKER: "branch"}, {"branch " + MARKER: "x"}])
def test_what_stands_in_a_gateways_place_may_be_a_key_and_is_not_shown(run, declared, secrets):
    run(override(declared))
    with pytest.raises(ConfigureError, match=r"secrets names, as number 1, a gateway that is not declared") as caught:
        run(in_turn(merge({}), rekey(secrets)))
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", {}, {"psk": None}])
def test_a_key_that_came_out_empty_is_no_key(run, declared, key):
    run(override(declared))
    with pytest.raises(ConfigureError, match=r"secrets\[branch\] is empty: .*Set it"):
        run(in_turn(merge({}), rekey({"branch": key})))


def test_the_last_of_the_accepted_keys_goes_by_an_empty_list(run, store, declared):
    declared["gateways"][0]["credential"]["also_accepted"] = ["another key of good length"]
    run(override(declared))
    gateways, keys = apart([{"name": "branch", "credential": {"also_accepted": []}}])
    assert run(in_turn(merge({"gateways": gateways}), rekey(keys)))["changed"]
    assert store.load().secrets["gateways"]["branch"] == {"method": "psk", "psk": MARKER}


def test_names_that_yaml_takes_for_numbers_are_names(run, store, declared):
    declared["tunnels"] = [{**declared["tunnels"][0], "name": 5, "gateway": 7}]
    declared["gateways"] = [{**declared["gateways"][0], "name": 7}]
    assert run(override(declared))["changed"]
    assert not run(override(declared, add_tunnels=False))["changed"]
    assert not run(merge(declared))["changed"]
    assert not run(in_turn(merge({}), rekey({7: MARKER})))["changed"]
    run(take_out({"tunnels": [{"name": 5}], "gateways": [{"name": 7}]}))
    assert store.load().declaration["gateways"] == []


def test_a_reload_that_outlasts_the_patience_is_asked_about_again(run, store, declared, daemon, monkeypatch):
    """The daemon took it, however late it says so."""
    asked = control.request

    def late(command, **arguments):
        result = asked(command, **arguments)
        if command == "reload":
            raise control.ControlError("ikeengine did not answer reload within 10 s", "timeout")
        return result

    monkeypatch.setattr(control, "request", late)
    assert run(override(declared))["daemon"] == "reloaded"
    assert departures(store.load(), daemon.path) == []


def test_a_refused_reload_leaves_no_file_that_was_not_there(run, store, declared, daemon):
    run(override(declared))
    store.secrets.unlink()
    before = contents(store)
    daemon.answers["reload"] = lambda _request: REFUSAL
    with pytest.raises(ConfigureError, match="the old one stays in force"):
        run(override(declared), rebuild=True)
    assert contents(store) == before


@pytest.mark.parametrize("text", ['{"version": 1, "gateways": [{"name": "branch", "credential": "x"}]}',
                                  '{"version": 1, "shared_transforms": 5}', '{"version": 1, "site": "hq"}'])
def test_a_file_of_a_wrong_shape_inside_is_named_too(run, store, declared, text):
    run(override(declared))
    store.declaration.write_text(text)
    for edit in (in_turn(merge({}), rekey({"branch": MARKER})), take_out({"transforms": [{"name": "p1"}]})):
        with pytest.raises(ConfigureError, match=r"declaration\.json.*mend it by hand, or declare everything anew"):
            run(edit)


def test_a_key_that_changes_goes_as_far_as_its_gateway_may(run, store, declared):
    """And a task that begins again takes nothing back; what is gone is not waited for."""
    run(override(declared))
    changed = copy.deepcopy(declared)
    changed["gateways"][0]["credential"]["psk"] = "another key of good length"

    def held():
        return json.loads((store.directory / "secrets.json").read_text())["gateways"]["branch"]

    old, new = {"method": "psk", "psk": MARKER}, {"method": "psk", "psk": "another key of good length"}
    for steps, stages, keys in (({}, {"branch": "accepts"}, {**old, "also_accepted": [new["psk"]]}),
                                ({"branch": Step.SWITCH}, {"branch": "switched"}, {**new, "also_accepted": [MARKER]}),
                                ({}, {"branch": "switched"}, {**new, "also_accepted": [MARKER]}),
                                ({"branch": Step.FINISH}, {}, new), ({}, {}, new)):
        shown = run(override(changed), rotation=steps, check_mode=True)
        done = run(override(changed), rotation=steps)
        assert (shown["changed"], shown["rotation"]) == (done["changed"], done["rotation"])
        assert done["rotation"] == stages and held() == keys
        assert MARKER not in json.dumps(done)
    assert run(override(changed), rotation={})["changed"] is False
    assert "rotation" not in run(override(declared))  # at once, where nobody asks for steps
    assert held() == old


def test_what_need_not_wait_for_a_peer_of_others_is_said(run, declared):
    declared["gateways"][0]["credential"]["also_accepted"] = ["another key of good length"]
    run(override(declared))
    declared["gateways"][0]["credential"]["also_accepted"] = []
    done = run(override(declared), rotation={})
    assert (done["rotation"], done["at_once"]) == ({"branch": "switched"}, ["branch"])
    declared["gateways"][0]["credential"]["psk"] = "a new key of good length"
    done = run(override(declared), rotation={})
    assert (done["rotation"], done["at_once"]) == ({"branch": "accepts"}, [])


def test_a_key_that_was_only_edited_in_the_file_is_no_step_of_a_change(run, store, declared, daemon):
    """No peer has seen it: the daemon has the wanted one all the time."""
    run(override(declared))
    file = store.directory / "secrets.json"
    file.write_text(file.read_text().replace(MARKER, "by-hand-" + MARKER))
    done = run(override(declared), rotation={})
    assert (done["changed"], done["rotation"]) == (True, {})
    assert json.loads(file.read_text())["gateways"]["branch"] == {"method": "psk", "psk": MARKER}


@pytest.mark.parametrize(("name", "meant"), [("brnch", "Did you mean branch"), ("x", "Write branch")])
def test_a_step_of_a_gateway_that_is_not_declared_is_refused(run, store, declared, name, meant):
    for _held in ("nothing", "the same"):
        with pytest.raises(ConfigureError, match=rf"rotation\.{name} is 'switch': no gateway of that name is declared.*"
                                                 f"{meant}"):
            run(override(declared), rotation={name: Step.SWITCH})
        run(override(declared))


def test_a_gateway_that_is_new_has_its_key_at_once(run, store, declared):
    assert run(override(declared), rotation={})["rotation"] == {}


def test_a_key_that_changed_over_and_over_at_one_end_alone_is_refused(run, store, declared):
    run(override(declared))
    for number in range(8):
        changed = copy.deepcopy(declared)
        changed["gateways"][0]["credential"]["psk"] = f"a key of good length, number {number}"
        if number < 7:
            run(override(changed), rotation={})
    with pytest.raises(ConfigureError, match="play both ends together before it changes again"):
        run(override(changed), rotation={})


def test_what_somebody_changed_by_hand_is_mended_and_stands_in_the_diff_alone(run, declared, daemon):
    run(override(declared))
    daemon.by_hand = [{"what": "policy out 10.1.0.0/24 -> 10.2.0.0/24", "expected": "there", "found": "not there"}]
    for check_mode, command in ((True, "audit"), (False, "mend")):
        done = run(override(declared), check_mode=check_mode)
        assert (done["changed"], done["daemon"], daemon.asked[-1]["command"]) == (True, "unchanged", command)
        assert done["diff"]["before"] == {"policy out 10.1.0.0/24 -> 10.2.0.0/24": "not there"}
        assert done["diff"]["after"] == {"policy out 10.1.0.0/24 -> 10.2.0.0/24": "there"}
    daemon.by_hand = []
    assert run(override(declared))["changed"] is False


@pytest.mark.parametrize(("code", "warned"), [("unknown_command", 0), ("data_plane_failed", 1)])
def test_a_daemon_that_cannot_mend_fails_no_task(run, declared, daemon, code, warned):
    """One of an older release does not know the command; the role is about to replace it."""
    run(override(declared))
    daemon.answers["mend"] = lambda request: {"version": 1, "ok": False, "error": {"code": code, "message": "no"}}
    done = run(override(declared))
    assert (done["changed"], len(done["warnings"])) == (False, warned)
