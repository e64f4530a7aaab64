# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges on the controller what was observed on all hosts."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import options, proof, sides
from ..plugin_utils.registered import registered


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        given = options.given(self, {
            "observed": {"type": "str", "required": True},
            "final": {"type": "bool", "default": True},
        })
        variables = task_vars or {}
        hostvars = variables["hostvars"]
        declared = sides.declared(hostvars, variables["groups"]["all"])
        read, findings = sides.read(declared)
        hosts = variables["ansible_play_hosts_all"]
        if any(host in declared and host not in read for host in hosts):
            return result | {"failed": True, "msg": "What is declared cannot be read, so nothing is proved:\n"
                             + "\n".join(f"- {finding}" for finding in findings)}
        proofs = proof.prove(read, {host: registered(hostvars, host, given["observed"], "observed", "ipsec_info")
                                    for host in hosts})
        failures = [judged.failure for judged in proofs if judged.failure]
        result |= {"changed": False, "tunnels": [judged.as_dict() for judged in proofs], "unproved": failures}
        if failures and not given["final"]:
            return result
        for line in proof.table(proofs) if proofs else ["No tunnel is declared, so there is nothing to prove."]:
            self._display.display(line)
        for line in proof.explanations(proofs, time.time()):
            self._display.display(line)
        if failures:
            result |= {"failed": True, "msg": "Not every tunnel is there:\n" + "\n".join(f"- {f}" for f in failures)}
        return result
