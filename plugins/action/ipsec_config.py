# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the keys out of the gateways before they travel, so that no option but a hidden one ever holds them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.credentials import MalformedCredential, apart


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("gateways") is not None:
            try:
                gateways, keys = apart(arguments["gateways"])
            except MalformedCredential as error:
                return result | {"failed": True, "msg": str(error)}
            arguments |= {"gateways": gateways, "secrets": {**(arguments.get("secrets") or {}), **keys}}
        if arguments.get("site") is None and arguments.get("state") != "absent":
            arguments["site"] = {"name": (task_vars or {})["inventory_hostname"]}
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)
