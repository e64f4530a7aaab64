# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task changes on a host, what it leaves alone, and what it says."""

import json
import stat

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.configure import (
    ConfigureError,
    converge,
    put,
    replace,
    take_out,
)
from ansible_collections.tandem.vpn.plugins.module_utils.store import Store

MARKER = "marker-that-must-appear-nowhere"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ikeengine")


@pytest.fixture
def run(store, tmp_path):
    """Converge against this test's folder and control socket."""

    def run(edit, *, check_mode=False, **options):
        return converge(edit, check_mode=check_mode, store=store, socket=str(tmp_path / "control.sock"), **options)

    return run


def contents(store):
    return {path.name: path.read_text() for path in store.directory.iterdir()} if store.directory.exists() else {}


def test_a_declaration_is_written_once_for_root_alone_and_then_left_alone(run, store, declared):
    assert run(replace(declared))["changed"]
    assert {path.name: stat.filemode(path.stat().st_mode) for path in store.directory.iterdir()} == {
        "declaration.json": "-rw-------", "secrets.json": "-rw-------"}
    written = contents(store)
    again = run(replace(declared))
    assert (again["changed"], again["diff"]["before"], again["diff"]["after"]) == (False, {}, {})
    assert contents(store) == written


def test_the_key_is_in_its_own_file_and_in_no_result(run, store, declared):
    result = run(replace(declared))
    assert MARKER in store.secrets.read_text()
    assert MARKER not in store.declaration.read_text()
    assert MARKER not in repr(result) + repr(store.load())


def test_the_same_in_other_words_is_no_change(run, declared):
    run(replace(declared))
    declared["transforms"][0] = {"name": "p1", "encryption": "aes256", "key_group": "modp2048", "sa_life": 86400}
    assert not run(replace(declared))["changed"]


def test_check_mode_says_what_would_change_and_writes_nothing(run, store, declared, daemon):
    result = run(replace(declared), check_mode=True)
    assert result["changed"]
    assert result["diff"]["after"]["gateways[branch].endpoints[0].remote.address"] == "198.51.100.1"
    assert not store.directory.exists()
    assert [request["command"] for request in daemon.asked] == ["status"]


def test_lists_that_are_not_given_stay(run, store, declared):
    run(replace(declared))
    gateways_only = {key: declared[key] for key in ("site", "transforms", "gateways")}
    assert not run(replace(gateways_only))["changed"]
    assert not run(replace({"tunnels": declared["tunnels"]}))["changed"]


def test_a_gateway_that_goes_takes_its_tunnels_with_it(run, store, declared):
    run(replace(declared))
    assert run(replace({"gateways": []}))["changed"]
    assert store.load().declaration["tunnels"] == []
    assert store.load().secrets["gateways"] == {}


def test_an_edit_touches_only_what_it_names_and_never_the_key(run, store, declared):
    run(replace(declared))
    before = store.load()
    result = run(put("gateways", {"name": "branch", "start": "answer", "credential": None, "endpoints": None}))
    assert result["diff"]["before"] == {"gateways[branch].start": "boot"}
    assert result["diff"]["after"] == {"gateways[branch].start": "answer"}
    assert store.load().secrets == before.secrets


def test_a_key_changed_by_hand_is_drift_and_is_put_back(run, store, declared):
    run(replace(declared))
    store.secrets.write_text(store.secrets.read_text().replace(MARKER, "by-hand"))
    result = run(put("gateways", {"name": "branch", "credential": {"psk": MARKER}}))
    assert result["changed"]
    assert result["diff"]["before"] == {"gateways[branch].credential.psk": "(the key on the host)"}
    assert result["diff"]["after"] == {"gateways[branch].credential.psk": "(the declared key)"}
    assert MARKER in store.secrets.read_text()


def test_a_mode_changed_by_hand_is_drift(run, store, declared):
    run(replace(declared))
    store.secrets.chmod(0o644)
    assert run(replace(declared))["changed"]
    assert stat.S_IMODE(store.secrets.stat().st_mode) == 0o600


def test_a_declaration_that_is_no_json_is_rebuilt_by_the_whole_and_refused_by_a_part(run, store, declared):
    run(replace(declared))
    store.declaration.write_text("{broken")
    with pytest.raises(ConfigureError, match="is not JSON"):
        run(put("transforms", {"name": "p2"}))
    result = run(replace(declared), rebuild=True)
    assert result["changed"]
    assert "written anew" in result["warnings"][0]
    assert not run(replace(declared))["changed"]


def test_an_error_names_the_field_and_leaves_the_host_alone(run, store, declared):
    run(replace(declared))
    before = contents(store)
    with pytest.raises(ConfigureError, match=r"transforms\[p1\]\.encryption") as caught:
        run(put("transforms", {"name": "p1", "encryption": "AES-257"}))
    assert caught.value.findings[0]["code"] == "declaration-invalid-value"
    assert contents(store) == before


def test_a_transform_in_use_cannot_be_taken_out(run, store, declared):
    run(replace(declared))
    with pytest.raises(ConfigureError, match="p1"):
        run(take_out({"transforms": [{"name": "p1"}]}))
    assert not run(take_out({"tunnels": [{"name": "no-such"}]}))["changed"]


def test_taking_out_of_nothing_writes_nothing(run, store):
    assert not run(take_out({"tunnels": [{"name": "lan"}]}))["changed"]
    assert not store.directory.exists()


def test_absent_removes_the_files_and_their_folder(run, store, declared):
    run(replace(declared))
    assert run(None)["changed"]
    assert not store.directory.exists()
    assert not run(None)["changed"]


def test_a_running_daemon_gets_both_files_once(run, declared, daemon):
    assert run(replace(declared))["daemon"] == "reloaded"
    reload = daemon.asked[-1]
    assert reload["declaration"]["gateways"][0]["name"] == "branch"
    assert reload["secrets"]["gateways"]["branch"] == {"method": "psk", "psk": MARKER}
    assert run(replace(declared))["daemon"] == "unchanged"
    assert [request["command"] for request in daemon.asked] == ["status", "reload", "status"]


def test_a_daemon_that_runs_something_else_is_reloaded(run, declared, daemon):
    run(replace(declared))
    daemon.answers["status"] = lambda _request: {
        "version": 1, "ok": True, "result": {"daemon": {"declaration_digest": "of something older"}}}
    result = run(replace(declared))
    assert (result["changed"], result["daemon"]) == (True, "reloaded")


def test_a_refused_reload_puts_the_old_files_back_and_says_so(run, store, declared, daemon):
    run(replace(declared))
    before = contents(store)
    daemon.answers["reload"] = lambda _request: {"version": 1, "ok": False, "error": {
        "code": "invalid_declaration", "message": "this kernel has no ESP", "findings": [{"message": "no ESP"}]}}
    with pytest.raises(ConfigureError, match="old one stays in force: this kernel has no ESP") as caught:
        run(put("tunnels", {"name": "lan", "dataplane": "kernel"}))
    assert caught.value.findings == [{"message": "no ESP"}]
    assert contents(store) == before


def test_an_answer_that_is_no_protocol_is_an_error_and_restores_too(run, store, declared, daemon):
    daemon.answers["reload"] = lambda _request: "nonsense\n"
    with pytest.raises(ConfigureError, match="answer to reload is none of version 1"):
        run(replace(declared))
    assert not store.directory.exists()


def test_the_files_are_json_of_version_1(run, store, declared):
    run(replace(declared))
    assert json.loads(store.declaration.read_text())["version"] == 1
    assert json.loads(store.secrets.read_text())["version"] == 1
