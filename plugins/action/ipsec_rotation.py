# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says on the controller which step each end of a gateway may take whose credential changes."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import options, rotation, sides
from ..plugin_utils.registered import registered


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        given = options.given(self, {"declared": {"type": "str", "required": True}, "observed": {"type": "str"}})
        variables = task_vars or {}
        hostvars, hosts = variables["hostvars"], variables["ansible_play_hosts_all"]
        read, _findings = sides.read(sides.declared(hostvars, variables["groups"]["all"]))
        declared, observed = ({host: registered(hostvars, host, given[option], option, module) for host in hosts}
                              if given[option] else None
                              for option, module in (("declared", "ipsec_config"), ("observed", "ipsec_info")))
        found = rotation.plan(read, declared or {}, observed)
        for sentence in found.waiting:
            self._display.warning(sentence)
        return result | {"changed": False, "steps": found.steps, "proving": found.proving, "waiting": found.waiting,
                         "unproved": found.unproved}
