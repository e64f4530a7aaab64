# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task has registered on every host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils.vpn import reading
from .fleets import Variables


def registered(hostvars: Any, host: str, name: str, option: str, module: str) -> Mapping[str, Any]:
    """What a host's variable of that name holds of a module; nothing where there is none. ``option`` is what named it.
    Raises AnsibleError."""
    try:
        return reading.mapping(Variables.of(hostvars, host).get(name) or {})
    except reading.Misfit as misfit:
        raise AnsibleError(f"{option} is {name!r}: {host}'s variable of that name {misfit.state}, and not what "
                           f"{module} returns. Write the name that {module} was registered under") from None
