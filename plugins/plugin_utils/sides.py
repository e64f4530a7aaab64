# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of all tunnels, read on the controller from the inventory's variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils.vpn import declaration, rules
from ..module_utils.vpn.declaration import DeclarationError
from ..module_utils.vpn.findings import Finding
from ..module_utils.vpn.model import Side

FIELDS = ("site", "transforms", "proposals", "gateways", "tunnels")


def declared(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each host's ``ipsec_*`` variables declare; hosts that declare nothing are left out.

    Raises AnsibleError, naming host and variable, where a variable cannot be templated.
    """
    found = {host: _of(hostvars, host) for host in hosts}
    return {host: fields for host, fields in found.items() if fields}


def _of(hostvars: Mapping[str, Any], host: str) -> dict[str, Any]:
    variables = hostvars[host]
    fields = {}
    for field in FIELDS:
        name = f"ipsec_{field}"
        if name not in variables:
            continue
        try:
            fields[field] = variables[name]
        except Exception as error:  # templating raises whatever a template raises
            raise AnsibleError(f"{host}: {name} cannot be templated: {error}") from error
    return fields


def read(declarations: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Side], list[Finding]]:
    """The sides by host, and what is wrong with those that cannot be read."""
    sides, findings = {}, []
    for host, fields in declarations.items():
        try:
            sides[host] = declaration.read(fields, site_name=host)
        except DeclarationError as error:
            findings.extend(error.findings)
    return sides, findings


def judge(declarations: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Everything that is wrong with the sides, each alone and then against each other."""
    sides, findings = read(declarations)
    return findings or list(rules.validate(list(sides.values())).findings)
