# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivers the daemon: asks the host what it has, and sends the archive only where it has something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.vpn import hardware, rules
from ..module_utils.vpn.findings import Finding
from ..plugin_utils import archive, sides


class ActionModule(ActionBase):
    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        wheel_dir = Path(self._loader.path_dwim(arguments.pop("wheel_dir"))) if arguments.get("wheel_dir") else None
        if wheel_dir and not wheel_dir.is_dir():
            raise AnsibleActionFail(f"wheel_dir {wheel_dir} is no folder on the controller")
        if arguments.get("state", "present") == "present":
            arguments["source"] = archive.source_digest(arguments.get("dependencies", "bundled"), wheel_dir)
            arguments["families"] = self._families(variables) if arguments.get("forward", True) else []
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        identity = answer.pop("needs_archive", None)
        if identity is not None:
            answer = self._deliver(identity, wheel_dir, arguments, variables)
        lacking = self._lacking(answer.get("abilities") or {}, variables)
        if lacking:
            answer |= {"failed": True, "msg": "The host cannot carry what it is to declare, and nothing was declared:\n"
                       + "\n".join(f"- {finding.message}" for finding in lacking)}
        return result | answer

    @staticmethod
    def _lacking(abilities: dict[str, Any], variables: dict[str, Any]) -> list[Finding]:
        """What the host's declaration needs and the host has not."""
        host = variables["inventory_hostname"]
        read, _findings = sides.read(sides.declared(variables["hostvars"], [host])) if abilities else ({}, [])
        return [finding for side in read.values()
                for finding in rules.against_abilities(side, hardware.read_abilities(abilities))]

    def _deliver(self, identity: dict[str, str], wheel_dir: Path | None, arguments: dict[str, Any],
                 variables: dict[str, Any]) -> dict[str, Any]:
        try:
            local, checksum = archive.build(identity, wheel_dir)
        except archive.ArchiveError as error:
            raise AnsibleActionFail(str(error)) from error
        folder = self._make_tmp_path()
        try:
            remote = self._transfer_file(str(local), self._connection._shell.join_path(folder, "ikeengine.tar.gz"))
            return self._execute_module(module_args={**arguments, "archive": remote, "checksum": checksum},
                                        task_vars=variables)
        finally:
            self._remove_tmp_path(folder)

    @staticmethod
    def _families(variables: dict[str, Any]) -> list[str]:
        """The address families of the host's tunnel routes. What cannot be read was reported before."""
        host = variables["inventory_hostname"]
        read, _findings = sides.read(sides.declared(variables["hostvars"], [host]))
        return sorted({f"ipv{route.local.version}" for side in read.values() for tunnel in side.tunnels
                       for route in tunnel.secured})
