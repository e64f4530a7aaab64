# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the one archive that carries the daemon to a host. The same input gives the same octets."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "files" / "ikeengine"
CACHE = Path(os.environ.get("ANSIBLE_HOME") or "~/.ansible").expanduser() / "tandem.vpn" / "archives"
_FORMAT = b"1"  # of the archive's layout: a new one makes every host's release an old one


class ArchiveError(Exception):
    """The archive cannot be built; the message says what to do."""


def source_digest(dependencies: str, wheel_dir: Path | None = None) -> str:
    """SHA-256 of all that an archive is made of, apart from what depends on the host."""
    digest = hashlib.sha256(_FORMAT + dependencies.encode())
    for name, path in _sources():
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(wheel_dir.glob("*.whl")) if wheel_dir else ():
        digest.update(path.name.encode() + b"\0")
    return digest.hexdigest()


def build(identity: Mapping[str, str], wheel_dir: Path | None = None) -> tuple[Path, str]:
    """The archive for a host of that identity, and its SHA-256; from the cache where it was built before.

    ``identity`` has ``source``, ``dependencies``, ``python`` (3.11), ``machine`` (x86_64) and ``libc`` (glibc-2.36).
    Raises ArchiveError.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    cached = CACHE / f"{key}.tar.gz"
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(CACHE / f"{key}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # hosts alike ask at the same time: one builds, the others wait
        if not cached.exists():
            _build(identity, wheel_dir, cached)
    return cached, hashlib.sha256(cached.read_bytes()).hexdigest()


def _build(identity: Mapping[str, str], wheel_dir: Path | None, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        extra, packed = Path(folder, "extra"), Path(folder, "archive")
        extra.mkdir()
        _add_packages(identity, wheel_dir, extra)
        packed.write_bytes(_pack(identity, extra))
        packed.replace(target)


def _sources() -> Iterator[tuple[str, Path]]:
    """The daemon's files by their name in the archive; links, as the domain's, stand for what they lead to."""
    yield "requirements.txt", SOURCE / "requirements.txt"
    yield "ikeengine.service", SOURCE / "ikeengine.service"
    yield from _tree(SOURCE / "ikeengine", "ikeengine")


def _tree(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _tree(path, f"{name}/{path.name}")
        else:
            yield f"{name}/{path.name}", path


def _add_packages(identity: Mapping[str, str], wheel_dir: Path | None, folder: Path) -> None:
    """The pinned packages: unpacked (bundled) or, from a wheel folder, for the host's own pip (venv)."""
    if identity["dependencies"] == "bundled":
        _pip("install", "--no-compile", "--target", str(folder / "site-packages"), *_platform(identity),
             *_index(wheel_dir))
    elif identity["dependencies"] == "venv" and wheel_dir:
        _pip("download", "--dest", str(folder / "wheels"), *_platform(identity), *_index(wheel_dir))


def _platform(identity: Mapping[str, str]) -> list[str]:
    """pip's options for the host's interpreter and C library (PEP 600, PEP 656)."""
    machine, libc = identity["machine"], identity["libc"]
    name, _dash, version = libc.partition("-")
    if name == "glibc":
        tags = [f"manylinux_2_{minor}_{machine}" for minor in range(int(version.split(".")[1]), 16, -1)]
        tags += [f"manylinux2014_{machine}"]
    else:
        tags = [f"musllinux_1_2_{machine}", f"musllinux_1_1_{machine}"]
    return ["--only-binary=:all:", "--implementation", "cp", "--python-version", identity["python"],
            *(option for tag in tags for option in ("--platform", tag))]


def _index(wheel_dir: Path | None) -> list[str]:
    return ["--no-index", "--find-links", str(wheel_dir)] if wheel_dir else []


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:],
               "-r", str(SOURCE / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ArchiveError(
            f"pip could not get the daemon's packages for the host: {done.stderr.strip()}\nWithout a package index "
            f"name a folder that holds the wheels of {SOURCE / 'requirements.txt'} (ipsec_gateway_wheel_dir), or use "
            "the distribution's packages (ipsec_gateway_dependencies: system)")


def _pack(identity: Mapping[str, str], extra: Path) -> bytes:
    buffer = io.BytesIO()
    with (gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as compressed,
          tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar):
        _add(tar, "release.json", json.dumps(identity, sort_keys=True).encode())
        for name, path in _sources():
            _add(tar, name, path.read_bytes())
        for path in sorted(path for path in extra.rglob("*") if path.is_file()):
            _add(tar, str(path.relative_to(extra)), path.read_bytes())
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
