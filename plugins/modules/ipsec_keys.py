#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_keys
short_description: Make the pre-shared keys that a fleet lacks, and keep them on the controller
version_added: 0.2.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Every pair of sites that C(ipsec_fleet) joins has a key of its own, of 32 random octets, made once. It stays the
    same whichever of the two hosts is built anew.
  - The keys are kept in the file that C(ipsec_psk_file) names, relative to the playbook, and in an ad-hoc command
    to the current directory. It is encrypted with ansible-vault under C(ipsec_psk_vault_id) where that is set, and has
    mode 0600 in any case.
  - A new site adds keys and changes none. The key of a link that is taken out of the fleet stays in the file, so that
    the link has it again when it comes back.
  - Links for which the fleet gives a key, and links with certificates, need none here.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.controller
attributes:
  check_mode:
    support: full
    description: Says which keys would be made.
  diff_mode:
    support: none
    description: A key appears nowhere.
  idempotent:
    support: partial
    description: A key that is there is changed only where O(renew) names it, and then each time.
options:
  hosts:
    description: Hosts and groups of the inventory whose fleets count. A group stands for its hosts. Without it, the
      hosts of the play.
    type: list
    elements: str
  renew:
    description: Pairs of sites, as C(branch<->hq), that get another key although they have one. The next run of the
      role P(tandem.vpn.ipsec_gateway#role) changes it at both ends without a lost packet.
    version_added: 0.4.0
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Make what keys are missing
  tandem.vpn.ipsec_keys:
  run_once: true

- name: Another key for one pair of sites
  tandem.vpn.ipsec_keys:
    renew: [branch<->hq]
  run_once: true

- name: Also for the hosts of another play
  tandem.vpn.ipsec_keys:
    hosts: all
  run_once: true
"""

RETURN = r"""
files:
  description: The files that hold the keys.
  returned: success
  type: list
  elements: str
made:
  description: The pairs of sites whose key is new.
  returned: success
  type: list
  elements: str
  sample: ["branch<->hq"]
"""


# The action plugin of the same name does the work, on the controller.
