# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key per pair: made once, kept for ever, encrypted where a vault id is given, and shown nowhere."""

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.tandem.vpn.plugins.plugin_utils.keyring import Keyring, KeyringError

PLAIN = VaultLib([])
VAULT = VaultLib([("other", VaultSecret(b"another password")), ("vpn", VaultSecret(b"a password"))])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secrets" / "psk.yml"


def test_a_key_is_made_once_and_is_32_octets_of_hexadecimal_digits(path):
    keyring = Keyring(path, PLAIN)
    assert keyring.make(["a<->b", "a<->c"]) == (["a<->b", "a<->c"], True)
    keys = keyring.keys()
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys.values()) and len(set(keys.values())) == 2
    assert keyring.make(["a<->b", "a<->c"]) == ([], False)
    assert Keyring(path, PLAIN).keys() == keys
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_site_adds_keys_and_changes_none_and_a_removed_link_keeps_its(path):
    keyring = Keyring(path, PLAIN)
    keyring.make(["a<->b", "a<->c"])
    before = keyring.keys()
    assert keyring.make(["a<->b", "a<->d"]) == (["a<->d"], True)
    assert {name: key for name, key in keyring.keys().items() if name != "a<->d"} == before


def test_a_key_is_renewed_by_name_and_others_stay(path):
    keyring = Keyring(path, PLAIN)
    keyring.make(["a<->b", "a<->c"])
    before = keyring.keys()
    assert keyring.make(["a<->b", "a<->c"], renew=["a<->b"], check_mode=True) == (["a<->b"], True)
    assert keyring.keys() == before
    assert keyring.make(["a<->b", "a<->c"], renew=["a<->b"]) == (["a<->b"], True)
    after = keyring.keys()
    assert (after["a<->b"] != before["a<->b"], after["a<->c"]) == (True, before["a<->c"])


def test_what_stands_in_for_a_key_is_the_same_everywhere_and_is_not_kept(path):
    keyring = Keyring(path, PLAIN)
    assert keyring.make(["a<->b"], check_mode=True) == (["a<->b"], True)
    assert not path.parent.exists()
    keys = keyring.with_stand_ins(["a<->b", "a<->c"])
    assert keys == Keyring(path, PLAIN).with_stand_ins(["a<->c", "a<->b"])
    assert len(set(keys.values())) == 2 and all(len(key) == 64 for key in keys.values())
    keyring.make(["a<->b"])
    made = keyring.with_stand_ins(["a<->b", "a<->c"])
    assert (made["a<->b"] != keys["a<->b"], made["a<->c"]) == (True, keys["a<->c"])


def test_keys_that_are_only_compared_need_no_vault_secret(path):
    Keyring(path, VAULT, "vpn").make(["a<->b"])
    stand_ins = Keyring(path.with_name("none.yml"), PLAIN).with_stand_ins(["a<->b"])
    assert Keyring(path, PLAIN).with_stand_ins(["a<->b"], to_compare=True) == stand_ins
    assert Keyring(path, VAULT).with_stand_ins(["a<->b"], to_compare=True) == Keyring(path, VAULT).keys()
    assert Keyring(path.with_name("none.yml"), PLAIN, "vpn").with_stand_ins(["a<->b"], to_compare=True) == stand_ins


def test_with_a_vault_id_the_file_is_encrypted_under_it(path):
    keyring = Keyring(path, VAULT, "vpn")
    keyring.make(["a<->b"])
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;vpn\n")
    assert keyring.keys()["a<->b"].encode() not in path.read_bytes()
    assert keyring.make(["a<->b"]) == ([], False)
    assert VaultLib([("vpn", VaultSecret(b"a password"))]).decrypt(path.read_bytes()).startswith(b"---\n")


def test_an_encrypted_file_stays_so_without_a_vault_id_and_a_plain_one_becomes_so_with_one(path):
    Keyring(path, PLAIN).make(["a<->b"])
    keys = Keyring(path, PLAIN).keys()
    assert Keyring(path, VAULT, "vpn").make(["a<->b"], check_mode=True) == ([], True)
    assert Keyring(path, VAULT, "vpn").make(["a<->b"]) == ([], True)
    assert Keyring(path, VAULT).make(["a<->b", "a<->c"]) == (["a<->c"], True)
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;vpn\n")
    assert Keyring(path, VAULT).keys()["a<->b"] == keys["a<->b"]
    assert Keyring(path, VAULT, "other").make(["a<->b"]) == ([], True)
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;other\n")


@pytest.mark.parametrize("vault", [PLAIN, VaultLib([("vpn", VaultSecret(b"a wrong one"))])])
def test_a_file_that_cannot_be_decrypted_is_an_error_that_says_what_to_do(path, vault):
    Keyring(path, VAULT, "vpn").make(["a<->b"])
    before = path.read_bytes()
    for use in (lambda ring: ring.keys(), lambda ring: ring.make(["a<->c"]), lambda ring: ring.with_stand_ins([])):
        with pytest.raises(KeyringError, match=r"psk.yml cannot be decrypted: .*vault id vpn.*--vault-id vpn@"):
            use(Keyring(path, vault, "vpn"))
    assert path.read_bytes() == before


def test_a_vault_id_that_the_run_does_not_have_is_found_before_a_key_is_made(path):
    keyring = Keyring(path, VAULT, "vnp")
    for use in (lambda: keyring.make(["a<->b"]), lambda: keyring.make(["a<->b"], check_mode=True),
                lambda: keyring.with_stand_ins(["a<->b"])):
        with pytest.raises(KeyringError, match=r"'vnp': this run has no vault secret of that id; it has other, vpn\."):
            use()
    assert not path.exists()


@pytest.mark.parametrize(("text", "message"), [
    ("a<->b: [", "is no YAML"), ("[]x", "is no YAML"), ("- 5", "holds no mapping"), ("a<->b: 0x12",
                                                                             "has something else than text for a<->b"),
    ("a<->b: ''", "has something else"), ("\x00", "is no YAML"),
])
def test_a_file_of_another_shape_is_refused_and_stays(path, text, message):
    path.parent.mkdir()
    path.write_text(text)
    for use in (lambda: Keyring(path, PLAIN).keys(), lambda: Keyring(path, PLAIN).make(["a<->c"])):
        with pytest.raises(KeyringError, match=message):
            use()
    assert path.read_text() == text


@pytest.mark.parametrize(("text", "message"), [
    ("b<->a: marker",
     "'b<->a': the names of a pair stand in order, so that no site would have that key. Rename it a<->b"),
    ("a <-> b: marker",
     "'a <-> b': the names of a pair stand in order, so that no site would have that key. Rename it a<->b"),
    ("b<->a: marker\na<->b: other marker",
     "'b<->a' beside a<->b: a pair has one key, under its names in order. Remove b<->a, or put its key in the place of "
     "the other"),
])
def test_a_pair_that_is_named_in_another_way_is_no_other_pair(path, text, message):
    path.parent.mkdir()
    path.write_text(text)
    ring = Keyring(path, PLAIN)
    for use in (ring.keys, lambda: ring.make(["a<->b"]), lambda: ring.make(["a<->b"], check_mode=True),
                lambda: ring.with_stand_ins(["a<->b"]), lambda: ring.with_stand_ins(["a<->b"], to_compare=True)):
        with pytest.raises(KeyringError) as caught:
            use()
        assert str(caught.value) == f"the keys' file {path} has {message}."
    assert path.read_text() == text


def test_what_may_be_a_key_in_the_place_of_a_name_is_not_shown(path):
    path.parent.mkdir()
    path.write_text("{a<->b:marker}")
    with pytest.raises(KeyringError, match="has something else than text") as caught:
        Keyring(path, PLAIN).keys()
    assert "marker" not in str(caught.value)


def test_what_names_no_pair_stays_in_the_file(path):
    path.parent.mkdir()
    path.write_text("of something else: text\n")
    ring = Keyring(path, PLAIN)
    ring.make(["a<->b"])
    assert ring.keys()["of something else"] == "text"


def test_a_key_that_the_user_wrote_is_kept_as_it_is(path):
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"a<->b": 'quoted "\\ and\nbroken ü: 1'}))
    keyring = Keyring(path, PLAIN)
    assert keyring.make(["a<->c"]) == (["a<->c"], True)
    assert keyring.keys()["a<->b"] == 'quoted "\\ and\nbroken ü: 1'


def test_a_plain_file_that_others_can_read_is_closed(path):
    keyring = Keyring(path, PLAIN)
    keyring.make(["a<->b"])
    path.chmod(0o644)
    assert keyring.make(["a<->b"]) == ([], True)
    assert path.stat().st_mode & 0o777 == 0o600


def make(path, number):
    return Keyring(path, PLAIN).make(["a<->b", f"a<->n{number}"])[0]


def test_many_at_once_make_each_key_once(path):
    with ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:
        made = [name for names in pool.map(make, [path] * 24, range(24)) for name in names]
    assert sorted(made) == sorted(["a<->b", *(f"a<->n{number}" for number in range(24))])
    assert len(set(Keyring(path, PLAIN).keys().values())) == 25
    assert [entry.name for entry in path.parent.iterdir()] == ["psk.yml"]


def test_no_key_in_any_text_form(path):
    keyring = Keyring(path, PLAIN)
    keyring.make(["a<->b"])
    (key,) = keyring.keys().values()
    assert key not in repr(keyring) + str(vars(keyring)) + repr(keyring._load())


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyringError, match=r"psk.yml cannot be written: .*Set ipsec_psk_file"):
        Keyring(tmp_path / "file" / "psk.yml", PLAIN).make(["a<->b"])
