# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses a gateway of the wrong shape on the controller: Ansible would print it, and the host log it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.arguments import GATEWAY
from ..module_utils.credentials import MalformedGateway, check, check_options
from ..plugin_utils.vaulted import decrypted


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = decrypted(dict(self._task.args))
        try:
            check_options("ipsec_gateway", arguments, GATEWAY)
            check({field: value for field, value in arguments.items() if field != "state"}, "")
        except MalformedGateway as error:
            return result | {"failed": True, "msg": str(error)}
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)
