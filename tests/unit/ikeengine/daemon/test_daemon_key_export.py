# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys leave the daemon where ``--debug-keys`` asks for it, into files that nobody else reads, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ikeengine.daemon.key_export import ESP, IKEV1, IKEV2, CannotExport, KeyExport
from ikeengine.ike.context import Settings
from ikeengine.ike.events import ChildInbound, IkeKeyed
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import IkeVersion

from tests.support.virtual_network import ROUTES, branch, hq, pair

SHA2 = algorithms.authentication("SHA2-256")


def keyed(version: IkeVersion = IkeVersion.V2, name: str = "AES-256") -> IkeKeyed:
    row = algorithms.encryption(name)
    integrity = None if row.aead or version is IkeVersion.V1 else SHA2
    return IkeKeyed(version, b"\1" * 8, b"\2" * 8, row, integrity, (b"\3" * 4, b"\4" * 4),
                    (b"\5" * 4, b"\6" * 4) if integrity else (b"", b""))


def test_the_rows_are_wiresharks(tmp_path: Path) -> None:
    export = KeyExport(tmp_path / "keys")
    for event in (keyed(), keyed(name="AES-GCM-128"), keyed(IkeVersion.V1), keyed(name="ChaCha20-Poly1305")):
        export.take(event)
    assert (tmp_path / "keys" / IKEV2).read_text().splitlines() == [
        '0101010101010101,0202020202020202,03030303,04040404,"AES-CBC-256 [RFC3602]",05050505,06060606,'
        '"HMAC_SHA2_256_128 [RFC4868]"',
        '0101010101010101,0202020202020202,03030303,04040404,"AES-GCM-128 with 16 octet ICV [RFC5282]",,,'
        '"NONE [RFC4306]"']
    assert (tmp_path / "keys" / IKEV1).read_text() == "0101010101010101,03030303\n"


def test_both_directions_of_an_sa_are_there(tmp_path: Path) -> None:
    network, end, _other = pair(hq(routes=ROUTES[:1]), branch(routes=ROUTES[:1], start="answer"))
    network.start()
    network.run(5)
    (event,) = (event for event in end.events if isinstance(event, ChildInbound))
    KeyExport(tmp_path / "keys").take(event)
    child = event.child
    out, inside = (line.split(",") for line in (tmp_path / "keys" / ESP).read_text().splitlines())
    assert out[1:4] == [f'"{child.local.address}"', f'"{child.remote.address}"', f'"0x{child.spi_out:08x}"']
    assert inside[1:4] == [f'"{child.remote.address}"', f'"{child.local.address}"', f'"0x{child.spi_in:08x}"']
    assert child.keys_out.encryption.hex() in out[5] and child.keys_in.encryption.hex() in inside[5]


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    KeyExport(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    KeyExport(tmp_path / "keys")  # a second start goes on in it


@pytest.mark.parametrize("kind", ["open", "link", "file", "linked file"])
def test_a_place_that_others_reach_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    place = tmp_path / "keys"
    match kind:
        case "open":
            place.mkdir(mode=0o755)
        case "link":
            place.symlink_to(tmp_path / "private")
        case "file":
            place.touch()
        case _:
            place.mkdir(mode=0o700)
            (place / ESP).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotExport, match=str(place)):
        KeyExport(place)
    assert not (tmp_path / "elsewhere").exists()


def test_no_session_tells_its_keys_unless_asked(tmp_path: Path) -> None:
    for asked in (False, True):
        network, one, other = pair(hq(), branch(start="answer"), settings=Settings(export_keys=asked))
        network.start()
        network.run(5)
        keys = [[event for event in end.events if isinstance(event, IkeKeyed)] for end in (one, other)]
        assert [len(events) for events in keys] == 2 * [int(asked)]
        if asked:
            assert keys[0] == keys[1], "both ends have the same"
            (event,) = keys[0]
            assert not {str(key) for key in event.encryption_keys + event.integrity_keys} & set(repr(event).split())


@pytest.mark.parametrize("variable", ["NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"])
def test_a_service_refuses(tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    argv = [sys.executable, "-m", "ikeengine", "--declaration", str(tmp_path / "none"), "--secrets",
            str(tmp_path / "none"), "--control", str(tmp_path / "control"), "--debug-keys", str(tmp_path / "keys")]
    ended = subprocess.run(argv, cwd=Path(__file__).parents[4] / "files/ikeengine", capture_output=True, text=True,
                           timeout=20, check=False)
    assert ended.returncode == 1 and "--debug-keys: a service writes no keys" in ended.stderr
    assert not (tmp_path / "keys").exists()
