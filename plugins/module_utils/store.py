# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration as a host keeps it: two files, root's alone, written atomically.

The secrets stand apart, so that the declaration can be shown, compared and diffed as it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from secrets import token_bytes
from typing import Any

from .vpn.declaration import keyed_digest

DIRECTORY = Path("/etc/ikeengine")
_SHOWN_DIGITS = 16
_DIGEST_KEY_OCTETS = 32
LISTS = ("transforms", "proposals", "gateways", "tunnels")
MEND = "mend it by hand, or declare everything anew with ipsec_config, state overridden"


class StoreError(Exception):
    """A file that cannot be read as what it should be, or not be written. The message names it, never its content."""


@dataclass(frozen=True)
class Declared:
    """Both files as plain data; an absent file is an empty mapping. The secrets stay out of every text form."""

    declaration: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.declaration or self.secrets)


class Store:
    """The two files in one directory, and the key by which secrets are told apart."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.directory = directory
        self.declaration = directory / "declaration.json"
        self.secrets = directory / "secrets.json"
        self._key_file = directory / "digest.key"

    def load(self) -> Declared:
        """Raises StoreError where a file is there but is no JSON object, or not of a declaration's shape."""
        declared = Declared(_load(self.declaration), _load(self.secrets))
        for name in LISTS:
            _hold_to_shape(self.declaration, name, declared.declaration.get(name, []))
        return declared

    def exposed(self) -> dict[str, str]:
        """What others than root may have a way into, each with its mode; an edit of a mode is drift as well."""
        return {str(path): _mode(path) for path in (self.directory, self.declaration, self.secrets, self._key_file)
                if path.exists() and not _is_private(path)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Whatever changes the files does so one after the other. Raises StoreError."""
        try:
            descriptor = os.open(self.directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{self.directory.parent}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def snapshot(self) -> Mapping[Path, bytes]:
        """The files as they are, whatever they hold, for ``restore``. Raises StoreError."""
        try:
            return {path: path.read_bytes() for path in (self._key_file, self.secrets, self.declaration)
                    if path.exists()}
        except OSError as error:
            raise StoreError(f"{error.filename}: {error.strerror}") from None

    def restore(self, snapshot: Mapping[Path, bytes]) -> None:
        """Put the files back. Raises StoreError."""
        try:
            if not snapshot:
                self._remove()
                return
            self._make_directory()
            _replace(snapshot)
            for path in {self._key_file, self.secrets, self.declaration} - snapshot.keys():
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{error.filename2 or error.filename or self.directory}: {error.strerror}") from None

    def save(self, declared: Declared) -> None:
        """Replace both files, the secrets first: the daemon never finds a gateway without its key.

        Saving an empty ``Declared`` removes them and their directory. Raises StoreError.
        """
        try:
            if not declared:
                self._remove()
                return
            self._make_directory()
            _replace({self._key_file: self.digest_key, self.secrets: _text(declared.secrets),
                      self.declaration: _text(declared.declaration)})
        except OSError as error:
            raise StoreError(f"{error.filename2 or error.filename or self.directory}: {error.strerror}") from None

    @cached_property
    def digest_key(self) -> bytes:
        """The key of the digests by which secrets are told apart: made on the host, and known to nobody else.

        Without it nobody can try keys against a digest that a diff shows. It is kept when the files are saved; one that
        others may know, or that is none, is made anew.
        """
        try:
            key = self._key_file.read_bytes() if _is_private(self._key_file) else b""
        except OSError:
            key = b""
        return key if len(key) == _DIGEST_KEY_OCTETS else token_bytes(_DIGEST_KEY_OCTETS)

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)

    def _remove(self) -> None:
        self._key_file.unlink(missing_ok=True)
        self.declaration.unlink(missing_ok=True)
        self.secrets.unlink(missing_ok=True)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()


def _load(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise StoreError(f"{path} is not JSON; {MEND}") from None
    if not isinstance(data, dict):
        raise StoreError(f"{path} holds no JSON object; {MEND}")
    return data


def _hold_to_shape(path: Path, name: str, objects: object) -> None:
    """Raises StoreError unless they are a list of objects with names: what an edit builds on."""
    if not isinstance(objects, list) or not all(isinstance(item, dict) and isinstance(item.get("name"), str)
                                                for item in objects):
        raise StoreError(f"{path}: {name} is no list of objects with names; {MEND}")


def _is_private(path: Path) -> bool:
    status = path.stat()
    return status.st_mode & 0o777 == (0o700 if path.is_dir() else 0o600) and status.st_uid == os.geteuid()


def _mode(path: Path) -> str:
    status = path.stat()
    return f"mode {status.st_mode & 0o777:04o}, user {status.st_uid}"


def _text(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def _replace(files: Mapping[Path, bytes]) -> None:
    """Replace all files or none: each is on the disk before the first takes its place, and what was there is kept
    until the last has taken its own.
    """
    new: dict[Path, Path] = {}
    old: dict[Path, Path] = {}
    replaced: list[Path] = []
    try:
        for path, content in files.items():
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp: mode 0600
            new[path] = Path(temporary)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                old[path] = Path(f"{temporary}.old")
                os.link(path, old[path])
        for path, ready in new.items():
            os.replace(ready, path)
            replaced.append(path)
    except BaseException:
        for path in replaced:
            if path in old:
                os.replace(old[path], path)
            else:
                path.unlink()
        raise
    finally:
        for temporary_path in (*new.values(), *old.values()):
            temporary_path.unlink(missing_ok=True)


def differences(before: Declared, after: Declared, digest_key: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every field that differs, by its path, on either side. Of a secret only its keyed digest."""
    left, right = _flat(before.declaration), _flat(after.declaration)
    changed = [path for path in sorted(left.keys() | right.keys()) if left.get(path) != right.get(path)]
    old = {path: left[path] for path in changed if path in left}
    new = {path: right[path] for path in changed if path in right}
    keys_before, keys_after = _digests(before, digest_key), _digests(after, digest_key)
    for path in sorted(keys_before.keys() | keys_after.keys()):
        if keys_before.get(path) != keys_after.get(path):
            old |= {path: keys_before[path]} if path in keys_before else {}
            new |= {path: keys_after[path]} if path in keys_after else {}
    return old, new


def _digests(declared: Declared, digest_key: bytes) -> dict[str, str]:
    """What is shown of each key, by its path: another digest where it, or the method that reads it, is another."""
    gateways = declared.secrets.get("gateways", {})
    keys = {name: kept for name, kept in gateways.items() if isinstance(kept, Mapping)
            } if isinstance(gateways, Mapping) else {}
    rows = ((f"gateways[{name}].credential.{field}", {"method": kept.get("method"), field: secret})
            for name, kept in keys.items() for field, secret in kept.items() if field != "method")
    return {path: f"keyed digest {keyed_digest(row, digest_key)[:_SHOWN_DIGITS]}" for path, row in rows}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a declaration by path; an element of a list goes by its name where it has one."""
    if isinstance(value, Mapping) and value:
        return {leaf: item for key, part in value.items()
                for leaf, item in _flat(part, f"{path}.{key}" if path else str(key)).items()}
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return {leaf: item for index, part in enumerate(value)
                for leaf, item in _flat(part, f"{path}[{_label(part, index)}]").items()}
    return {path: value} if path else {}


def _label(part: Any, index: int) -> Any:
    return part.get("name", index) if isinstance(part, Mapping) else index
