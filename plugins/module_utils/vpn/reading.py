# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a declaration's fields apart, one at a time, and remembers every one that does not fit.

Nothing here raises for what an operator wrote: each misfit becomes a finding with the field's path, and reading goes
on with a stand-in, so that one run names all errors.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import TypeVar

from .findings import Finding, Severity

_T = TypeVar("_T")
_D = TypeVar("_D")
_E = TypeVar("_E", bound=Enum)
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII)
_MEANT = dict.fromkeys(("presharedkey", "sharedkey", "sharedsecret", "secret", "key"), "psk")
"""What people call a field that has another name, in small letters only."""
_TRUE = frozenset({"yes", "true", "on", "1"})
_FALSE = frozenset({"no", "false", "off", "0"})
_MOST_NAMED = 10

CODES = {
    "declaration-duplicate-name": "Names are unique in their list",
    "declaration-invalid-value": "Every field has a value that it can take",
    "declaration-joined-twice": "Two sites of a fleet are joined once",
    "declaration-missing-field": "Every required field is set",
    "declaration-unknown-field": "Every field is one that the language has",
    "declaration-unknown-reference": "What is referred to by name is declared",
    "declaration-wrong-type": "Every field has a value of its type",
}
"""What is held against each field while it is read, all of them errors; the book of rules begins after that."""


class Misfit(ValueError):
    """A value that a field cannot take. ``state`` says what is there where the value itself must not be shown."""

    def __init__(self, rule: str, fix: str, *, code: str = "invalid-value", state: str = "") -> None:
        super().__init__(rule)
        self.rule, self.fix, self.code, self.state = rule, fix, code, state


class Misfits:
    """All misfits of one declaration, as findings in the order of reading."""

    def __init__(self, site: str) -> None:
        self.findings: list[Finding] = []
        self._sites = (site,) if site else ()

    def add(self, path: str, misfit: Misfit, state: str) -> None:
        self.findings.append(Finding(f"declaration-{misfit.code}", Severity.ERROR, path, state, "", misfit.rule,
                                     misfit.fix, sites=self._sites, paths=(path,) * len(self._sites),
                                     left_path=path))


class Fields:
    """One mapping of a declaration and the path to it.

    With ``hidden`` no value of it and no unknown field is ever quoted. Elsewhere, too, what does not look like the name
    of a field is not: ``{psk:secret}`` is a field to YAML.
    """

    def __init__(self, data: object, path: str, known: Sequence[str], misfits: Misfits, hidden: bool = False) -> None:
        self.path, self._misfits, self._hidden = path, misfits, hidden
        self._data: dict[object, object] = {}
        try:
            given = mapping(data)
        except Misfit as misfit:
            misfits.add(path, misfit, misfit.state)
            self._sound = False
            return
        self._sound = True
        for position, (key, value) in enumerate(given.items(), 1):
            if key not in known:
                self._unknown(position, key, known)
            elif value is not None:
                self._data[key] = value

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def take(self, name: str, parse: Callable[[object], _T], otherwise: _D, *, required: bool = False) -> _T | _D:
        """The field's value, or ``otherwise`` where it is absent or does not fit; a misfit is remembered."""
        if name not in self._data:
            if required and self._sound:
                self.report(name, Misfit("this field is required", f"Set {name}", code="missing-field",
                                         state="is missing"))
            return otherwise
        try:
            return parse(self._data[name])
        except Misfit as misfit:
            self.report(name, misfit, self._data[name])
            return otherwise

    def without(self, names: Iterable[str]) -> Fields:
        """The same but for these; ``section.field`` is a field in a section."""
        rest = copy.copy(self)
        rest._data = dict(self._data)
        for name in names:
            outer, dot, inner = name.partition(".")
            given = rest._data.get(outer)
            if not dot:
                rest._data.pop(outer, None)
            elif isinstance(given, Mapping):
                rest._data[outer] = {field: value for field, value in given.items() if field != inner}
        return rest

    def section(self, name: str, known: Sequence[str], *, hidden: bool = False) -> Fields:
        """The mapping under that name; an empty one where it is absent or no mapping."""
        return Fields(self._data.get(name, {}), self._at(name), known, self._misfits, hidden or self._hidden)

    def sections(self, name: str, known: Sequence[str], *, named: bool = True,
                 required: bool = False) -> Iterator[Fields]:
        """Each mapping of the list under that name. Where they are ``named``, a name stands only once and in paths."""
        seen: set[str] = set()
        for index, element in enumerate(self.listed(name, required=required)):
            path = f"{self._at(name)}[{index}]"
            label = element.get("name") if named and isinstance(element, Mapping) else None
            if isinstance(label, (str, int)) and NAME.fullmatch(str(label)):
                path = f"{self._at(name)}[{label}]"
                if str(label) in seen:
                    self._misfits.add(path, Misfit("names are unique in their list", "Rename one of the two",
                                                   code="duplicate-name"), "is declared twice")
                seen.add(str(label))
            yield Fields(element, path, known, self._misfits, self._hidden)

    def each(self, name: str, parse: Callable[[object], _T], *, required: bool = False) -> tuple[_T, ...]:
        """Every element that fits of the list under that name; the others are remembered."""
        fitting: list[_T] = []
        for index, element in enumerate(self.listed(name, required=required)):
            try:
                fitting.append(parse(element))
            except Misfit as misfit:
                self.report(f"{name}[{index}]", misfit, element)
        return tuple(fitting)

    def listed(self, name: str, *, required: bool = False) -> Sequence[object]:
        """The list under that name, not empty where it is ``required``."""
        elements = self.take(name, sequence, None, required=required)
        if elements is not None and not elements and required:
            self.report(name, Misfit("at least one is required", f"Add an entry to {name}", state="is empty"))
        return elements or ()

    def report(self, name: str, misfit: Misfit, value: object = None) -> None:
        state = misfit.state or ("is not valid" if self._hidden else f"is {shown(value)}")
        self._misfits.add(self._at(name), misfit, state)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _unknown(self, position: int, key: object, known: Sequence[str]) -> None:
        near = _meant(re.split("[:=]", key[:64])[0], known) if isinstance(key, str) else None
        if is_field(key) and not self._hidden:
            path, state = self._at(str(key)), "is unknown"
            fix = f"Did you mean {near}? Write {near} or remove it" if near else f"Remove {shown(key)}"
        else:
            path, state = self.path, f"has an unknown field, number {position}"
            fix = f"Did you mean {near}? Write {near}" if near else "Remove the field that is none of them"
            fix += ", or put a space after its colon" if ":" in str(key) else ""
        self._misfits.add(path, Misfit(f"the fields here are {', '.join(known)}", fix, code="unknown-field"), state)


def is_field(key: object) -> bool:
    """Whether it looks like the name of a field, and may be shown as one."""
    return isinstance(key, str) and _FIELD.fullmatch(key) is not None


def _meant(word: str, known: Sequence[str]) -> str | None:
    """The known field that somebody who wrote ``word`` most likely meant."""
    meant = _MEANT.get(re.sub("[_-]", "", word).lower())
    return meant if meant in known else nearest(word, known)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that somebody who wrote ``word`` most likely meant."""
    folded = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(word.lower(), folded, n=1)
    return folded[matches[0]] if matches else None


def some(names: Iterable[str]) -> str:
    """The first of the names, as a message has them."""
    first = list(islice(names, _MOST_NAMED + 1))
    return ", ".join(first[:_MOST_NAMED] + ["..."] * (len(first) > _MOST_NAMED))


def unknown_name(word: str, known: Collection[str], what: str, declare: str = "declare") -> Misfit:
    """For a name that refers to none of those that are ``known``."""
    near = nearest(word, known)
    fix = f"Did you mean {near}? Write it" if near else f"Write {'one of ' if len(known) > 1 else ''}{some(known)}"
    return Misfit(f"no {what} of that name is {declare}d",
                  f"{fix}, or {declare} {word}" if known else f"{declare.capitalize()} {word}",
                  code="unknown-reference")


def shown(value: object) -> str:
    """A value as an error message quotes it: short, and the kind only where it is no scalar."""
    if isinstance(value, (str, int, float)):
        text = repr(str(value)) if isinstance(value, str) else str(value)
        return text if len(text) <= 66 else f"{text[:60]}...'"
    return _kind(value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else f"a {type(value).__name__}"


def mapping(value: object) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return value
    raise Misfit("a mapping of fields is needed here", "Write it as fields with values", code="wrong-type",
                 state=f"is {_kind(value)}")


def sequence(value: object) -> Sequence[object]:
    if isinstance(value, (list, tuple)):
        return value
    raise Misfit("a list is needed here", "Write it as a list", code="wrong-type", state=f"is {_kind(value)}")


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Misfit("text is needed here", "Write it as text, in quotes", code="wrong-type",
                     state=f"is {_kind(value)}")
    if not value.strip():
        raise Misfit("text is needed here", "Write a value", state="is empty")
    return value.strip()


def name(value: object) -> str:
    label = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    if not NAME.fullmatch(label):
        raise Misfit("a name has 1 to 64 of the characters A-Z a-z 0-9 . _ -", "Choose such a name")
    return label


def flag(value: object) -> bool:
    folded = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if folded not in _TRUE | _FALSE:
        raise Misfit("it is neither yes nor no", "Write true or false")
    return folded in _TRUE


def number(low: int, high: int) -> Callable[[object], int]:
    """A parser of whole numbers from ``low`` to ``high``, also in text form."""
    return measured(int, low, high, str, "a whole number")


def measured(parse: Callable[[str | int], int], low: int, high: int, form: Callable[[int], str],
             what: str) -> Callable[[object], int]:
    """A parser of amounts that ``parse`` reads and ``form`` writes, from ``low`` to ``high``."""

    def read(value: object) -> int:
        fix = f"Write {what} from {form(low)} to {form(high)}"
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise Misfit(f"{what} is needed here", fix, code="wrong-type")
        try:
            amount = parse(value)
        except ValueError as error:
            reason = f"{what} is needed here" if parse is int else str(error)
            raise Misfit(reason, fix) from None
        if not low <= amount <= high:
            raise Misfit(f"it is not between {form(low)} and {form(high)}", fix)
        return amount

    return read


def choice(kind: type[_E], word: Callable[[_E], object] = lambda member: member.value) -> Callable[[object], _E]:
    """A parser of one member of an enumeration, by its ``word``."""
    words = {str(word(member)): member for member in kind}
    folded = {text.lower(): member for text, member in words.items()}

    def read(value: object) -> _E:
        given = str(value).strip().lower().replace("_", "-")
        if given not in folded:
            near = nearest(given, words)
            raise Misfit(f"it is none of {', '.join(words)}",
                         f"Write {near}" if near else f"Write one of {', '.join(words)}")
        return folded[given]

    return read


def or_none(parse: Callable[[object], _T]) -> Callable[[object], _T | None]:
    """The same parser, to which the word ``none`` means None."""
    return lambda value: None if isinstance(value, str) and value.strip().lower() == "none" else parse(value)


def row(lookup: Callable[[str], _T], names: Sequence[str], what: str,
        weak: Sequence[str] = ()) -> Callable[[object], _T]:
    """A parser of a table's row by name; ``lookup`` raises KeyError. Nobody is told to write one of the ``weak``."""
    any_of = f"Write one of {', '.join(names)}" + (f", or, though weak, one of {', '.join(weak)}" if weak else "")

    def read(value: object) -> _T:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise Misfit(f"it is no {what}", any_of, code="wrong-type")
        given = str(value)
        try:
            return lookup(given)
        except KeyError:
            near = None if given.isdecimal() else nearest(given, names)  # that numbers look alike means nothing
            raise Misfit(f"it is no {what}", f"Write {near}" if near else any_of) from None

    return read


def sentence(parse: Callable[[str], _T], fix: str) -> Callable[[object], _T]:
    """A parser of text by a function whose ValueError says what is wrong."""

    def read(value: object) -> _T:
        try:
            return parse(text(value))
        except Misfit:
            raise
        except ValueError as error:
            raise Misfit(str(error), fix) from None

    return read
