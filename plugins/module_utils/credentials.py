# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps pre-shared keys apart from everything that Ansible may print.

Ansible hides the values of ``no_log`` options, but prints all of them when an option beside it has the wrong shape, and
a host logs what it is asked to do. So keys travel in an option of their own, and a gateway that has something where it
does not belong, which may be a key, is refused on the controller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .vpn.declaration import DEFAULT_TRANSFORM, GATEWAY, read_gateway
from .vpn.reading import Fields, Misfits, is_field

_OF_CERTIFICATES = ("certificate", "private_key", "ca", "chain", "crl")
_SECRET = ("psk", "also_accepted", "private_key", "ppk_key")
_FOR_THE_HOST = {"declaration-missing-field", "declaration-unknown-reference"}
"""What only shows beside what the host has: a task may name nothing but what it changes."""


class MalformedGateway(ValueError):
    """Something stands where it does not belong, and may be a key. The message shows none."""


def check(gateway: object, path: str) -> None:
    """Raises MalformedGateway unless all that is given of the gateway fits its field."""
    misfits = Misfits("")
    read_gateway(Fields(_with_method(gateway), path, GATEWAY, misfits), {DEFAULT_TRANSFORM.name: DEFAULT_TRANSFORM})
    wrong = [finding.message for finding in misfits.findings if finding.code not in _FOR_THE_HOST]
    if wrong:
        raise MalformedGateway("\n".join(wrong))


def _with_method(gateway: object) -> object:
    """With the method that the credential's fields are of, where it names none."""
    credential = gateway.get("credential") if isinstance(gateway, Mapping) else None
    if not isinstance(gateway, Mapping) or not isinstance(credential, Mapping) or credential.get("method") is not None:
        return gateway
    method = "certificate" if any(credential.get(field) is not None for field in _OF_CERTIFICATES) else "psk"
    return {**gateway, "credential": {**credential, "method": method}}


def check_options(module: str, given: Mapping[str, object], options: Collection[str]) -> None:
    """Raises MalformedGateway where a task has another option: Ansible would show it, with what is in it."""
    unknown = [name if is_field(name) else f"number {position}" for position, name in enumerate(given, 1)
               if name not in options]
    if unknown:
        raise MalformedGateway(f"{module} has no option {', '.join(sorted(unknown))}. Remove it, or write one of "
                               f"{', '.join(sorted(options))}")


def apart(gateways: object) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The gateways without their keys, and each gateway's key by its field. Raises MalformedGateway."""
    if not isinstance(gateways, Sequence) or isinstance(gateways, str):
        raise MalformedGateway("gateways is no list: write it as a list of gateways, each a mapping of fields")
    without: list[dict[str, Any]] = []
    keys: dict[str, dict[str, Any]] = {}
    for index, gateway in enumerate(gateways):
        name = gateway.get("name") if isinstance(gateway, Mapping) else None
        if isinstance(gateway, Mapping) and (isinstance(name, bool) or not isinstance(name, (str, int))):
            raise MalformedGateway(f"gateways[{index}].name is missing or no text: every gateway needs a name. Set it")
        check(gateway, f"gateways[{index if name is None else name}]")
        credential = gateway.get("credential")
        if credential is not None:
            secret = {field: credential[field] for field in _SECRET if credential.get(field) is not None}
            if secret:
                keys[str(name)] = secret
            credential = {field: value for field, value in credential.items() if field not in _SECRET}
        without.append({**gateway, "credential": credential})
    return without, keys


def with_key(gateway: Mapping[str, Any], key: Any) -> dict[str, Any]:
    """The gateway with a key in its credential: fields, or the key alone, which is then of the method's kind."""
    credential = gateway.get("credential") or {}
    if not isinstance(key, Mapping):
        key = {"private_key" if credential.get("method") == "certificate" else "psk": key}
    return {**gateway, "credential": {**credential, **key}}
