#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_rotation
short_description: Say which step each end may take of a credential that changes
version_added: 0.4.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - A pre-shared key or a certificate changes at both ends of a gateway without a lost packet in three steps. Each end
    accepts the new one beside the old one, then shows the new one, then drops the old one; and no end takes a step
    before the other has taken the one before.
  - How far each end is says O(declared). What it may do next is what M(tandem.vpn.ipsec_config) takes as its
    C(rotation).
  - An end whose peer is not in the play stays where it accepts both, and a warning says so.
  - So does that of a peer that somebody else configures, until a later run finds that the peer has proved itself by the
    new key. What it accepts already and only drops goes at once, and so do its own certificate, another method and a
    post-quantum key, since there is nothing that it could accept meanwhile. Authorities that are new are accepted
    beside the old ones in one run, and the next drops those that are not declared.
  - The role P(tandem.vpn.ipsec_gateway#role) does all of it.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.looking
  - tandem.vpn.attributes.controller
options:
  declared:
    description: The name of the variable that M(tandem.vpn.ipsec_config) was registered in on every host.
    type: str
    required: true
  observed:
    description: The name of the variable that M(tandem.vpn.ipsec_info) was registered in since. Ends drop what is old
      only when both have shown the new credential, which RV(unproved) says of the others. A gateway that its host
      starts at boot has to be up for that; one that only traffic or the peer starts, and that is down, drops the old
      one unseen. Without this option no end of two that change goes further than to show its new one.
    type: str
"""

EXAMPLES = r"""
- name: Take what the peers will show beside what they show now
  tandem.vpn.ipsec_config:
    gateways: "{{ ipsec_gateways }}"
    rotation: {}
  register: declared

- name: See which ends may show their new credential
  tandem.vpn.ipsec_rotation:
    declared: declared
  run_once: true
  register: allowed

- name: Show it where both ends accept it
  tandem.vpn.ipsec_config:
    gateways: "{{ ipsec_gateways }}"
    rotation: "{{ allowed.steps[inventory_hostname] | default({}) }}"
  register: declared

- name: Wait until it is proved
  tandem.vpn.ipsec_info:
    wait_for: credentials
    gateways: "{{ allowed.proving[inventory_hostname] | default([]) }}"
    timeout: 5
  register: seen

- name: See which ends may drop the old one
  tandem.vpn.ipsec_rotation:
    declared: declared
    observed: seen
  run_once: true
  register: allowed

- name: Drop it where the new one is proved
  tandem.vpn.ipsec_config:
    gateways: "{{ ipsec_gateways }}"
    rotation: "{{ allowed.steps[inventory_hostname] | default({}) }}"

- name: Fail where it is not
  ansible.builtin.assert:
    that: allowed.unproved == []
    fail_msg: "{{ allowed.unproved }}"
  run_once: true
"""

RETURN = r"""
steps:
  description: The step that each gateway may take, by host and gateway.
  returned: always
  type: dict
  sample: {hq: {branch: switch}, branch: {hq: switch}}
proving:
  description: The gateways that are to show their new credential now, by host. One whose peer's address is dynamic is
    none of them, since it cannot authenticate anew by itself.
  returned: always
  type: dict
  sample: {hq: [branch], branch: [hq]}
waiting:
  description: A sentence for each end that cannot go on in this play.
  returned: always
  type: list
  elements: str
unproved:
  description: A sentence for each end whose new credential both ends show and is not proved. Both stay where they take
    the old one, too, while others go on.
  returned: always
  type: list
  elements: str
"""


# The action plugin of the same name does the work, on the controller.
