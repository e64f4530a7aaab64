# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's definition as each site's declaration, inside an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleFilterError

from ..module_utils.vpn import fleet
from ..module_utils.vpn.declaration import DeclarationError
from ..plugin_utils import keyring, options
from ..plugin_utils.sides import plain
from ..plugin_utils.vaulted import decrypted

DOCUMENTATION = r"""
name: sides
short_description: Each site's declaration out of one definition of an IPsec fleet
version_added: 0.2.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Unfolds how sites are joined, in pairs, by hubs or in meshes, into what each of them declares. The two ends of every
    link mirror each other.
  - The roles do this by themselves for the variable C(ipsec_fleet). The filter is for pipelines and for looking.
options:
  _input:
    description: The definition, as C(ipsec_fleet) has it.
    type: dict
    required: true
  keys:
    description:
      - Pre-shared keys by pair of sites, named as C(branch<->hq), the names in order. They fit the links for which the
        definition gives none.
      - Without it those gateways have no key.
    type: dict
  site:
    description: The one site whose declaration is wanted. Without it, all.
    type: str
"""

EXAMPLES = r"""
- name: What the fleet means for each site
  ansible.builtin.debug:
    msg: "{{ fleet | tandem.vpn.sides }}"
  vars:
    fleet:
      sites:
        hq: {address: 192.0.2.2, networks: [10.1.0.0/24]}
        branch: {address: 198.51.100.2, networks: [10.2.0.0/24]}
        annex: {address: 203.0.113.66, networks: [10.3.0.0/24]}
      links:
        - {hub: hq, spokes: all, through_hub: true}

- name: Only the branch's, with the key that a pipeline keeps
  ansible.builtin.set_fact:
    declaration: "{{ fleet | tandem.vpn.sides(keys={'branch<->hq': vault_psk}, site='branch') }}"
  no_log: true
  vars:
    fleet:
      sites:
        hq: {address: 192.0.2.2, networks: [10.1.0.0/24]}
        branch: {address: 198.51.100.2, networks: [10.2.0.0/24]}
      links:
        - pair: [hq, branch]
"""

RETURN = r"""
_value:
  description: Declarations by site, or the one site's. Each has C(site), C(policy), C(transforms), C(proposals),
    C(gateways) and C(tunnels), with the keys inline.
  type: dict
"""


def sides(definition: object, keys: Mapping[str, str] | None = None, site: str | None = None) -> dict[str, Any]:
    """Raises AnsibleFilterError with every error of the definition, or of the options."""
    given = _options(keys, site)
    try:
        read = fleet.read(definition)
        if given["site"] is None:
            return {side.name: plain(side) for side in fleet.sides(read, given["keys"])}
        return plain(fleet.side(read, given["site"], given["keys"]))
    except DeclarationError as error:
        raise AnsibleFilterError(f"the fleet cannot be unfolded:\n{error}") from None
    except KeyError:
        raise AnsibleFilterError(f"the fleet has no site {site}; its sites are {', '.join(read.sites)}") from None


def _options(keys: object, site: object) -> dict[str, Any]:
    spec = {"keys": {"type": "dict", "by_name": ("pairs", "keys")}, "site": {"type": "str"}}
    try:
        given = options.check({"keys": decrypted(keys), "site": site}, spec)
        keyring.check("keys has", given["keys"] or {})
    except AnsibleError as error:
        raise AnsibleFilterError(str(error)) from None
    return given


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"sides": sides}
