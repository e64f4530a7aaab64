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
  - Reports say the same to people, to pipelines and to a merge request.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.controller
attributes:
  check_mode:
    support: full
    description: Judges as ever, and writes no report. Give the task C(check_mode=false) for one.
  diff_mode:
    support: none
    description: Shows no report's differences.
  idempotent:
    support: full
    description: A report that holds the same already is left alone.
options:
  sides:
    description: Declarations by host. Without it they come from the C(ipsec_*) variables of O(hosts).
    type: dict
  hosts:
    description: Hosts and groups of the inventory to read; those that declare nothing are left out. A group stands for
      its hosts. Without it, all.
    type: list
    elements: str
  fail_on_findings:
    description: Whether an error fails the task. Warnings never do.
    type: bool
    default: true
  reports:
    description:
      - Files to write on the controller, whether there are findings or not. Each is written whole or not at all.
      - What a report of a large fleet leaves out it counts; errors are listed before warnings.
    version_added: 0.2.0
    type: list
    elements: dict
    default: []
    suboptions:
      format:
        description: V(text) for a log, V(json) for programs, V(markdown) for a merge request, V(sarif) (2.1.0) for
          forges and editors, with the lines of the inventory's files as far as Ansible knows them.
        type: str
        choices: [text, json, markdown, sarif]
        required: true
      path:
        description: The file. A relative one is next to the playbook.
        type: path
        required: true
"""

EXAMPLES = r"""
- name: Stop here if the two ends would not agree
  tandem.vpn.ipsec_validate:
  run_once: true

- name: Judge two sites only, and report to a merge request, in check mode too
  tandem.vpn.ipsec_validate:
    hosts: [hq, branch]
    fail_on_findings: false
    reports:
      - {format: markdown, path: reports/ipsec.md}
      - {format: sarif, path: reports/ipsec.sarif}
  run_once: true
  check_mode: false

- name: Judge declarations that stand in no inventory
  tandem.vpn.ipsec_validate:
    sides: "{{ sides }}"
  run_once: true
"""

RETURN = r"""
errors:
  description: A sentence for each error, of the first thousand.
  returned: always
  type: list
  elements: str
findings:
  description: Errors and then warnings as data, with C(code), C(severity), C(message), C(where), C(field), C(left),
    C(right), C(rule), C(fix), C(sites) and, for each of these, C(paths); the first thousand.
  returned: always
  type: list
  elements: dict
sides:
  description: The hosts that were read.
  returned: always
  type: list
  elements: str
summary:
  description: Counts of all there is, gateways and tunnels once for both ends.
  returned: always
  type: dict
  contains:
    sites:
      description: Sites that are declared.
      type: int
    gateways:
      description: Pairs of gateways that were held against each other.
      type: int
    tunnels:
      description: Tunnels that were held against each other.
      type: int
    agreeing:
      description: Those of them that would come up as declared.
      type: int
    errors:
      description: Findings that stop a play.
      type: int
    warnings:
      description: Findings that do not.
      type: int
tunnels:
  description: For each tunnel C(left) and C(right), the two sites, C(tunnel), its name at the left one, and whether it
    C(agrees); the first thousand, beginning with those that do not.
  returned: always
  type: list
  elements: dict
"""


# The action plugin of the same name does the work, on the controller.
