# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the keys out of the gateways before they travel, so that no option but a hidden one ever holds them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.credentials import MalformedCredential, apart, inlined
from ..module_utils.vpn import declaration, rules
from ..plugin_utils.sides import FIELDS

_OPTIONS = {*FIELDS, "secrets", "state"}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        unknown = sorted(arguments.keys() - _OPTIONS)  # which Ansible would show with what is in them
        if unknown:
            return result | {"failed": True, "msg": f"ipsec_config has no option {', '.join(unknown)}. Remove it, or "
                                                    f"write one of {', '.join(sorted(_OPTIONS))}"}
        site = {"name": (task_vars or {})["inventory_hostname"]}
        if arguments.get("gateways") is not None:
            try:
                gateways, keys = apart(arguments["gateways"])
            except MalformedCredential as error:
                return result | {"failed": True, "msg": str(error)}
            arguments |= {"gateways": gateways, "secrets": {**(arguments.get("secrets") or {}), **keys}}
        if arguments.get("state") == "rendered":
            return result | self._rendered(arguments, site)
        if arguments.get("site") is None and arguments.get("state") not in ("deleted", "gathered"):
            arguments["site"] = site
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)

    @staticmethod
    def _rendered(arguments: dict[str, Any], site: dict[str, str]) -> dict[str, Any]:
        """What the options make, without a host."""
        given = {name: arguments[name] for name in FIELDS if arguments.get(name) is not None}
        if "gateways" in given:
            given["gateways"] = inlined(given["gateways"], arguments["secrets"])
        try:
            side = rules.sound(declaration.read({"site": site} | given))
        except declaration.DeclarationError as error:
            return {"failed": True, "msg": str(error), "findings": [finding.as_dict() for finding in error.findings]}
        made, _keys = declaration.write(side)
        return {"changed": False, "rendered": {name: value for name, value in made.items() if name != "version"}}
