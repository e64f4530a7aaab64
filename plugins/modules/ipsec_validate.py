#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_validate
short_description: Hold all sides of IPsec tunnels against each other
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Reads every side's declaration on the controller and reports what is wrong with each, and what two ends disagree
    on. No host is touched or even reached.
  - A finding names the field, both values, the rule and the change that would mend it. Keys are compared and never
    shown.
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
  sides:
    description: Declarations by host. Without it they come from the C(ipsec_*) variables of O(hosts).
    type: dict
  hosts:
    description: Hosts of the inventory to read; those that declare nothing are left out. Without it, all.
    type: list
    elements: str
  fail_on_findings:
    description: Whether an error fails the task. Warnings never do.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Stop here if the two ends would not agree
  tandem.vpn.ipsec_validate:
  run_once: true
"""

RETURN = r"""
errors:
  description: A sentence for each error.
  returned: always
  type: list
  elements: str
findings:
  description: Errors and warnings as data, with C(code), C(severity), C(field), C(left), C(right), C(rule) and
    C(fix).
  returned: always
  type: list
  elements: dict
sides:
  description: The hosts that were read.
  returned: always
  type: list
  elements: str
"""


# The action plugin of the same name does the work, on the controller.
