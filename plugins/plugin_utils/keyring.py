# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pre-shared keys of a fleet: one per pair of sites, made once, kept in a file of the controller's user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret, match_encrypt_secret, parse_vaulttext_envelope

from ..module_utils.vpn.fleet import pair_name
from ..module_utils.vpn.reading import NAME
from . import files

_OCTETS = 32  # of entropy, as the keys of the strongest algorithms have (RFC 7296 §2.15)
_HEADING = "---\n# One pre-shared key per pair of sites. The hosts have them and this file, nobody else: keep it.\n"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class KeyringError(AnsibleError):
    """The file cannot serve. The message names it, and never what it holds."""


@dataclass(frozen=True)
class _Kept:
    """What the file holds, and how it is encrypted, if it is."""

    keys: dict[str, str] = field(repr=False)
    vault_id: str | None = None
    secret: VaultSecret | None = None


class Keyring:
    """Keys by pair of sites in one file: encrypted under ``vault_id`` where one is given, and always mode 0600.

    A file that is encrypted stays so without a vault id, too. ``vault`` has the run's vault secrets.
    """

    def __init__(self, path: Path, vault: VaultLib, vault_id: str | None = None) -> None:
        self.path, self._vault, self.vault_id = path.resolve(), vault, vault_id

    def keys(self) -> dict[str, str]:
        """Every key that is kept. Raises KeyringError."""
        return self._load().keys

    def with_stand_ins(self, names: Iterable[str], *, to_compare: bool = False) -> dict[str, str]:
        """The keys of those pairs, also of those that have none yet: what stands in for one is no secret.

        ``to_compare`` says that they are only held against each other. Then a run without any vault secret, such as a
        pipeline's that validates, need not open the file: something stands in for every key. Raises KeyringError,
        also where a key that is missing could not be made.
        """
        if to_compare and not self._vault.secrets and (self.vault_id is not None or self._is_encrypted()):
            return {name: stand_in(name) for name in names}
        kept = self._load()
        keys = {name: kept.keys.get(name) or stand_in(name) for name in names}
        if keys.keys() - kept.keys.keys():
            self._encryption(kept)
        return keys

    def make(self, names: Iterable[str], *, renew: Collection[str] = (),
             check_mode: bool = False) -> tuple[list[str], bool]:
        """Give every pair a key that has none, and another to those of ``renew``; the keys of others stay, those of
        pairs that are no more, too.

        Returns the pairs whose key is new, and whether the file changes; in check mode it does not. Raises
        KeyringError.
        """
        wanted = sorted(set(names))

        def lacks(kept: _Kept) -> list[str]:
            return [name for name in wanted if name not in kept.keys or name in renew]

        if check_mode:
            kept = self._load()
            return lacks(kept), self._differs(kept, lacks(kept))
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self.path.parent):
                kept = self._load()
                lacking = lacks(kept)
                changed = self._differs(kept, lacking)
                if changed:
                    self._save(kept.keys | {name: secrets.token_hex(_OCTETS) for name in lacking},
                               *self._encryption(kept))
        except OSError as error:
            raise KeyringError(f"the keys' file {self.path} cannot be written: {error.strerror}. Set ipsec_psk_file to "
                               "one that the controller's user may write") from None
        return lacking, changed

    def _differs(self, kept: _Kept, lacking: list[str]) -> bool:
        vault_id, _secret = self._encryption(kept)
        loose = self.path.exists() and vault_id is None and bool(self.path.stat().st_mode & 0o077)
        return bool(lacking) or loose or (self.path.exists() and vault_id != kept.vault_id)

    def _encryption(self, kept: _Kept) -> tuple[str | None, VaultSecret | None]:
        """The vault id and secret to write with; None where the file is plain."""
        if self.vault_id is None or self.vault_id == kept.vault_id:
            return kept.vault_id, kept.secret
        try:
            vault_id, secret = match_encrypt_secret(self._vault.secrets, self.vault_id)
        except AnsibleError:
            known = ", ".join(sorted({name for name, _secret in self._vault.secrets or ()})) or "none"
            raise KeyringError(f"ipsec_psk_vault_id is {self.vault_id!r}: this run has no vault secret of that id; "
                               f"it has {known}. Run with --vault-id {self.vault_id}@prompt or a file") from None
        return vault_id, secret

    def _load(self) -> _Kept:
        try:
            octets = self.path.read_bytes()
        except FileNotFoundError:
            return _Kept({})
        except OSError as error:
            raise KeyringError(f"the keys' file {self.path} cannot be read: {error.strerror}") from None
        vault_id, secret = None, None
        if self._vault.is_encrypted(octets):
            vault_id = parse_vaulttext_envelope(octets)[3]
            try:
                octets, _used, secret = self._vault.decrypt_and_get_vault_id(octets)
            except AnsibleError:
                raise KeyringError(f"the keys' file {self.path} cannot be decrypted: it is encrypted under the vault "
                                   f"id {vault_id}, and none of this run's vault secrets fits. Run with --vault-id "
                                   f"{vault_id}@prompt or a file") from None
        return _Kept(self._parsed(octets), vault_id, secret)

    def _is_encrypted(self) -> bool:
        try:
            return bool(self._vault.is_encrypted(self.path.read_bytes()))
        except OSError:
            return False

    def _parsed(self, octets: bytes) -> dict[str, str]:
        try:
            data = yaml.load(octets, Loader=_LOADER) or {}  # safe either way
        except (yaml.YAMLError, ValueError):
            raise KeyringError(f"the keys' file {self.path} is no YAML; mend it by hand, or take it from a backup: "
                               "keys made anew are others than the hosts have") from None
        if not isinstance(data, Mapping):
            raise KeyringError(f"the keys' file {self.path} holds no mapping of pairs to keys; mend it by hand")
        check(f"the keys' file {self.path} has", data)
        return {str(name): str(key) for name, key in data.items()}

    def _save(self, keys: Mapping[str, str], vault_id: str | None, secret: VaultSecret | None) -> None:
        text = _HEADING + yaml.dump(dict(keys), Dumper=_DUMPER, default_style='"', width=2**20)
        octets = text.encode() if secret is None else self._vault.encrypt(text, secret, vault_id)
        files.replace(self.path, octets, 0o600)


def pair_of(name: object) -> str | None:
    """How the pair is called that is meant, its names in whatever order; None for what names no pair of sites."""
    one, _arrow, other = (part.strip() for part in str(name).partition("<->"))
    return pair_name(one, other) if NAME.fullmatch(one) and NAME.fullmatch(other) else None


def check(subject: str, keys: Mapping[Any, Any]) -> None:
    """Raises KeyringError, beginning with the subject, unless each key is text under a name that finds it."""
    for name, key in keys.items():
        pair = pair_of(name)
        if not isinstance(name, str) or not isinstance(key, str) or not key:
            raise KeyringError(f"{subject} something else than text for {pair or 'what names no pair of sites'}. Write "
                               "the key in quotes.")
        if pair is not None and name != pair:
            raise KeyringError(f"{subject} {_misnamed(name, pair, known=pair in keys)}.")


def _misnamed(name: str, pair: str, *, known: bool) -> str:
    if known:
        return (f"{name!r} beside {pair}: a pair has one key, under its names in order. Remove {name}, or put its key "
                "in the place of the other")
    return f"{name!r}: the names of a pair stand in order, so that no site would have that key. Rename it {pair}"


def stand_in(name: str) -> str:
    """What is in a key's place until there is one, where nothing is written: the same at both ends, and no secret."""
    return hashlib.sha256(b"stand-in for the key of " + name.encode()).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold what one process may do at a time in the folder; the folder itself is locked, so no file is left behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
