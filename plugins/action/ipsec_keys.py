# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the keys of fleets on the controller, where they stay."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import sides


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec({"hosts": {"type": "list", "elements": "str"}})
        variables = task_vars or {}
        hosts = variables["ansible_play_hosts_all"] if options["hosts"] is None else options["hosts"]
        return result | sides.make_keys(variables["hostvars"], hosts, self._loader, check_mode=self._task.check_mode)
