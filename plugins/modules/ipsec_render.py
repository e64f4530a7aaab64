#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_render
short_description: Write down what to enter at a peer that Ansible does not manage
version_added: 0.2.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Renders a site's declaration for whoever configures it by hand, as a sheet in the labels and the order of a
    Firebox's own pages, or as C(swanctl.conf) for strongSwan. What the product has no setting for is named.
  - Keys stand in files of their own, which only their owner can read. No other file, diff or result has them.
  - Everything happens on the controller; no host is touched or even reached.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.controller
attributes:
  check_mode:
    support: full
    description: Writes nothing.
  diff_mode:
    support: full
    description: Shows the files, without keys.
  idempotent:
    support: full
    description: Writes a file only where it differs.
options:
  site:
    description: A host of the inventory, or a site of C(ipsec_fleet) that is none. Without it, the task's host.
    type: str
  gateway:
    description: Render the far end of this gateway of O(site), as the gateway means it, for a partner whose side nobody
      has declared.
    type: str
  format:
    description: V(firebox) or V(swanctl). V(auto) is V(firebox) for a platform that runs Fireware, else V(swanctl).
    type: str
    choices: [auto, firebox, swanctl]
    default: auto
  dest:
    description: A folder on the controller, beside the playbook unless it is absolute.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: What the branch would enter, were it a strongSwan
  tandem.vpn.ipsec_render:
    site: branch
    format: swanctl
    dest: peers/branch

- name: A Firebox's sheet for the far end of a gateway that nobody has declared
  tandem.vpn.ipsec_render:
    gateway: branch
    format: firebox
    dest: peers/partner
"""

RETURN = r"""
files:
  description: The files without keys.
  returned: success
  type: list
  elements: str
secrets:
  description: The files with keys.
  returned: success
  type: list
  elements: str
"""


# The action plugin of the same name does the work, on the controller.
