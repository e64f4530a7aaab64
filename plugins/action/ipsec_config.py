# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the keys out of the gateways before they travel, so that no option but a hidden one ever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.configure import LISTS, ConfigureError, rekey, steps
from ..module_utils.credentials import MalformedGateway, apart, check_options
from ..module_utils.vpn import declaration, rules
from ..plugin_utils.sides import FIELDS
from ..plugin_utils.vaulted import decrypted

_OPTIONS = {*FIELDS, "secrets", "site_name", "add_tunnels", "rotation", "state"}
_LOOKING = ("gathered", "rendered")
_KEYS = {"psk-missing", "private-key-missing", "ppk-missing"}
"""What a declaration lacks that is shown without keys."""


class Refused(ValueError):
    """What is wrong with the task's options; no value is shown."""


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        try:
            arguments = _checked(decrypted(dict(self._task.args)))
        except (Refused, MalformedGateway, ConfigureError) as error:
            return result | {"failed": True, "msg": str(error)}
        name = (task_vars or {})["inventory_hostname"]
        if arguments.get("state") == "rendered":
            return result | _rendered(arguments, name)
        if arguments.get("state") != "deleted":
            arguments.setdefault("site_name", name)
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options with the keys apart. Raises Refused, MalformedGateway and ConfigureError."""
    check_options("ipsec_config", arguments, _OPTIONS)
    secrets = arguments.get("secrets")
    if secrets is not None and not isinstance(secrets, Mapping):
        raise Refused("secrets is no mapping: it has the keys by gateway. Write it as fields, each a gateway's name "
                      "with its key")
    if arguments.get("state") == "deleted":
        _check_deletion(arguments)
    if arguments.get("rotation") is not None:
        _check_rotation(arguments)
    if arguments.get("gateways") is not None:
        gateways, keys = apart(arguments["gateways"])
        arguments |= {"gateways": gateways, "secrets": {**(secrets or {}), **keys}}
    return arguments


def _check_deletion(arguments: Mapping[str, Any]) -> None:
    """What is to be deleted must be said without a doubt, because without a list it is everything. Raises Refused."""
    beside = sorted(name for name in arguments.keys() - {*LISTS, "state"} if name not in ("secrets", "site_name"))
    if beside:
        raise Refused(f"state deleted takes lists, and {', '.join(beside)} is none: nothing was deleted. Leave it out")
    for name in LISTS:
        if name in arguments and not isinstance(arguments[name], (list, tuple)):
            raise Refused(f"{name} is no list: nothing was deleted. Name in it what is to go, or leave {name} out; "
                          "without any list all of the declaration goes")


def _check_rotation(arguments: Mapping[str, Any]) -> None:
    """Raises Refused and ConfigureError."""
    if (state := arguments.get("state")) in _LOOKING:
        raise Refused(f"rotation is set with state {state}, in which no credential changes. Leave rotation out, or set "
                      "state to merged, replaced or overridden")
    if isinstance(arguments["rotation"], Mapping):
        steps(arguments["rotation"])


def _rendered(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What the options make, without a host."""
    given = {"site": {"name": arguments.get("site_name") or name},
             **{field: arguments[field] for field in FIELDS if arguments.get(field) is not None}}
    try:
        rekey(arguments.get("secrets") or {})(given)
        side = declaration.read(given, site_name=name)
        wrong = [finding for finding in rules.by_itself(side) if finding.is_error and finding.code not in _KEYS]
        if wrong:
            raise declaration.DeclarationError(tuple(wrong))
    except ConfigureError as error:
        return {"failed": True, "msg": str(error)}
    except declaration.DeclarationError as error:
        return {"failed": True, "msg": str(error), "findings": [finding.as_dict() for finding in error.findings]}
    made, _keys = declaration.write(side)
    return {"changed": False, "rendered": {field: value for field, value in made.items() if field != "version"}}
