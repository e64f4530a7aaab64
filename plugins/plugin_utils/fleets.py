# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets as the variables of hosts define them, and the keyrings that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

from ..module_utils.vpn import fleet, reading
from ..module_utils.vpn.declaration import DeclarationError
from ..module_utils.vpn.findings import Finding, Severity
from ..module_utils.vpn.fleet import Fleet
from ..module_utils.vpn.reading import Misfit, Misfits
from .keyring import Keyring
from .vaulted import decrypted

_Place = tuple[str | None, str | None]
_NOWHERE: _Place = (None, None)
FLEET, FILE, VAULT_ID = "ipsec_fleet", "ipsec_psk_file", "ipsec_psk_vault_id"


class Variables:
    """One host's variables: as they are written, and templated one at a time."""

    def __init__(self, host: str, written: Mapping[str, Any], templated: Any) -> None:
        """``templated(name)`` gives a variable's value."""
        self.host, self.written, self._templated = host, written, templated

    @classmethod
    def of(cls, hostvars: Any, host: str) -> Variables:
        """A host's, as other hosts see them."""
        return cls(host, hostvars.raw_get(host), lambda name: hostvars[host][name])

    def __contains__(self, name: str) -> bool:
        return name in self.written

    def __getitem__(self, name: str) -> Any:
        """Raises AnsibleError, naming host and variable, where it cannot be templated."""
        try:
            return decrypted(self._templated(name))
        except Exception as error:  # templating raises whatever a template raises
            raise AnsibleError(f"{self.host}: {name} cannot be templated: {error}") from error

    def get(self, name: str) -> Any:
        """None where there is no such variable."""
        if name not in self:
            return None
        return self[name]


class KnownFleet:
    """One definition, read once for all hosts that have it; ``findings`` say why it could not be read."""

    def __init__(self, written: Any, value: Any) -> None:
        self.written, self.value = written, value
        self.fleet: Fleet | None = None
        self.findings: tuple[Finding, ...] = ()
        try:
            self.fleet = fleet.read(value, FLEET)
        except DeclarationError as error:
            self.findings = error.findings

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """The pairs whose keys are made and kept on the controller."""
        return () if self.fleet is None else tuple(fleet.key_names(self.fleet))


class Fleets:
    """The fleets that hosts have; one that many have is templated and read once."""

    def __init__(self, loader: DataLoader | None = None) -> None:
        self._loader = loader
        self.known: list[KnownFleet] = []
        self._keyrings: dict[tuple[Path, str | None], Keyring] = {}
        self._keys: dict[tuple[int, int], dict[str, str]] = {}
        self._places: dict[int, dict[_Place, str]] = {}  # by fleet, with the first site that has each

    def of(self, variables: Variables) -> KnownFleet | None:
        """The fleet that a host's variables define, or None."""
        if FLEET not in variables:
            return None
        written = variables.written[FLEET]
        # What holds no template has the same value for every host, and comparing is much cheaper than templating.
        constant = _is_constant(written)
        for known in self.known if constant else ():
            if known.written is not None and known.written == written:
                return known
        value = variables[FLEET]
        for known in self.known:
            if known.value == value:
                return known
        self.known.append(KnownFleet(written if constant else None, value))
        return self.known[-1]

    def keyring(self, variables: Variables) -> Keyring | None:
        """The keyring that a host's variables name, or None. Raises DeclarationError where they have no text for it."""
        file, vault_id = _text(variables, FILE), _text(variables, VAULT_ID)
        if file is None or self._loader is None:
            return None
        at = Path(self._loader.path_dwim(file)), vault_id
        if at not in self._keyrings:
            # The loader has the run's vault secrets, and nothing public of it gives them to whoever is to encrypt.
            self._keyrings[at] = Keyring(at[0], self._loader._vault, vault_id)
        return self._keyrings[at]

    def keyring_of(self, known: KnownFleet, variables: Variables) -> Keyring:
        """The same for a fleet's keys. Raises DeclarationError where there is none, or not that of its other sites."""
        keyring = self.keyring(variables)
        if known.fleet is not None and variables.host in known.fleet.sites:
            place = _NOWHERE if keyring is None else (str(keyring.path), keyring.vault_id)
            hosts = self._places.setdefault(id(known), {})
            hosts.setdefault(place, variables.host)
            first = next(iter(hosts))
            if place != first:
                raise DeclarationError((_elsewhere((hosts[first], hosts[place]), first, place),))
        if keyring is None:
            raise DeclarationError((no_file(known),))
        return keyring

    def keys_with_stand_ins(self, known: KnownFleet, variables: Variables) -> dict[str, str]:
        """All keys of a fleet for its validation. Raises KeyringError, and DeclarationError as ``keyring_of`` does."""
        if not known.key_names:
            return {}
        keyring = self.keyring_of(known, variables)
        at = id(known), id(keyring)
        if at not in self._keys:
            self._keys[at] = keyring.with_stand_ins(known.key_names, to_compare=True)
        return self._keys[at]


def no_file(known: KnownFleet) -> Finding:
    """That a fleet whose keys are to be made names no file for them."""
    misfits, count = Misfits(""), len(known.key_names)
    misfits.add(FILE, Misfit(
        f"{count} link{'s' if count > 1 else ''} of {FLEET} ({known.key_names[0]}{', ...' if count > 1 else ''}) need"
        f"{'' if count > 1 else 's'} a key that is made and kept on the controller",
        f"Set {FILE} to the file that is to hold them, and {VAULT_ID} to have it encrypted, or give every link a "
        "credential", code="missing-field"), "is missing")
    return misfits.findings[0]


def _text(variables: Variables, name: str) -> str | None:
    """A variable's text, or None where it is not set. Raises DeclarationError for anything else."""
    value = variables.get(name)
    if value is None or value == "":
        return None
    try:
        return reading.text(value)
    except Misfit as misfit:
        misfits = Misfits(variables.host)
        misfits.add(name, misfit, misfit.state)
        raise DeclarationError(tuple(misfits.findings)) from None


def _elsewhere(hosts: tuple[str, str], one: _Place, other: _Place) -> Finding:
    """That two sites of a fleet would keep its keys in two places, or encrypted in two ways."""
    index = 0 if one[0] != other[0] else 1
    name, values = (FILE, VAULT_ID)[index], (one[index], other[index])
    left, right = (f"{host} has {value or 'none'}" for host, value in zip(hosts, values, strict=True))
    fixes = [f"of {host} to {value}" for host, value in zip(hosts[::-1], values, strict=True) if value]
    return Finding("declaration-invalid-value", Severity.ERROR, name, left, right,
                   "the sites of a fleet keep their keys in one place", f"Set {name} {', or that '.join(fixes)}",
                   where=FLEET, left_path=name, right_path=name)


def _is_constant(value: object) -> bool:
    """Whether it surely holds no template."""
    if isinstance(value, Mapping):
        return all(_is_constant(key) and _is_constant(part) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_constant, value))
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value and "{#" not in value
    return value is None or isinstance(value, (bool, int, float))
