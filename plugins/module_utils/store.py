# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration as a host keeps it: two files, root's alone, written atomically.

The secrets stand apart, so that the declaration can be shown, compared and diffed as it is.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Any

from .vpn.declaration import keyed_digest

DIRECTORY = Path("/etc/ikeengine")
_SHOWN_DIGITS = 16
LISTS = ("transforms", "proposals", "gateways", "tunnels")


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
    """The two files in one directory."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.directory = directory
        self.declaration = directory / "declaration.json"
        self.secrets = directory / "secrets.json"
        self._digest_key = directory / "digest.key"

    def load(self) -> Declared:
        """Raises StoreError where a file is there but is no JSON object."""
        return Declared(_load(self.declaration), _load(self.secrets))

    def is_private(self) -> bool:
        """Whether what is there belongs to root with no way in for others; an edit of the mode is drift as well."""
        expected = ((self.directory, 0o700), (self.declaration, 0o600), (self.secrets, 0o600))
        return all(path.stat().st_mode & 0o777 == mode and path.stat().st_uid == os.geteuid()
                   for path, mode in expected if path.exists())

    def save(self, declared: Declared) -> None:
        """Replace both files, the secrets first: the daemon never finds a gateway without its key.

        Saving an empty ``Declared`` removes them and their directory. Raises StoreError.
        """
        try:
            if not declared:
                self._remove()
                return
            self._make_directory()
            _write({self.secrets: declared.secrets, self.declaration: declared.declaration})
        except OSError as error:
            raise StoreError(f"{error.filename or self.directory}: {error.strerror}") from None

    def digest_key(self, *, keep: bool) -> bytes:
        """The key of the digests by which secrets are told apart: made here once, and known to nobody else.

        Without it nobody can try keys against a digest that a diff shows. One that is not kept serves this run alone.
        """
        try:
            return self._digest_key.read_bytes()
        except OSError:
            key = token_bytes(32)
        if keep:
            self._make_directory()
            _replace({self._digest_key: key})
        return key

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)

    def _remove(self) -> None:
        self._digest_key.unlink(missing_ok=True)
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
    except ValueError:
        raise StoreError(f"{path} is not JSON; mend it by hand, or remove it and declare everything again") from None
    if not isinstance(data, dict):
        raise StoreError(f"{path} holds no JSON object; remove it and declare everything again")
    return data


def _write(files: Mapping[Path, Mapping[str, Any]]) -> None:
    _replace({path: (json.dumps(data, indent=2, sort_keys=True) + "\n").encode() for path, data in files.items()})


def _replace(files: Mapping[Path, bytes]) -> None:
    """Replace all files or none: each is on the disk before the first takes its place."""
    ready: dict[str, Path] = {}
    try:
        for path, content in files.items():
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp: mode 0600
            ready[temporary] = path
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in ready.items():
            os.replace(temporary, path)
    except BaseException:
        for temporary in ready:
            Path(temporary).unlink(missing_ok=True)
        raise


def differences(before: Declared, after: Declared, digest_key: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every field that differs, by its path, on either side. Of a secret only its keyed digest."""
    left, right = _flat(before.declaration), _flat(after.declaration)
    changed = [path for path in sorted(left.keys() | right.keys()) if left.get(path) != right.get(path)]
    old = {path: left[path] for path in changed if path in left}
    new = {path: right[path] for path in changed if path in right}
    keys_before, keys_after = _keys(before), _keys(after)
    for name in sorted(keys_before.keys() | keys_after.keys()):
        if keys_before.get(name) != keys_after.get(name):
            for keys, side in ((keys_before, old), (keys_after, new)):
                if name in keys:
                    field = "private_key" if "private_key" in keys[name] else "psk"
                    shown = keyed_digest(keys[name], digest_key)[:_SHOWN_DIGITS]
                    side[f"gateways[{name}].credential.{field}"] = f"keyed digest {shown}"
    return old, new


def _keys(declared: Declared) -> Mapping[str, Any]:
    keys = declared.secrets.get("gateways", {})
    return keys if isinstance(keys, Mapping) else {}


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
