# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in the inventory's files a declaration is written, as far as Ansible remembers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ..module_utils.vpn.report import Position

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # before ansible-core 2.19
    Origin = None

FLEET = "ipsec_fleet"
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


class Origins:
    """Finds the lines of declarations by host, for findings that name their sites.

    ``fleet`` gives the fleet's definition as it is written, or None; it is called once, and only if needed.
    """

    def __init__(self, declarations: Mapping[str, Any], fleet: Callable[[], object] = lambda: None) -> None:
        self._of_site = {_site(str(host), fields): fields for host, fields in declarations.items()}
        self._find_fleet = fleet

    @cached_property
    def _fleet(self) -> Mapping[str, object]:
        return {FLEET: self._find_fleet()}

    def locate(self, site: str, path: str) -> Position | None:
        """The nearest to that path in the site's declaration that Ansible knows a place of.

        What a fleet's definition makes of a site stands where it has the site; without a site the path is the fleet's.
        """
        if not site:
            return _locate(self._fleet, path)
        return _locate(self._of_site.get(site), path) or _locate(self._fleet, f"{FLEET}.sites[{site}]", deep=3)


def _locate(here: object, path: str, deep: int = 1) -> Position | None:
    """The nearest place to that path, no fewer than ``deep`` steps into it."""
    if not isinstance(here, Mapping):
        return None
    found = None
    for depth, (label, field) in enumerate(_STEP.findall(path) or [("", name) for name in here][:1], 1):
        key, here = _element(here, label) if label else _field(here, field)
        if here is None:
            break
        if depth >= deep:
            found = _written(key) or _written(here) or _first(here) or found
    return found


def _site(host: str, fields: object) -> str:
    site = fields.get("site") if isinstance(fields, Mapping) else None
    name = site.get("name") if isinstance(site, Mapping) else None
    return name if isinstance(name, str) else host


def _field(mapping: object, name: str) -> tuple[object, object]:
    """The key as it was written, which knows its line where a value from elsewhere does not; and the value."""
    if not isinstance(mapping, Mapping):
        return None, None
    return next(((key, value) for key, value in mapping.items() if str(key) == name), (None, None))


def _element(elements: object, label: str) -> tuple[object, object]:
    """The element of a list with that name, or at that index; of a mapping with that key."""
    if isinstance(elements, Mapping):
        return _field(elements, label)
    if not isinstance(elements, Sequence) or isinstance(elements, str):
        return None, None
    for element in elements:
        if isinstance(element, Mapping) and str(element.get("name")) == label:
            return None, element
    index = int(label) if label.isdecimal() else len(elements)
    return None, elements[index] if index < len(elements) else None


def _first(value: object) -> Position | None:
    """Where the first thing in it is written: older releases of ansible-core forget where a list begins."""
    while isinstance(value, (Mapping, list, tuple)) and value:
        first = next(iter(value))
        if found := _written(first):
            return found
        value = first if not isinstance(value, Mapping) else value[first]
    return None


def _written(value: object) -> Position | None:
    if Origin is not None:
        origin = Origin.get_tag(value)
        if origin is None or not origin.path or not origin.line_num:
            return None
        return Position(_from_checkout(origin.path), origin.line_num, origin.col_num or 1)
    file, line, column = getattr(value, "ansible_pos", (None, 0, 0))
    return Position(_from_checkout(str(file)), line, column) if file and line else None


@cache
def _from_checkout(file: str) -> str:
    """The file's name from the root of the checkout that holds it, as forges name files; absolute where none does."""
    path = Path(file)
    root = next((folder for folder in path.parents if (folder / ".git").exists()), None)
    return str(path.relative_to(root)) if root else str(path)
