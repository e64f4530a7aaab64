# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of all tunnels, read on the controller from the inventory's variables.

A host declares by lists of its own, by its part of a fleet, or by both: then an object of its own stands in the place
of the fleet's of the same name, and its others beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

from ..module_utils.vpn import declaration, fleet
from ..module_utils.vpn.declaration import DeclarationError
from ..module_utils.vpn.findings import Finding
from ..module_utils.vpn.fleet import Fleet
from ..module_utils.vpn.model import Side
from ..module_utils.vpn.reading import Misfit, Misfits
from .fleets import FILE, FLEET, Fleets, KnownFleet, Variables, no_file
from .keyring import Keyring, pair_of
from .options import instead

LISTS = ("transforms", "proposals", "gateways", "tunnels")
FIELDS = ("site", "policy", "shared_transforms", *LISTS)

_UNKNOWN: Mapping[str, str] = {}
"""The keys where none are asked for."""


@dataclass(frozen=True)
class Part:
    """A site's part of a fleet, where nothing else is declared of it; or what is wrong with it.

    ``definition`` is the fleet's as plain data.
    """

    fleet: Fleet | None
    site: str
    definition: Any = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

    def side(self) -> Side:
        """Raises DeclarationError."""
        if self.fleet is None or self.findings:
            raise DeclarationError(self.findings)
        return fleet.side(self.fleet, self.site, self.keys)


Declared = Mapping[str, Any] | Part


def declared(hostvars: Any, hosts: Iterable[str]) -> dict[str, Declared]:
    """What each host's variables declare; hosts that declare nothing are left out. Generated keys are left unknown.

    Raises AnsibleError, naming host and variable, where a variable cannot be templated.
    """
    return _Inventory(hostvars, Fleets()).declared(hosts)


def declared_by_all(hostvars: Any, hosts: Iterable[str], loader: DataLoader) -> dict[str, Declared]:
    """The same with keys, and with the sites of fleets that are no hosts: what is to be held against each other.

    Nothing is written: where a key is still to be made, something stands in for it, the same at both ends. Raises
    AnsibleError also where the keys cannot be read, or could not be made.
    """
    inventory = _Inventory(hostvars, Fleets(loader), with_keys=True)
    found = inventory.declared(hosts)
    return found | inventory.others()


def of_host(variables: Variables, loader: DataLoader, wanted: Iterable[str] = FIELDS, *, check_mode: bool,
            of: Variables | None = None) -> Mapping[str, Any]:
    """The wanted fields of a host's declaration, at least, with its part of a fleet and its keys.

    With ``of`` those of another site of the host's fleet, and of its own variables where it has some. In check mode
    something stands in for a key that is still to be made; else its absence is an error. Raises AnsibleError.
    """
    of = of or variables
    fleets, own = Fleets(loader), _own(of, wanted)
    base: dict[str, Any] = {"site": {"name": of.host}, "policy": "standard", "shared_transforms": [],
                            **{name: [] for name in LISTS}}
    known = fleets.of(variables)
    try:
        if known is not None and known.fleet is None:
            raise DeclarationError(known.findings)
        if known is None or known.fleet is None or of.host not in known.fleet.sites:
            if not own and of is not variables:
                names = list(known.fleet.sites) if known is not None and known.fleet is not None else []
                raise AnsibleError(f"site is {of.host!r}: it is no site of {FLEET}, and no host of that name declares "
                                   f"anything. {instead(of.host, names)}.")
            return _combined(base, own)
        keys: Mapping[str, str] = {}
        if "gateways" in wanted:
            keys = _keys_of_host(known, fleets.keyring(variables), of.host, check_mode=check_mode)
        return _combined(base | plain(fleet.side(known.fleet, of.host, keys)), own)
    except DeclarationError as error:
        raise AnsibleError(str(error)) from None


def make_keys(hostvars: Any, hosts: Iterable[str], loader: DataLoader, *, renew: Iterable[str] = (),
              check_mode: bool) -> dict[str, Any]:
    """Make the keys that the hosts' fleets lack, and others for the pairs of ``renew``. Returns ``changed``, ``files``
    and ``made``, the pairs whose key is new.

    Raises AnsibleError.
    """
    fleets = Fleets(loader)
    wanted: dict[Keyring, set[str]] = {}
    for host in hosts:
        variables = Variables.of(hostvars, host)
        known = fleets.of(variables)
        if known is None or not known.key_names:
            continue
        try:
            keyring = fleets.keyring_of(known, variables)
        except DeclarationError as error:
            raise AnsibleError(str(error)) from None
        wanted.setdefault(keyring, set()).update(known.key_names)
    known = set[str]().union(*wanted.values())
    others = {pair_of(name) or name for name in renew}
    if unknown := sorted(others - known):
        raise AnsibleError(f"renew names {', '.join(unknown)}: " + (
            f"no such pair has a key that is made here. {instead(unknown[0], sorted(known))}." if known else
            f"no host that was asked has a fleet whose keys are made here. Define {FLEET} with that link, or change "
            "the key where it is declared, at both ends."))
    outcomes = {keyring: keyring.make(names, renew=others, check_mode=check_mode) for keyring, names in wanted.items()}
    return {"changed": any(changed for _made, changed in outcomes.values()),
            "made": sorted({name for made, _changed in outcomes.values() for name in made}),
            "files": sorted(str(keyring.path) for keyring in outcomes)}


def read(declarations: Mapping[str, Declared]) -> tuple[dict[str, Side], list[Finding]]:
    """The sides by host, and what is wrong with those that cannot be read."""
    findings: dict[Finding, None] = {}  # in order; what is wrong with a fleet is said once
    sides: dict[str, Side] = {}
    parts: defaultdict[tuple[int, int], dict[str, Part]] = defaultdict(dict)
    for host, fields in declarations.items():
        try:
            if not isinstance(fields, Part):
                sides[host] = declaration.read(fields, site_name=str(host))
            elif fields.fleet is None or fields.findings:
                raise DeclarationError(fields.findings)
            else:
                parts[id(fields.fleet), id(fields.keys)][host] = fields
        except DeclarationError as error:
            findings.update(dict.fromkeys(error.findings))
    for of_fleet in parts.values():  # at once, so that both ends of a link share its key
        one = next(iter(of_fleet.values()))
        try:
            if one.fleet is not None:
                names = [part.site for part in of_fleet.values()]
                sides |= zip(of_fleet, fleet.sides(one.fleet, one.keys, names), strict=True)
        except DeclarationError as error:
            findings.update(dict.fromkeys(error.findings))
    return {host: sides[host] for host in declarations if host in sides}, list(findings)


def definition(declarations: Mapping[str, Declared]) -> Any:
    """The definition of the fleet that they are parts of, as plain data, or None."""
    return next((fields.definition for fields in declarations.values() if isinstance(fields, Part)), None)


def plain(side: Side) -> dict[str, Any]:
    """A side as plain data with its keys inline, as host_vars have it."""
    written, kept = declaration.write(side)
    keys: Any = kept["gateways"]
    gateways: Any = written["gateways"]
    for gateway in gateways:
        gateway["credential"] |= keys.get(gateway["name"], {})
    return {name: value for name, value in written.items() if name != "version"}


class _Inventory:
    """Hosts and what they declare. ``with_keys`` also has the keys of fleets, or what stands in for them."""

    def __init__(self, hostvars: Any, fleets: Fleets, *, with_keys: bool = False) -> None:
        self._hostvars, self._fleets, self._with_keys = hostvars, fleets, with_keys
        self._members: dict[int, Part] = {}

    def declared(self, hosts: Iterable[str]) -> dict[str, Declared]:
        all_variables = {host: Variables.of(self._hostvars, host) for host in hosts}
        parts = {host: self._part(variables) for host, variables in all_variables.items()}
        for host, part in parts.items():
            if part is None:  # a fleet that others define may have it as a site
                parts[host] = next((_of_others(member, host) for member in self._members.values()
                                    if member.fleet is not None and host in member.fleet.sites), None)
        found = {host: _joined(variables, parts[host]) for host, variables in all_variables.items()}
        return {host: fields for host, fields in found.items() if fields}

    def others(self) -> dict[str, Declared]:
        """The sites of the hosts' fleets that are no hosts."""
        found: dict[str, Declared] = {}
        for member in self._members.values():
            if member.fleet is None:
                continue
            for name, site in member.fleet.sites.items():
                if name not in self._hostvars:
                    part = replace(member, site=name)
                    found[name] = replace(part, findings=(*part.findings, _no_host(name))) if site.managed else part
        return found

    def _part(self, variables: Variables) -> Part | None:
        known = self._fleets.of(variables)
        if known is None:
            return None
        keys, findings = _UNKNOWN, known.findings
        if self._with_keys:
            try:
                keys = self._fleets.keys_with_stand_ins(known, variables)
            except DeclarationError as error:
                findings += error.findings
        part = Part(known.fleet, variables.host, known.value, keys, findings)
        self._members.setdefault(id(known), part)
        return part if known.fleet is None or variables.host in known.fleet.sites else None


def _of_others(member: Part, host: str) -> Part:
    """A host's part of a fleet that only others define."""
    part = replace(member, site=host)
    if member.fleet is None or not member.fleet.sites[host].managed:
        return part
    return replace(part, findings=(*part.findings, _unseen(host)))


def _joined(variables: Variables, part: Part | None) -> Declared:
    own = _own(variables)
    if part is None:
        return own
    if not own or part.fleet is None or part.findings:
        return part
    try:
        return _combined(plain(part.side()), own)
    except DeclarationError as error:
        return replace(part, findings=error.findings)


def _own(variables: Variables, wanted: Iterable[str] = FIELDS) -> dict[str, Any]:
    """What the host declares by variables of its own."""
    return {name: variables[f"ipsec_{name}"] for name in wanted if f"ipsec_{name}" in variables}


def _combined(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The host's own over what a fleet says of it."""
    combined = dict(base)
    for name, value in own.items():
        if name == "site" and isinstance(value, Mapping):
            combined[name] = {**base.get(name, {}), **value}
        elif name in LISTS and isinstance(value, (list, tuple)):
            combined[name] = _merged(base.get(name, []), value)
        else:
            combined[name] = value
    return combined


def _merged(fleets: Iterable[Mapping[str, Any]], own: Iterable[Any]) -> list[Any]:
    named = {item["name"]: item for item in own if isinstance(item, Mapping) and isinstance(item.get("name"), str)}
    kept = [named.pop(item["name"], item) for item in fleets]
    replaced = [id(item) for item in kept]
    return kept + [item for item in own if id(item) not in replaced]


def _keys_of_host(known: KnownFleet, keyring: Keyring | None, host: str, *, check_mode: bool) -> Mapping[str, str]:
    names = tuple(fleet.key_names(known.fleet, host)) if known.fleet is not None else ()
    if not names:
        return {}
    if keyring is None:
        raise DeclarationError((no_file(known),))
    if check_mode:
        return keyring.with_stand_ins(names)
    keys = keyring.keys()
    lacking = [name for name in names if name not in keys]
    if lacking:
        raise AnsibleError(f"{host}: {keyring.path} ({FILE}) has no key for {', '.join(lacking)}. Run the task "
                           "tandem.vpn.ipsec_keys first, as the role ipsec_gateway does")
    return keys


def _no_host(name: str) -> Finding:
    return _of_site(name, "is no host of the inventory", "a site that Ansible manages is the host of its name",
                    f"Add the host {name} to the inventory")


def _unseen(name: str) -> Finding:
    return _of_site(name, f"is a host that has no {FLEET}", "a site that Ansible manages takes its part of it",
                    f"Set {FLEET} where {name} has it too, as in group_vars")


def _of_site(name: str, state: str, rule: str, fix: str) -> Finding:
    misfits = Misfits("")
    fix += ", or set managed: false for a site that somebody else configures"
    misfits.add(f"{FLEET}.sites[{name}]", Misfit(rule, fix, code="unknown-reference"), state)
    return misfits.findings[0]
