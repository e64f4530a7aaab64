#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_engine
short_description: Install ikeengine, the IKE daemon, on a host
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Delivers the daemon as one archive, built on the controller and sent only to a host that does not have it, with
    its user, launchers, unit and forwarding.
  - Does not start the daemon. V(absent) stops it, so that it takes its SAs, policies and devices with it, and leaves
    nothing behind. Where that cannot be taken away it fails, and the daemon stays installed.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.converging
options:
  dependencies:
    description:
      - V(bundled) puts the pinned packages into the archive, so that the host needs neither pip nor internet.
      - V(venv) has the host install the pinned packages in a virtual environment, from its index or from
        O(wheel_dir).
      - V(system) uses the distribution's packages.
    type: str
    choices: [bundled, venv, system]
    default: bundled
  wheel_dir:
    description: A folder of wheels on the controller, used instead of a package index. A relative one is next to the
      playbook.
    type: path
  supervisor:
    description: V(systemd) installs a unit; V(command) and V(none) do not; V(auto) is V(systemd) where it runs and
      V(command) elsewhere.
    type: str
    choices: [auto, systemd, command, none]
    default: auto
  forward:
    description: Whether the kernel is to forward packets of the families that the host's tunnel routes use.
    type: bool
    default: true
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
  source:
    description: The identity of the daemon's source; the action plugin sets it.
    type: str
  archive:
    description: The archive on the host; the action plugin sets it.
    type: path
  checksum:
    description: The archive's SHA-256; the action plugin sets it.
    type: str
  families:
    description: Address families to forward; the action plugin sets it.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: The daemon for a host without internet, from a controller without a package index
  tandem.vpn.ipsec_engine:
    wheel_dir: wheels

- name: The distribution's packages, and nothing but the files
  tandem.vpn.ipsec_engine:
    dependencies: system
    supervisor: none
    forward: false

- name: No daemon any more
  tandem.vpn.ipsec_engine:
    state: absent
"""

RETURN = r"""
release:
  description: The archive's SHA-256, which names the release in force.
  returned: success
  type: str
restart:
  description: Whether a running daemon has to be restarted to become what was installed.
  returned: success
  type: bool
abilities:
  description: What the host's data planes can do, by name; empty where nothing is installed that could tell. In check
    mode a running daemon is asked, and nothing is tried out.
  returned: success
  type: dict
supervisor:
  description: What starts the daemon on this host, V(systemd), V(command) or V(none).
  returned: success
  type: str
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tandem.vpn.plugins.module_utils import installation


def main() -> None:
    module = AnsibleModule(
        {
            "dependencies": {"type": "str", "choices": ["bundled", "venv", "system"], "default": "bundled"},
            "wheel_dir": {"type": "path"},
            "supervisor": {"type": "str", "choices": ["auto", "systemd", "command", "none"], "default": "auto"},
            "forward": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "source": {"type": "str"},
            "archive": {"type": "path"},
            "checksum": {"type": "str"},
            "families": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**installation.converge(module.params, module.check_mode, module.run_command))
    except installation.InstallationError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
