#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_proof
short_description: Prove that both ends hold the tunnels that are declared
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Compares the two ends of every tunnel, as M(tandem.vpn.ipsec_info) saw them, SPIs crosswise and selectors with the
    declaration.
  - Of a tunnel whose peer is not among the hosts only the own end is proved, and the result says so.
  - A tunnel that is not there fails the task with the reasons that both ends name, after a page from each end's daemon
    that explains its last negotiations.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.looking
  - tandem.vpn.attributes.controller
options:
  observed:
    description: The name of the variable that M(tandem.vpn.ipsec_info) was registered in on every host.
    type: str
    required: true
  final:
    description: Whether a tunnel that is not proved fails the task. Otherwise it is only returned, so that one can
      look again.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Wait for the own ends
  tandem.vpn.ipsec_info:
    wait_for: tunnels
  register: seen

- name: Hold the ends against each other
  tandem.vpn.ipsec_proof:
    observed: seen
  run_once: true

- name: Only say which tunnels are not there
  tandem.vpn.ipsec_proof:
    observed: seen
    final: false
  run_once: true
"""

RETURN = r"""
tunnels:
  description: Every tunnel with what each end sees of it, and how the end's daemon explains that where it is not up.
  returned: always
  type: list
  elements: dict
unproved:
  description: A sentence for each tunnel that is not proved.
  returned: always
  type: list
  elements: str
"""


# The action plugin of the same name does the work, on the controller.
