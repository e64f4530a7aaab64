# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One archive, the same octets for the same input, with everything that a host needs."""

import json
import tarfile

import pytest
from ansible_collections.tandem.vpn.plugins.plugin_utils import archive

IDENTITY = {"source": "s", "dependencies": "system", "python": "3.11", "machine": "x86_64", "libc": "glibc-2.36"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_the_same_input_gives_the_same_octets(cache):
    first, checksum = archive.build(IDENTITY)
    first.unlink()
    assert archive.build(IDENTITY) == (first, checksum)


def test_it_carries_the_daemon_with_the_domain_in_place_of_the_link():
    path, _checksum = archive.build(IDENTITY)
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar.getmembers()}
        identity = json.load(tar.extractfile("release.json"))
    assert identity == IDENTITY
    assert {"requirements.txt", "ikeengine.service", "ikeengine/__main__.py", "ikeengine/cli.py",
            "ikeengine/vpn/algorithms.py"} <= members.keys()
    assert all(member.isreg() for member in members.values())
    assert not any("__pycache__" in name for name in members)
    assert {(member.uid, member.gid, member.mtime, member.mode) for member in members.values()} == {(0, 0, 0, 0o644)}


def test_another_source_or_wheel_is_another_release(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digests = [archive.source_digest("bundled"), archive.source_digest("venv"), archive.source_digest("venv", wheels)]
    (wheels / "cryptography-1-py3-none-any.whl").touch()
    digests.append(archive.source_digest("venv", wheels))
    assert (len(set(digests[:2])), digests[1] == digests[2], digests[3] in digests[:3]) == (2, True, False)


def test_packages_that_cannot_be_had_are_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(archive.ArchiveError, match="ipsec_gateway_wheel_dir"):
        archive.build(IDENTITY | {"dependencies": "bundled"}, wheel_dir=tmp_path)
