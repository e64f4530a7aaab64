# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs of the modules, and the one way they run.

What a value may be is the domain's to say, so that every face gives the same answer: options here are only as typed
as Ansible needs them to be.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .configure import LISTS, ConfigureError, Edit, converge, merge, take_out
from .vpn.rotation import Step

STATE = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
NAME = {"name": {"type": "str", "required": True}}

# The keys come first and apart: Ansible hides the values of a no_log option only when it reaches it without an error.
CONFIG = {
    "secrets": {"type": "dict", "no_log": True},
    "site_name": {"type": "str"},
    "site": {"type": "dict"},
    "policy": {"type": "str"},
    "shared_transforms": {"type": "list", "elements": "str"},
    **{name: {"type": "list", "elements": "dict"} for name in LISTS},
    "add_tunnels": {"type": "bool", "default": True},
    "rotation": {"type": "dict"},
    "state": {"type": "str", "choices": ["merged", "replaced", "overridden", "deleted", "gathered", "rendered"],
              "default": "merged"},
}

TRANSFORM = {
    **NAME,
    "authentication": {"type": "str"},
    "encryption": {"type": "str"},
    "sa_life": {"type": "str"},
    "key_group": {"type": "str", "no_log": False},
    "additional_key_exchange": {"type": "str", "no_log": False},
    **STATE,
}

PROPOSAL = {
    **NAME,
    "protocol": {"type": "str"},
    "authentication": {"type": "str"},
    "encryption": {"type": "str"},
    "force_key_expiration": {"type": "dict", "no_log": False,
                             "options": {"time": {"type": "str"}, "traffic": {"type": "str"}}},
    **STATE,
}

GATEWAY = {
    "credential": {"type": "dict", "options": {
        "method": {"type": "str"},
        **{name: {"type": "str", "no_log": True} for name in ("psk", "private_key", "ppk_key")},
        "also_accepted": {"type": "list", "elements": "str", "no_log": True},
        "ppk": {"type": "dict"},
        "certificate": {"type": "str"},
        **{name: {"type": "list", "elements": "str"} for name in ("ca", "chain", "crl")}}},
    **NAME,
    "ike_version": {"type": "str"},
    "mode": {"type": "str"},
    "endpoints": {"type": "list", "elements": "dict"},
    "transforms": {"type": "list", "elements": "str"},
    "nat_traversal": {"type": "dict"},
    "dead_peer_detection": {"type": "dict"},
    "ike_keep_alive": {"type": "dict", "no_log": False},
    "start": {"type": "str"},
    **STATE,
}

TUNNEL = {
    **NAME,
    "gateway": {"type": "str"},
    "routes": {"type": "list", "elements": "dict"},
    "proposals": {"type": "list", "elements": "str"},
    "pfs": {"type": "dict"},
    "sa_pairs": {"type": "str"},
    "dataplane": {"type": "str"},
    "interface": {"type": "dict"},
    **STATE,
}


def run_one(kind: str, spec: Mapping[str, Any]) -> None:
    """A module that keeps one object of a list present or absent."""
    module = AnsibleModule(dict(spec), supports_check_mode=True)
    fields = {name: value for name, value in module.params.items() if name != "state"}
    finish(module, merge({kind: [fields]}) if module.params["state"] == "present" else take_out({kind: [fields]}))


def finish(module: AnsibleModule, edit: Edit | None, *, rebuild: bool = False,
           rotation: Mapping[str, Step] | None = None) -> None:
    """Converge and end the module with the outcome. A side that nobody named is called as its host."""
    try:
        result = converge(edit, check_mode=module.check_mode, rebuild=rebuild, rotation=rotation,
                          site_name=module.params.get("site_name") or platform.node())
    except ConfigureError as error:
        module.fail_json(msg=str(error), findings=error.findings)
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)
