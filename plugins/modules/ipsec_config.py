#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_config
short_description: Keep an IPsec gateway's whole declaration, in one round trip
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Each list that is given replaces the host's; one that is not given is left alone.
  - A tunnel whose gateway is taken out goes with it, unless O(tunnels) is given too.
  - A running daemon loads the result at once. A declaration that it refuses is taken back and the old one stays in
    force.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.converging
options:
  secrets:
    description:
      - Pre-shared keys by gateway.
      - Keys that stand in O(gateways) are moved here on the controller, so that nothing else ever carries them.
    type: dict
  site:
    description: C(name) and C(platform) of this side. The name defaults to the host's name in the inventory.
    type: dict
  policy:
    description: V(strict) makes weak algorithms errors, which are warnings under V(standard).
    type: str
  shared_transforms:
    description: Names of the Phase 1 transforms that all IKEv2 gateways share whose remote end is dynamic.
    type: list
    elements: str
  transforms:
    description: Phase 1 transforms, each as M(tandem.vpn.ipsec_transform) takes it.
    type: list
    elements: dict
  proposals:
    description: Phase 2 proposals, each as M(tandem.vpn.ipsec_proposal) takes it.
    type: list
    elements: dict
  gateways:
    description: Gateways, each as M(tandem.vpn.ipsec_gateway) takes it.
    type: list
    elements: dict
  tunnels:
    description: Tunnels, each as M(tandem.vpn.ipsec_tunnel) takes it.
    type: list
    elements: dict
  state:
    description: V(absent) takes the objects out that the given lists name; without any list it removes the
      declaration and its secrets from the host.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: All of one side
  tandem.vpn.ipsec_config:
    site: "{{ ipsec_site }}"
    policy: strict
    transforms: "{{ ipsec_transforms }}"
    shared_transforms: [p1]
    proposals: "{{ ipsec_proposals }}"
    gateways: "{{ ipsec_gateways }}"
    tunnels: "{{ ipsec_tunnels }}"

- name: A key that stands apart from its gateway
  tandem.vpn.ipsec_config:
    gateways:
      - name: branch
        credential: {method: psk}
        endpoints:
          - local: {address: 192.0.2.2}
            remote: {address: 198.51.100.2}
    secrets:
      branch: "{{ vault_branch_psk }}"

- name: No tunnel of that name any more
  tandem.vpn.ipsec_config:
    tunnels:
      - name: lan
    state: absent
"""

RETURN = r"""
daemon:
  description: What a running daemon made of it.
  returned: success
  type: str
  choices: [reloaded, unchanged, not running]
findings:
  description: The declaration's errors, where it has any.
  returned: failure
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tandem.vpn.plugins.module_utils import arguments
from ansible_collections.tandem.vpn.plugins.module_utils.configure import LISTS, replace, take_out
from ansible_collections.tandem.vpn.plugins.module_utils.credentials import inlined


def main() -> None:
    module = AnsibleModule(arguments.CONFIG, supports_check_mode=True)
    lists = {name: module.params[name] for name in LISTS if module.params[name] is not None}
    if module.params["state"] == "absent":
        arguments.finish(module, take_out(lists) if lists else None, rebuild=not lists)
    if "gateways" in lists:
        lists["gateways"] = inlined(lists["gateways"], module.params["secrets"] or {})
    arguments.finish(module, replace({
        **{name: module.params[name] for name in ("site", "policy", "shared_transforms")}, **lists}), rebuild=True)


if __name__ == "__main__":
    main()
