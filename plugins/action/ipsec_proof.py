# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges on the controller what was observed on all hosts."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import proof, sides


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec({
            "observed": {"type": "str", "required": True},
            "final": {"type": "bool", "default": True},
        })
        variables = task_vars or {}
        read, _findings = sides.read(sides.declared(variables["hostvars"], variables["groups"]["all"]))
        proofs = proof.prove(read, {host: variables["hostvars"][host].get(options["observed"]) or {}
                                    for host in variables["ansible_play_hosts_all"]})
        failures = [judged.failure for judged in proofs if judged.failure]
        result |= {"changed": False, "tunnels": [judged.as_dict() for judged in proofs], "unproved": failures}
        if failures and not options["final"]:
            return result
        for line in proof.table(proofs) if proofs else ["No tunnel is declared, so there is nothing to prove."]:
            self._display.display(line)
        if failures:
            result |= {"failed": True, "msg": "Not every tunnel is there:\n" + "\n".join(f"- {f}" for f in failures)}
        return result
