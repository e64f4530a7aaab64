# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps pre-shared keys apart from everything that Ansible may print.

Ansible hides the values of ``no_log`` options, but prints all of them when an option beside it has the wrong shape.
So keys travel in an option of their own, and what might hold one in the wrong place is refused on the controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FIELDS = ("method", "psk", "certificate", "private_key", "ca", "chain", "crl")
_LISTS = ("ca", "chain", "crl")
_SECRET = ("psk", "private_key")


class MalformedCredential(ValueError):
    """Where a key may be in the wrong place. The message shows no value."""


def check(credential: object, where: str) -> None:
    """Raises MalformedCredential unless it is a mapping with no unknown field, and scalars but for the lists."""
    if not isinstance(credential, Mapping):
        raise MalformedCredential(f"{where} is no mapping: write it as fields, such as method and psk")
    if any(key not in _FIELDS for key in credential):
        raise MalformedCredential(f"{where} has an unknown field: the fields here are {', '.join(_FIELDS)}")
    if any(isinstance(value, (Mapping, list)) for field, value in credential.items() if field not in _LISTS):
        raise MalformedCredential(f"{where} is not valid: all but {', '.join(_LISTS)} are text")


def apart(gateways: object) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """The gateways without their keys, and each gateway's key by its field. Raises MalformedCredential."""
    if not isinstance(gateways, Sequence) or isinstance(gateways, str):
        raise MalformedCredential("gateways is no list")
    without: list[dict[str, Any]] = []
    keys: dict[str, dict[str, str]] = {}
    for index, gateway in enumerate(gateways):
        if not isinstance(gateway, Mapping):
            raise MalformedCredential(f"gateways[{index}] is no mapping of fields")
        name, credential = gateway.get("name"), gateway.get("credential")
        if not isinstance(name, str):
            raise MalformedCredential(f"gateways[{index}].name is missing or no text: every gateway needs a name")
        if credential is not None:
            check(credential, f"gateways[{name}].credential")
            secret = {field: str(credential[field]) for field in _SECRET if credential.get(field) is not None}
            if secret:
                keys[name] = secret
            credential = {field: value for field, value in credential.items() if field not in _SECRET}
        without.append({**gateway, "credential": credential})
    return without, keys


def inlined(gateways: list[dict[str, Any]], keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reverse: each gateway with its key in its credential. A key that is only text is of the method's kind."""
    return [gateway | {"credential": {**(gateway.get("credential") or {}), **_fields(gateway, keys[gateway["name"]])}}
            if gateway.get("name") in keys else gateway for gateway in gateways]


def _fields(gateway: Mapping[str, Any], key: Any) -> Mapping[str, Any]:
    if isinstance(key, Mapping):
        return key
    method = (gateway.get("credential") or {}).get("method")
    return {"private_key" if method == "certificate" else "psk": key}
