# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges all sides on the controller, before any host is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.vpn.report import FORMATS, Judgement, render
from ..plugin_utils import options, sides, validation
from ..plugin_utils.origins import Origins


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        given = options.given(self, {
            "sides": {"type": "dict", "no_log": True, "by_name": ("hosts", "declarations")},
            "hosts": {"type": "list", "elements": "str"},
            "fail_on_findings": {"type": "bool", "default": True},
            "reports": {"type": "list", "elements": "dict", "default": [], "options": {
                "format": {"type": "str", "required": True, "choices": list(FORMATS)},
                "path": {"type": "path", "required": True},
            }},
        })
        variables = task_vars or {}
        declarations = given["sides"]
        if declarations is None:
            groups, hostvars = variables["groups"], variables["hostvars"]
            wanted = ["all"] if given["hosts"] is None else given["hosts"]
            declarations = sides.declared_by_all(hostvars, options.hosts(wanted, groups, hostvars), self._loader)
        judgement = validation.judge(declarations)
        origins = Origins(declarations, lambda: sides.definition(declarations))
        changed = self._report(given["reports"], judgement, origins)
        result |= validation.as_result(judgement) | {"changed": changed, "sides": sorted(map(str, declarations))}
        if judgement.errors and given["fail_on_findings"]:
            errors = validation.sentences([finding.message for finding in judgement.errors], "error")
            result |= {"failed": True, "msg": "The sides do not fit together, and no host was touched:\n"
                       + "\n".join(f"- {error}" for error in errors)}
        return result

    def _report(self, reports: list[dict[str, str]], judgement: Judgement, origins: Origins) -> bool:
        """Write every report; whether one is new."""
        changed = False
        for index, report in enumerate(reports):
            path = Path(self._loader.path_dwim(report["path"]))
            text = render(report["format"], judgement, origins.locate)
            try:
                changed |= validation.write(path, text, check_mode=self._task.check_mode)
            except OSError as error:
                raise AnsibleError(f"reports[{index}].path {path} cannot be written: {error.strerror}. Name a file "
                                   "that the controller's user may write") from None
        return changed
