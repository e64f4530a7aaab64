# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of tasks that run on the controller.

Ansible takes a list where text belongs for the text ``['x']``, and names the types of its own insides where it takes
none. So what is given is held against the argument spec first, in the words that a declaration is read in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.validation import check_type_bool, check_type_dict, check_type_list
from ansible.plugins.action import ActionBase

from ..module_utils.vpn import reading
from ..module_utils.vpn.reading import Fields, Misfit, Misfits
from .vaulted import decrypted

Spec = Mapping[str, Mapping[str, Any]]


def given(action: ActionBase, spec: Spec) -> dict[str, Any]:
    """The options of an action's task, as the argument spec has them. Raises AnsibleError."""
    task = action._task
    task.args = {name: value for name, value in decrypted(dict(task.args)).items() if value is not None}
    check(task.args, spec)
    _validated, options = action.validate_argument_spec(spec)
    return dict(options)


def check(arguments: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """The options in the types of the spec, None where they are not given; elements of lists as they are given.

    Raises AnsibleError that names every option that is unknown, missing or of the wrong type.
    """
    misfits = Misfits("")
    read = _check_all(arguments, spec, "", misfits)
    _raise(misfits)
    return read


def hosts(wanted: Iterable[str], groups: Mapping[str, Iterable[str]], known: Collection[str]) -> list[str]:
    """The hosts that have these names or are in groups of these names, each once, in the inventory's order.

    ``known`` has all hosts, and may have such as are in no group. Raises AnsibleError that names every other.
    """
    found: set[str] = set()
    names = list(dict.fromkeys([*groups, *groups["all"]]))
    misfits = Misfits("")
    for index, name in enumerate(wanted):
        if name not in groups and name not in known:
            misfits.add(f"hosts[{index}]", Misfit("the inventory has no host and no group of that name",
                                                  instead(name, names), code="unknown-reference"),
                        f"is {reading.shown(name)}")
        found.update(groups.get(name, ()), [name] if name in known else ())
    _raise(misfits)
    ordered = [host for host in groups["all"] if host in found]
    return ordered + sorted(found.difference(ordered))


def instead(word: str, known: Sequence[str]) -> str:
    """What to write for a name that is none of the known ones, without a period."""
    near = reading.nearest(word, known)
    if near or not known:
        return f"Did you mean {near}? Write {near}" if near else f"There is none: declare {word} first"
    return f"Write one of {reading.some(known)}"


def _raise(misfits: Misfits) -> None:
    if misfits.findings:
        raise AnsibleError("\n".join(map(str, misfits.findings)))


def _check_all(arguments: Mapping[str, Any], spec: Spec, path: str, misfits: Misfits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    fields = Fields(arguments, path, list(spec), misfits)
    for name, option in spec.items():
        kind, required = option["type"], bool(option.get("required"))
        found[name] = fields.take(name, _parser(option, kind), None, required=required)
        for index, element in enumerate(found[name] or ()) if kind == "list" else ():
            at = f"{name}[{index}]"
            try:
                inner = _parser(option, option["elements"])(element)
            except Misfit as misfit:
                fields.report(at, misfit, element)
                continue
            if "options" in option:
                _check_all(inner, option["options"], f"{path}.{at}" if path else at, misfits)
    return found


def _parser(option: Mapping[str, Any], kind: str) -> Callable[[object], Any]:
    """Of what Ansible takes for that kind of option, as far as it means something. It raises Misfit."""

    def read(value: object) -> Any:
        if value is None:
            raise Misfit("a value is needed here", "Write one, or remove it", state="is empty")
        try:
            found = _PARSERS[kind](value)
        except Misfit as misfit:
            raise _of_names(misfit, *option["by_name"]) if "by_name" in option else misfit from None
        if "choices" in option and found not in option["choices"]:
            raise Misfit(f"it is none of {', '.join(option['choices'])}", instead(found, option["choices"]))
        return found

    return read


def _of_names(misfit: Misfit, whose: str, what: str) -> Misfit:
    """The same of a mapping whose keys are no fields but names."""
    return Misfit(f"a mapping of {whose}' names to their {what} is needed here", f"Write it as names with {what}",
                  code=misfit.code, state=misfit.state)


def _text(value: object) -> str:
    return reading.text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _flag(value: object) -> bool:
    try:
        return bool(check_type_bool(value))
    except TypeError:
        raise Misfit("it is neither yes nor no", "Write true or false") from None


def _list(value: object) -> Iterable[Any]:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return list(check_type_list(value))  # separated by commas
    return reading.sequence(value)


def _mapping(value: object) -> Mapping[Any, Any]:
    try:
        return dict(check_type_dict(value))  # also out of JSON
    except TypeError:
        return reading.mapping(value)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {"str": _text, "path": _text, "bool": _flag, "list": _list,
                                                "dict": _mapping}
