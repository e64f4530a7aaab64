# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the documentation, and the options that they use."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, nodes

from tests.integration.conftest import BIN
from tests.testbed import CHECKOUT

COLLECTION = "tandem.vpn"
#: What a module's own action plugin fills in is not for users, so that no example has it.
INTERNAL = "the action plugin sets it"


def plugins(kind: str) -> list[str]:
    """The full names of all plugins of a kind, ``module``, ``filter`` or ``lookup``."""
    folder = CHECKOUT / "plugins" / ("modules" if kind == "module" else kind)
    return sorted({f"{COLLECTION}.{path.stem}" for path in folder.glob("*") if path.suffix in {".py", ".yml"}
                   and not path.stem.startswith("_")})


@cache
def documentation(kind: str) -> dict[str, dict[str, Any]]:
    """What ansible-doc knows of each plugin of a kind: ``doc`` and ``examples``."""
    names = plugins(kind)
    if not names:
        return {}
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "dev")}
    done = subprocess.run([str(BIN / "ansible-doc"), "--type", kind, "--json", *names], env=environment, check=True,
                          capture_output=True, text=True, timeout=120)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def tasks(kind: str, name: str) -> list[dict[str, Any]]:
    """The EXAMPLES block of a plugin."""
    return yaml.safe_load(documentation(kind)[name]["examples"]) or []


def documented(kind: str, name: str) -> set[str]:
    """The options of a plugin and, with a dot, their suboptions."""
    return set(_options(documentation(kind)[name]["doc"].get("options") or {}))


def _options(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        if INTERNAL not in str(option["description"]):
            yield prefix + name
            yield from _options(option.get("suboptions") or {}, f"{prefix}{name}.")


def used(kind: str, name: str) -> set[str]:
    """The options that a plugin's own examples give."""
    if kind == "module":
        return {path for task in _flat(tasks(kind, name)) for path in _given(task.get(name) or {})}
    positional = documentation(kind)[name]["doc"].get("positional") or []
    order = [word.strip() for word in positional.split(",")] if isinstance(positional, str) else list(positional)
    return {option for text in _texts(tasks(kind, name)) for option in _called(text, name, order)}


def _flat(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in listed:
        yield task
        for part in ("block", "rescue", "always", "tasks"):
            yield from _flat(task.get(part) or [])


def _given(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield prefix + name
            yield from _given(inner, f"{prefix}{name}.")
    elif isinstance(value, list):
        for element in value:
            yield from _given(element, prefix)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value if "{{" in value else f"{{{{ {value} }}}}"
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _called(text: str, name: str, order: list[str]) -> Iterator[str]:
    """The options that an expression gives to a filter or lookup of that name."""
    if name not in text:
        return
    for call in Environment().parse(text).find_all((nodes.Filter, nodes.Call)):
        if isinstance(call, nodes.Filter) and call.name == name:
            yield from ["_input", *order[1:][:len(call.args)]]
        elif call.args and isinstance(call.args[0], nodes.Const) and call.args[0].value == name:
            yield from ["_terms"] * (len(call.args) > 1)
        else:
            continue
        yield from (keyword.key for keyword in call.kwargs)


def role_options(role: str) -> set[str]:
    """The options that a role's argument spec documents."""
    specs = yaml.safe_load((CHECKOUT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    return set(specs["argument_specs"]["main"]["options"])


def snippets(page: Path) -> list[Any]:
    """The blocks of YAML of a page of Markdown: lists of plays, and mappings of variables."""
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)]


def variables(snippet: Any) -> set[str]:
    """The names of all variables that a snippet sets."""
    if isinstance(snippet, list):
        return {name for play in snippet for role in play.get("roles", []) if isinstance(role, dict)
                for name in role.get("vars", {})} | {name for play in snippet for name in play.get("vars", {})}
    return set(snippet)
