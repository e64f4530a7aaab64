# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a task says to what a host holds: edit the stored declaration, read it, save it, have it loaded."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from secrets import token_hex
from typing import Any

from . import control
from .credentials import with_key
from .store import LISTS, MEND, Declared, Store, StoreError, differences
from .vpn import algorithms, declaration, rules
from .vpn.declaration import DeclarationError
from .vpn.model import Gateway
from .vpn.reading import Fields, Misfits, choice, nearest
from .vpn.rotation import Step, stage, towards, waits_for_peer

_MOST_NAMED = 10

Edit = Callable[[dict[str, Any]], None]
"""Changes a stored declaration in place. A gateway's key may stand inline in its credential."""


class ConfigureError(Exception):
    """The host is as it was. ``findings`` are plain data, one for each error of a declaration."""

    def __init__(self, message: str, findings: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.findings = list(findings)


def converge(edit: Edit | None, *, check_mode: bool, rebuild: bool = False, site_name: str = "",
             rotation: Mapping[str, Step] | None = None, store: Store | None = None,
             socket: str = control.PATH) -> dict[str, Any]:
    """Bring the host's declaration to what ``edit`` makes of it; None removes it.

    With ``rebuild`` a stored declaration that cannot be read counts as none, because the task declares it anew.
    ``site_name`` is what the side is called where neither the edit nor the host says. With ``rotation`` a credential
    that changes takes no step beyond the one named for its gateway, by default to accept both. Returns ``changed``,
    ``diff``, ``daemon`` (``reloaded``, ``unchanged`` or ``not running``), ``warnings`` and, where the files change,
    ``before`` and ``after``, both without keys; with ``rotation`` also that, the stage of each gateway whose credential
    is not yet what the edit wants, and ``at_once``, those of them that a peer of somebody else's need not be waited for
    (`waits_for_peer`). Raises ConfigureError.
    """
    store = store or Store()
    try:
        with nullcontext() if check_mode else store.locked():
            return _converge(edit, check_mode, rebuild, site_name, rotation, store, socket)
    except StoreError as error:
        raise ConfigureError(str(error)) from None


def _converge(edit: Edit | None, check_mode: bool, rebuild: bool, site_name: str,
              rotation: Mapping[str, Step] | None, store: Store, socket: str) -> dict[str, Any]:
    before, warnings = _stored(store, rebuild)
    after, weak = (Declared(), []) if edit is None else _edited(before, edit, site_name)
    _hold_to_gateways(rotation or {}, after)
    stages, at_once = dict[str, str](), list[str]()
    if rotation is not None and before not in (Declared(), after) and not _are_in_force(before, after, socket):
        after, stages, at_once = _in_steps(before, after, rotation)
    old, new = ({}, {}) if before == after else differences(before, after, store.digest_key)
    exposed = store.exposed()
    changed = before != after or bool(warnings or exposed)
    files = store.snapshot() if changed and not check_mode else {}
    if changed and not check_mode:
        _save(store, after)
    try:
        departed = _load_into_daemon(after, changed, check_mode, socket)
        daemon = "unchanged" if departed is None else "reloaded"
    except control.NotRunning:
        departed, daemon = None, "not running"
    except control.ControlError as error:
        if changed and not check_mode:
            _restore(store, files, error)
        raise ConfigureError(f"ikeengine did not take the new declaration, and the old one stays in force: {error}",
                             error.findings) from None
    old |= exposed | ({"daemon": departed} if departed else {})
    new |= dict.fromkeys(exposed, "root's alone")
    new |= {"daemon": "the daemon runs what the file says"} if departed else {}
    mended, unmended = ({}, []) if daemon == "not running" else _mend(check_mode, socket)
    old |= {what: row["found"] for what, row in mended.items()}
    new |= {what: row["expected"] for what, row in mended.items()}
    return {"changed": changed or daemon == "reloaded" or bool(mended), "daemon": daemon,
            "warnings": warnings + weak + unmended,
            **({} if rotation is None else {"rotation": stages, "at_once": at_once}),
            **({"before": gathered(before), "after": gathered(after)} if changed else {}),
            "diff": {"before": old, "after": new, "before_header": str(store.declaration),
                     "after_header": str(store.declaration)}}


def merge(given: Mapping[str, Any]) -> Edit:
    """Make each named object what is given of it and leave the rest alone; None is a field that is not given."""

    def edit(data: dict[str, Any]) -> None:
        for field, value in _given(given).items():
            if field in LISTS:
                join = _merged_proposal if field == "proposals" else _merged
                data[field] = _by_name(data.get(field, []), value, join)
            else:
                both = isinstance(value, Mapping) and isinstance(data.get(field), Mapping)
                data[field] = _merged(data[field], value) if both else value

    return edit


def replace(given: Mapping[str, Any]) -> Edit:
    """Put each given object in the place of its namesake; the others stay."""

    def edit(data: dict[str, Any]) -> None:
        for field, value in _given(given).items():
            data[field] = _by_name(data.get(field, []), value, lambda _old, new: new) if field in LISTS else value

    return edit


def override(given: Mapping[str, Any], *, add_tunnels: bool = True) -> Edit:
    """Replace every list that is given; tunnels that are not given go with the gateway they stand on.

    Without ``add_tunnels`` those of the given tunnels that the host does not have are left out, and those that it has
    and that are not given stay where they can: until what takes their place is added, their traffic is protected, and
    a credential that changes can be proved.
    """

    def edit(data: dict[str, Any]) -> None:
        held = {kind: list(data.get(kind, [])) for kind in ("tunnels", "proposals")}
        known = {tunnel["name"] for tunnel in held["tunnels"]}
        wanted = _named(given)
        data.update({name: value for name, value in wanted.items() if value is not None})
        if wanted.get("tunnels") is not None:
            data["tunnels"] = [tunnel for tunnel in wanted["tunnels"] if add_tunnels or tunnel.get("name") in known]
            if not add_tunnels:
                data.update(_beside_departing(data, held, _names("tunnels", wanted["tunnels"])))
        elif wanted.get("gateways") is not None:
            names = {gateway.get("name") for gateway in data["gateways"] if isinstance(gateway, Mapping)}
            data["tunnels"] = [tunnel for tunnel in data.get("tunnels", []) if tunnel.get("gateway") in names]

    return edit


def _beside_departing(data: Mapping[str, Any], held: Mapping[str, list[dict[str, Any]]],
                      given: Container[str]) -> dict[str, Any]:
    """The lists of tunnels and proposals with those tunnels that are held and not given, but for those that contradict
    the others or whose gateway goes."""
    gateways = {gateway.get("name") for gateway in data.get("gateways", [])}
    departing = [tunnel for tunnel in held["tunnels"] if tunnel["name"] not in given and tunnel["gateway"] in gateways]
    tunnels, proposals = data["tunnels"], data.get("proposals", [])
    there = {proposal.get("name") for proposal in proposals}
    staying = {name for tunnel in tunnels for name in tunnel.get("proposals") or ()}
    while departing:
        own = {tunnel["name"]: set(tunnel.get("proposals") or ()) for tunnel in departing}
        needed = set().union(*own.values()) - there
        both = {"tunnels": [*tunnels, *departing],
                "proposals": [*proposals, *(row for row in held["proposals"] if row["name"] in needed)]}
        wrong = _places_of_errors({**data, **both})
        in_the_way = {name for name, proposed in own.items() if wrong & {
            f"tunnels[{name}]", *(f"proposals[{each}]" for each in proposed - staying)}}
        if not in_the_way:
            return both
        departing = [tunnel for tunnel in departing if tunnel["name"] not in in_the_way]
    return {}


def _places_of_errors(data: Mapping[str, Any]) -> set[str]:
    """The objects of a declaration that its errors are about, as ``tunnels[lan]``."""
    try:
        findings = [finding for finding in rules.by_itself(declaration.read(copy.deepcopy(dict(data))))
                    if finding.is_error]
    except DeclarationError as error:
        findings = list(error.findings)
    return {place[:place.find("]") + 1] for finding in findings
            for place in (finding.left_path, finding.right_path, finding.field)}


def take_out(lists: Mapping[str, Any]) -> Edit:
    """Take the named objects of every given list out. What still refers to one of them makes an error, not a loss."""

    def edit(data: dict[str, Any]) -> None:
        gone = {kind: _names(kind, objects or ()) for kind, objects in _named(lists).items()}
        for kind in data.keys() & lists.keys():
            data[kind] = [existing for existing in data[kind] if existing.get("name") not in gone[kind]]
        _hold_to_references(data, gone)

    return edit


def _names(kind: str, objects: Sequence[Mapping[str, Any]]) -> set[str]:
    """Raises ConfigureError: what is to go must be named."""
    for index, item in enumerate(objects):
        if not isinstance(item.get("name"), str):
            raise ConfigureError(f"{kind}[{index}] has no name, so nothing says what is to go. Set "
                                 f"{kind}[{index}].name")
    return {item["name"] for item in objects}


_REFERENCES = (("gateways", "transforms", "transforms"), ("tunnels", "proposals", "proposals"),
               ("tunnels", "gateway", "gateways"))
"""Which objects refer by which field to which others."""


def _hold_to_references(data: Mapping[str, Any], gone: Mapping[str, set[str]]) -> None:
    """Raises ConfigureError where what is left refers to what is gone."""
    for kind, field, to in _REFERENCES:
        for item in data.get(kind, []):
            named = item.get(field) or []
            for name in [named] if isinstance(named, str) else named:
                if name in gone.get(to, ()):
                    raise ConfigureError(f"{to}[{name}] cannot go: {kind}[{item['name']}].{field} names it. Take "
                                         f"{kind}[{item['name']}] out too, or change its {field} first")
    for name in data.get("shared_transforms") or []:
        if name in gone.get("transforms", ()):
            raise ConfigureError(f"transforms[{name}] cannot go: shared_transforms names it. Change that first")


def rekey(secrets: Mapping[Any, Any]) -> Edit:
    """Give gateways that stand there, and that the secrets name, their keys.

    What names no gateway may be a key in the wrong place, so it is told by its position.
    """

    def edit(data: dict[str, Any]) -> None:
        gateways = {gateway.get("name"): index for index, gateway in enumerate(data.get("gateways", []))}
        for position, (label, key) in enumerate(secrets.items(), 1):
            name = str(label)
            if name not in gateways:
                near = nearest(name, map(str, gateways))
                raise ConfigureError(f"secrets names, as number {position}, a gateway that is not declared. "
                                     + (f"Did you mean {near}? Write it, or declare the gateway" if near
                                        else "Declare the gateway, or remove the key"))
            if not key or (isinstance(key, Mapping) and not any(part or part == [] for part in key.values())):
                raise ConfigureError(f"secrets[{name}] is empty: a gateway's key has at least one character. Set it, "
                                     "or leave the gateway out")
            data["gateways"][gateways[name]] = with_key(data["gateways"][gateways[name]], key)

    return edit


def steps(given: Mapping[Any, Any]) -> dict[str, Step]:
    """The step that a task names for each gateway, by its name. Raises ConfigureError."""
    misfits = Misfits("")
    names = [str(name) for name in given]
    fields = Fields(dict(zip(names, given.values(), strict=True)), "rotation", names, misfits)
    found = {name: fields.take(name, choice(Step), Step.ACCEPT) for name in names}
    if misfits.findings:
        raise ConfigureError("\n".join(map(str, misfits.findings)))
    return found


def in_turn(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(data: dict[str, Any]) -> None:
        for one in edits:
            one(data)

    return edit


def gathered(declared: Declared) -> dict[str, Any]:
    """The declaration in the form in which a task gives it."""
    return {name: value for name, value in declared.declaration.items() if name != "version"}


def _stored(store: Store, rebuild: bool) -> tuple[Declared, list[str]]:
    try:
        before = store.load()
        _hold_to_types(store, before)
        if rebuild and before:
            declaration.read(before.declaration, secrets=before.secrets)
        return before, []
    except (StoreError, DeclarationError) as error:
        if not rebuild:
            raise ConfigureError(str(error)) from None
        return Declared(), [f"the host's declaration was not readable and is written anew: {error}"]


def _hold_to_types(store: Store, declared: Declared) -> None:
    """Raises StoreError where a field is not even of its type, so that no edit can build on it."""
    try:
        if declared.declaration:
            declaration.read(declared.declaration)
    except DeclarationError as error:
        damaged = [finding.message for finding in error.findings if finding.code == "declaration-wrong-type"]
        if damaged:
            raise StoreError(f"{store.declaration} is damaged; {MEND}. {damaged[0]}") from None


def _edited(before: Declared, edit: Edit, site_name: str) -> tuple[Declared, list[str]]:
    """What the edit makes of it, and what is weak in that and was not there before."""
    data = copy.deepcopy(dict(before.declaration))
    edit(data)
    if not data:
        return before, []
    try:
        side = rules.sound(declaration.read(data, secrets=before.secrets, site_name=site_name or None))
    except DeclarationError as error:
        raise ConfigureError(str(error), [finding.as_dict() for finding in error.findings]) from None
    known = _warnings(before, site_name)
    weak = [finding.message for finding in rules.by_itself(side) if finding.message not in known]
    return Declared(*declaration.write(side)), weak


def _hold_to_gateways(rotation: Mapping[str, Step], declared: Declared) -> None:
    """Raises ConfigureError where a step is named for what is no gateway."""
    known = [gateway["name"] for gateway in declared.declaration.get("gateways", [])]
    for name, step in rotation.items():
        if name not in known:
            near = nearest(name, known)
            raise ConfigureError(f"rotation.{name} is '{step.value}': no gateway of that name is declared. "
                                 + (f"Did you mean {near}? Write {near}" if near else
                                    f"Write {' or '.join(known[:_MOST_NAMED])}" if known else "Leave it out"))


def _in_steps(before: Declared, after: Declared,
              rotation: Mapping[str, Step]) -> tuple[Declared, dict[str, str], list[str]]:
    """What is to be declared with each credential that changes as far as its gateway may go, how far that is, and which
    of them could change at once. Raises ConfigureError."""
    wanted = declaration.read(after.declaration, secrets=after.secrets)
    try:
        held = {gateway.name: gateway.credential
                for gateway in declaration.read(before.declaration, secrets=before.secrets).gateways}
    except DeclarationError as error:
        raise ConfigureError(str(error), [finding.as_dict() for finding in error.findings]) from None
    gateways, stages, at_once = list[Gateway](), dict[str, str](), list[str]()
    for gateway in wanted.gateways:
        credential = gateway.credential
        if gateway.name in held:
            credential = towards(held[gateway.name], gateway.credential, rotation.get(gateway.name, Step.ACCEPT))
        if len(credential.also_accepted) > declaration.MOST_ALSO_ACCEPTED:
            raise ConfigureError(f"gateways[{gateway.name}].credential has been changed "
                                 f"{declaration.MOST_ALSO_ACCEPTED} times without the other end's: play both ends "
                                 "together before it changes again")
        if credential != gateway.credential:
            stages[gateway.name] = stage(credential, gateway.credential).value
            at_once += [] if waits_for_peer(held[gateway.name], gateway.credential) else [gateway.name]
        gateways.append(dataclasses.replace(gateway, credential=credential))
    return Declared(*declaration.write(dataclasses.replace(wanted, gateways=tuple(gateways)))), stages, at_once


def _are_in_force(before: Declared, after: Declared, socket: str) -> bool:
    """Whether it was only the files that had other keys: somebody edited them, and no peer has ever seen those."""
    if before.secrets == after.secrets:
        return False
    challenge = token_hex(32)
    try:
        running = control.request("status", path=socket, challenge=challenge)["daemon"]
    except control.ControlError:
        return False
    return bool(running.get("keys_digest") == declaration.keyed_digest(
        _for_the_daemon(after).secrets, bytes.fromhex(challenge)))


def _warnings(declared: Declared, site_name: str) -> set[str]:
    try:
        side = declaration.read(declared.declaration, secrets=declared.secrets, site_name=site_name or None)
    except DeclarationError:
        return set()
    return {finding.message for finding in rules.by_itself(side)}


def _save(store: Store, declared: Declared) -> None:
    try:
        store.save(declared)
    except StoreError as error:
        raise ConfigureError(f"the old declaration stays in force: {error}") from None


def _restore(store: Store, files: Mapping[Path, bytes], refusal: control.ControlError) -> None:
    try:
        store.restore(files)
    except StoreError as error:
        raise ConfigureError("ikeengine did not take the new declaration and runs the old one, but the new one stays "
                             f"in the files, because the old one cannot be put back: {error}. It was not taken "
                             f"because: {refusal}", refusal.findings) from None


def departures(declared: Declared, socket: str = control.PATH) -> list[str]:
    """In what a running daemon departs from the files, as sentences. Raises ControlError.

    The daemon shows that it has the same keys by their digest under a challenge, which tells nobody anything later.
    """
    wanted = _for_the_daemon(declared)
    challenge = token_hex(32)
    running = control.request("status", path=socket, challenge=challenge)["daemon"]
    found = []
    if running.get("declaration_digest") != declaration.digest(wanted.declaration):
        found.append("the daemon runs another declaration than the file on the host")
    if running.get("keys_digest") != declaration.keyed_digest(wanted.secrets, bytes.fromhex(challenge)):
        found.append("the daemon has other keys than the file on the host")
    return found


def _mend(check_mode: bool, socket: str) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """Have the daemon bring back what somebody changed by hand outside the files, and say what that was, by what it is;
    and why it could not."""
    try:
        answer = control.request("audit" if check_mode else "mend", path=socket)
    except control.ControlError as error:
        if error.code == "unknown_command":  # a daemon that is yet to be replaced
            return {}, []
        return {}, [f"ikeengine cannot mend what somebody may have changed by hand: {error}"]
    return {row["what"]: row for row in answer["departures" if check_mode else "mended"]}, []


def _for_the_daemon(declared: Declared) -> Declared:
    """What stands in the files, or what their absence means."""
    return Declared(declared.declaration or {"version": declaration.VERSION},
                    declared.secrets or {"version": declaration.VERSION, "gateways": {}})


def _load_into_daemon(after: Declared, changed: bool, check_mode: bool, socket: str) -> str | None:
    """Have a running daemon use the declaration where it does not yet; None where it does.

    Else in what it departed where only the daemon did: somebody edited the files by hand. Raises ControlError.
    """
    departed = departures(after, socket)
    if not departed and not changed:
        return None
    if not check_mode:
        wanted = _for_the_daemon(after)
        try:
            control.request("reload", path=socket, declaration=dict(wanted.declaration), secrets=dict(wanted.secrets))
        except control.ControlError as error:
            if error.code != "timeout" or departures(after, socket):  # else it took it, and was only late to say so
                raise
    return "" if changed else "; ".join(departed)


def _given(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a task says, without options that were not given."""
    found: dict[str, Any] = _without_none(_named(value))
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, list) else value


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """With names as the host has them, also those that YAML takes for numbers."""
    return {kind: [{field: _name(part) if field in ("name", "gateway") else part for field, part in item.items()}
                   if isinstance(item, Mapping) else item for item in value]
            if kind in LISTS and isinstance(value, list) else value for kind, value in given.items()}


def _name(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _by_name(existing: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]],
             join: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The existing objects, each joined with its namesake among the given ones, and those that are new."""
    new = {item.get("name"): item for item in given}
    if len(new) < len(given):
        return [*existing, *given]  # which the declaration's reader refuses, naming the double
    joined = [join(item, new.pop(item["name"])) if item.get("name") in new else item for item in existing]
    return [*joined, *new.values()]


def _merged_proposal(existing: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """With what stood beside the old encryption and cannot stand beside the new one left out."""
    merged = _merged(existing, given)
    if "authentication" not in given and _is_aead(given.get("encryption")):
        merged.pop("authentication", None)
    if "encryption" not in given and str(given.get("protocol")).upper() == "AH":
        merged.pop("encryption", None)
    return merged


def _is_aead(name: Any) -> bool:
    try:
        return algorithms.encryption(str(name)).aead
    except KeyError:
        return False


def _merged(existing: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**existing}
    for key, value in given.items():
        both = isinstance(value, Mapping) and isinstance(existing.get(key), Mapping)
        merged[key] = _merged(existing[key], value) if both else value
    return merged


__all__ = ["LISTS", "ConfigureError", "converge", "departures", "gathered", "in_turn", "merge", "override", "rekey",
           "replace", "steps", "take_out"]
