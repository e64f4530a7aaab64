# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the keys of fleets on the controller, where they stay."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import options, sides


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        given = options.given(self, {"hosts": {"type": "list", "elements": "str"},
                                     "renew": {"type": "list", "elements": "str"}})
        variables = task_vars or {}
        hostvars, hosts = variables["hostvars"], variables["ansible_play_hosts_all"]
        if given["hosts"] is not None:
            hosts = options.hosts(given["hosts"], variables["groups"], hostvars)
        return result | sides.make_keys(hostvars, hosts, self._loader, renew=given["renew"] or (),
                                        check_mode=self._task.check_mode)
