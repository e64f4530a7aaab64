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
  - An end whose peer is not in the play stays where it accepts both, and a warning says so. That of a peer that
    somebody else configures goes on in the run after that peer has changed.
  - The role P(tandem.vpn.ipsec_gateway#role) does all of it.
extends_documentation_fragment:
  - tandem.vpn.attributes
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
  action:
    support: full
    description: Runs on the controller.
options:
  declared:
    description: The name of the variable that M(tandem.vpn.ipsec_config) was registered in on every host.
    type: str
    required: true
  observed:
    description: The name of the variable that M(tandem.vpn.ipsec_info) was registered in since. An end drops what is
      old only when both ends have shown the new credential; where one could not, the task fails with the reasons of
      both. Without it no end goes further than to show its new one.
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
"""


# The action plugin of the same name does the work, on the controller.
