# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a side on the controller, where the files stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.vpn import declaration
from ..module_utils.vpn.declaration import DeclarationError
from ..module_utils.vpn.model import Side
from ..module_utils.vpn.rendering.mirror import far_end
from ..plugin_utils import options, rendered, sides
from ..plugin_utils.fleets import Variables


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        given = options.given(self, {
            "site": {"type": "str"},
            "gateway": {"type": "str"},
            "format": {"type": "str", "choices": [rendered.AUTO, *rendered.RENDERERS], "default": rendered.AUTO},
            "dest": {"type": "path", "required": True},
        })
        side = self._side(given["site"], task_vars or {})
        if given["gateway"] is not None:
            try:
                side = far_end(side, given["gateway"])
            except KeyError:
                names = [gateway.name for gateway in side.gateways]
                raise AnsibleError(f"gateway is {given['gateway']!r}: {side.name} declares no gateway of that name. "
                                   f"{options.instead(given['gateway'], names)}.") from None
        folder = Path(self._loader.path_dwim(given["dest"]))
        try:
            return result | rendered.write(rendered.render(side, given["format"]), folder,
                                           check_mode=self._task.check_mode)
        except OSError as error:
            raise AnsibleError(f"dest {folder} cannot be written: {error.strerror}. Name a folder that the "
                               "controller's user may write") from None

    def _side(self, site: str | None, variables: dict[str, Any]) -> Side:
        """The side of the task's host, of another, or of a site of its fleet that is no host."""
        hostvars, host = variables["hostvars"], variables["inventory_hostname"]
        name = site or host
        other = None
        if name != host:
            other = Variables.of(hostvars, name) if name in hostvars else Variables(name, {}, lambda _name: None)
        found = sides.of_host(Variables.of(hostvars, host), self._loader, check_mode=self._task.check_mode, of=other)
        try:
            return declaration.read(found, site_name=name)
        except DeclarationError as error:
            raise AnsibleError(str(error)) from None
