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
  - Holds any number of gateways and tunnels in one round trip; O(state) says what becomes of what the host has.
  - A running daemon loads the result at once. A declaration that it refuses is taken back and the old one stays in
    force, which the error says.
  - A change that somebody made by hand on the host is a difference like any other, a key's too. A diff shows a key by
    a digest under a secret of the host's.
  - So is what somebody took away in the kernel, an SA, a policy, a rule or a route, or took down with C(ikectl down).
    The running daemon brings it back, an SA by rekeying it, and the diff names it.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.converging
options:
  secrets:
    description:
      - Pre-shared keys by gateway, also of gateways that the host has and O(gateways) does not name.
      - Keys that stand in O(gateways) are moved here on the controller, so that nothing else ever carries them.
    type: dict
  site:
    description: C(name) and C(platform) of this side.
    type: dict
  site_name:
    description: What the side is called where neither O(site) nor what the host has says so. Without it, as the host is
      in the inventory.
    version_added: 0.2.0
    type: str
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
  add_tunnels:
    description: Whether the V(overridden) state adds those of O(tunnels) that the host does not have. With V(false) it
      brings those up to date that it has, so that a new Phase 1 never meets an old Phase 2. Those that it has and that
      are not given stay while they contradict no other and their gateway is given. Their traffic is protected, and a
      key that changes can be proved, until what takes their place is added.
    version_added: 0.2.0
    type: bool
    default: true
  rotation:
    description:
      - How far each gateway may go whose credential changes, by its name. V(accept) has it take what the peer will
        show beside what it shows now; V(switch) shows the new credential, and takes the old one still; V(finish) drops
        what is old. No step takes anything back.
      - Gateways that are not named go as far as V(accept), so that V({}) has all of them begin. Without this option
        every credential changes at once.
      - The role P(tandem.vpn.ipsec_gateway#role) has both ends of each gateway take the steps in turn.
    version_added: 0.4.0
    type: dict
  state:
    description:
      - V(merged) makes each given object, by its name, what is given of it, and leaves everything else alone.
      - V(replaced) puts each given object in the place of its namesake; fields that are not given get their defaults.
      - V(overridden) replaces every list that is given. A tunnel whose gateway goes goes with it, unless O(tunnels) is
        given too.
      - V(deleted) takes out the objects that the given lists name, and all of the declaration where none is given. What
        others still refer to cannot go.
      - V(gathered) returns what the host has, and V(rendered) what the host's declaration would be made of these
        options alone, for which the host need not be there. Neither changes anything or shows a key.
    type: str
    choices: [merged, replaced, overridden, deleted, gathered, rendered]
    default: merged
"""

EXAMPLES = r"""
- name: All of one side, and nothing else
  tandem.vpn.ipsec_config:
    site: "{{ ipsec_site }}"
    policy: strict
    transforms: "{{ ipsec_transforms }}"
    shared_transforms: [p1]
    proposals: "{{ ipsec_proposals }}"
    gateways: "{{ ipsec_gateways }}"
    tunnels: "{{ ipsec_tunnels }}"
    state: overridden

- name: A new Phase 1, with the tunnels that the host has already brought up to date; none is added
  tandem.vpn.ipsec_config:
    site_name: hq
    transforms: "{{ ipsec_transforms }}"
    gateways: "{{ ipsec_gateways }}"
    proposals: "{{ ipsec_proposals }}"
    tunnels: "{{ ipsec_tunnels }}"
    add_tunnels: false
    state: overridden

- name: One gateway's key, which stands apart from it; nothing else changes
  tandem.vpn.ipsec_config:
    secrets:
      branch: "{{ vault_branch_psk }}"
    state: merged

- name: Take a gateway's new key beside the old one, until the other end has it, too
  tandem.vpn.ipsec_config:
    gateways: "{{ ipsec_gateways }}"
    rotation: {branch: accept}
    state: merged

- name: This tunnel exactly so; others stay
  tandem.vpn.ipsec_config:
    tunnels:
      - name: lan
        gateway: branch
        routes:
          - {local: 10.1.0.0/24, remote: 10.2.0.0/24}
    state: replaced

- name: No tunnel of that name any more
  tandem.vpn.ipsec_config:
    tunnels:
      - name: lan
    state: deleted

- name: What the host has
  tandem.vpn.ipsec_config:
    state: gathered
  register: held

- name: What the host would have, in full, without asking it
  tandem.vpn.ipsec_config:
    transforms: "{{ ipsec_transforms }}"
    gateways: "{{ ipsec_gateways }}"
    state: rendered
  register: planned
"""

RETURN = r"""
before:
  description: The declaration as it was, in the form of the options, without keys.
  returned: when it changes
  type: dict
after:
  description: The declaration as it is then, or would be in check mode.
  returned: when it changes
  type: dict
gathered:
  description: The declaration on the host, without keys.
  returned: when O(state) is gathered
  type: dict
rendered:
  description: The declaration that the options make, with all defaults and without keys.
  returned: when O(state) is rendered
  type: dict
daemon:
  description: What a running daemon made of it.
  returned: when O(state) is merged, replaced, overridden or deleted
  type: str
  choices: [reloaded, unchanged, not running]
rotation:
  description: How far each gateway is whose credential is not yet the wanted one. V(accepts) takes what the peer will
    show, V(switched) shows its own new one as well, V(old) does neither.
  returned: when O(rotation) is given
  type: dict
  sample: {branch: accepts}
at_once:
  description: Those of RV(rotation) that need not wait where somebody else configures the peer. They only drop what
    they accept, or what changes is theirs to show, or cannot be accepted both ways.
  returned: when O(rotation) is given
  type: list
  elements: str
  version_added: 0.4.0
findings:
  description: The declaration's errors, where it has any.
  returned: failure
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tandem.vpn.plugins.module_utils import arguments
from ansible_collections.tandem.vpn.plugins.module_utils.configure import (
    LISTS,
    ConfigureError,
    gathered,
    in_turn,
    merge,
    override,
    rekey,
    replace,
    steps,
    take_out,
)
from ansible_collections.tandem.vpn.plugins.module_utils.store import Store, StoreError


def main() -> None:
    module = AnsibleModule(arguments.CONFIG, supports_check_mode=True)
    state, secrets = module.params["state"], module.params["secrets"] or {}
    lists = {name: module.params[name] for name in LISTS if module.params[name] is not None}
    if state == "gathered":
        try:
            module.exit_json(changed=False, gathered=gathered(Store().load()))
        except StoreError as error:
            module.fail_json(msg=str(error))
    if state == "deleted":
        arguments.finish(module, take_out(lists) if lists else None, rebuild=not lists)
    given = {name: module.params[name] for name in ("site", "policy", "shared_transforms")} | lists
    edits = {"merged": merge(given), "replaced": replace(given),
             "overridden": override(given, add_tunnels=module.params["add_tunnels"])}
    try:
        rotation = None if module.params["rotation"] is None else steps(module.params["rotation"])
    except ConfigureError as error:
        module.fail_json(msg=str(error))
    arguments.finish(module, in_turn(edits[state], rekey(secrets)), rebuild=state == "overridden",
                     rotation=rotation)


if __name__ == "__main__":
    main()
