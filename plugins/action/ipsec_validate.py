# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges all sides on the controller, before any host is touched."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import sides


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec({
            "sides": {"type": "dict", "no_log": True},
            "hosts": {"type": "list", "elements": "str"},
            "fail_on_findings": {"type": "bool", "default": True},
        })
        variables = task_vars or {}
        declarations = options["sides"]
        if declarations is None:
            hosts = options["hosts"] if options["hosts"] is not None else variables["groups"]["all"]
            declarations = sides.declared(variables["hostvars"], hosts)
        findings = sides.judge(declarations)
        errors = [finding.message for finding in findings if finding.is_error]
        warnings = [finding.message for finding in findings if not finding.is_error]
        result |= {"changed": False, "errors": errors, "findings": [finding.as_dict() for finding in findings],
                   "sides": sorted(declarations), "warnings": warnings}
        if errors and options["fail_on_findings"]:
            result |= {"failed": True, "msg": "The sides do not fit together, and no host was touched:\n"
                       + "\n".join(f"- {error}" for error in errors)}
        return result
