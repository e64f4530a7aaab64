# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host of a task declares, its part of a fleet included."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ipsec_declaration
short_description: What a host declares, its part of a fleet included
version_added: 0.2.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Joins the host's own variables, C(ipsec_site), C(ipsec_policy), C(ipsec_transforms), C(ipsec_shared_transforms),
    C(ipsec_proposals), C(ipsec_gateways) and C(ipsec_tunnels), with what C(ipsec_fleet) makes of the host. An object
    of the host's own stands in the place of the fleet's of the same name.
  - The result holds keys. Hand it to M(tandem.vpn.ipsec_config) and to nothing that prints or keeps it.
options:
  _terms:
    description: The parts that are wanted, of C(site), C(policy), C(shared_transforms), C(transforms), C(proposals),
      C(gateways) and C(tunnels).
    type: list
    elements: str
    required: true
  beside:
    description: Another part of a declaration. Where the host declares none of that, nothing is given of the wanted.
    type: str
  site:
    description: Another site of the host's fleet whose declaration is wanted, such as a partner's.
    type: str
"""

EXAMPLES = r"""
- name: All of one side
  tandem.vpn.ipsec_config:
    site: "{{ lookup('tandem.vpn.ipsec_declaration', 'site') }}"
    transforms: "{{ lookup('tandem.vpn.ipsec_declaration', 'transforms') }}"
    proposals: "{{ lookup('tandem.vpn.ipsec_declaration', 'proposals') }}"
    gateways: "{{ lookup('tandem.vpn.ipsec_declaration', 'gateways') }}"
    tunnels: "{{ lookup('tandem.vpn.ipsec_declaration', 'tunnels') }}"

- name: The proposals, where tunnels are declared by variables and not by tasks
  tandem.vpn.ipsec_config:
    proposals: "{{ lookup('tandem.vpn.ipsec_declaration', 'proposals', beside='tunnels') or omit }}"

- name: What the partner has to enter, with the key, for root's eyes
  ansible.builtin.copy:
    content: "{{ lookup('tandem.vpn.ipsec_declaration', 'gateways', site='partner') | to_nice_yaml }}"
    dest: /root/partner.yml
    mode: "0600"
  no_log: true
  vars:
    ipsec_fleet:
      sites:
        hq: {address: 192.0.2.2, networks: [10.1.0.0/24]}
        partner: {address: 203.0.113.77, networks: [10.7.0.0/24], managed: false}
      links:
        - pair: [hq, partner]
          gateway: {credential: {method: psk, psk: "{{ vault_psk }}"}}
"""

RETURN = r"""
_raw:
  description: Each part in the form in which M(tandem.vpn.ipsec_config) takes it.
  type: list
  elements: raw
"""


from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ..plugin_utils import options, sides
from ..plugin_utils.fleets import Variables


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        given = variables or {}
        kwargs.pop("wantlist", None)  # a loop's
        of_task = Variables(given["inventory_hostname"], given, lambda name: self._templar.template(given[name]))
        try:
            said = options.check(kwargs, {"site": {"type": "str"}, "beside": {"type": "str"}})
            wanted = [*terms, *([said["beside"]] if said["beside"] else [])]
            unknown = [term for term in wanted if term not in sides.FIELDS]
            if unknown:
                raise AnsibleError(f"{unknown[0]} is no part of a declaration: these are {', '.join(sides.FIELDS)}")
            found = sides.of_host(of_task, self._loader, wanted, check_mode=bool(given.get("ansible_check_mode")),
                                  of=self._other(said["site"], given))
        except AnsibleError as error:  # which older releases of ansible-core take for a fault of the plugin
            raise AnsibleLookupError(str(error)) from None
        is_given = not said["beside"] or found[said["beside"]]
        return [found[term] if is_given else None for term in terms]

    @staticmethod
    def _other(site: str | None, given: Mapping[str, Any]) -> Variables | None:
        """The own variables of another site, which has none where it is no host; None for the task's host."""
        if site is None or site == given["inventory_hostname"]:
            return None
        if site in given["hostvars"]:
            return Variables.of(given["hostvars"], site)
        return Variables(site, {}, lambda name: None)
