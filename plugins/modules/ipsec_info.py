#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_info
short_description: Say what an IPsec gateway declares, does and can do
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Returns the declaration, the daemon's live state and the host's abilities. Secrets are never returned.
  - Works where the daemon is down or absent; RV(live) is then empty.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.looking
options:
  wait_for:
    description: Wait for the daemon to answer, for every declared tunnel to be up, or until O(gateways) have nothing
      up but what both ends have shown their declared credentials for, and are up where they start at boot. A wait that
      ends without success is no failure; see RV(ready).
    type: str
    choices: [nothing, daemon, tunnels, credentials]
    default: nothing
  gateways:
    description: The gateways whose credentials are waited for.
    version_added: 0.4.0
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Look
  tandem.vpn.ipsec_info:
  register: ipsec

- name: Give the tunnels five seconds, and say what holds them up
  tandem.vpn.ipsec_info:
    wait_for: tunnels
    timeout: 5
  register: ipsec

- name: Wait until the new key is proved
  tandem.vpn.ipsec_info:
    wait_for: credentials
    gateways: [branch]
    timeout: 1
  register: proved

- name: Show it
  ansible.builtin.debug:
    msg: "{{ 'Every tunnel is up.' if ipsec.ready else ipsec.live.tunnels | default(ipsec.reason) }}"
"""

RETURN = r"""
declared:
  description: The declaration on the host, without secrets; empty where there is none.
  returned: always
  type: dict
live:
  description: The daemon's answer to C(status); empty where it does not answer.
  returned: always
  type: dict
explained:
  description: What the daemon says of each gateway that has a tunnel which is not up, as C(ikectl explain) shows it. It
    has what both ends offered in the last negotiations, what matched and what did not, and what would mend it.
  returned: always
  type: dict
abilities:
  description: What the kernel and userspace can do.
  returned: always
  type: dict
ready:
  description: Whether what O(wait_for) names is there.
  returned: always
  type: bool
departures:
  description:
    - What somebody changed by hand, as far as the host alone can tell. The daemon does not run, has another declaration
      than the file or other keys; others than root can read the files; SAs, policies, rules, routes or a device that
      stand in the kernel for the daemon are gone or changed; or a gateway or tunnel was taken down.
    - The next run of the playbook mends all of it, and reports just that as changed.
  returned: always
  type: list
  elements: dict
  version_added: 0.4.0
  contains:
    what:
      description: What it is.
      type: str
    expected:
      description: How it is to be.
      type: str
    found:
      description: How it is.
      type: str
    fix:
      description: What mends it.
      type: str
    message:
      description: All of it in a sentence.
      type: str
  sample:
    - what: "tunnel lan: inbound SA c0ffee01"
      expected: in the kernel
      found: not there
      message: "tunnel lan: inbound SA c0ffee01 is not there"
      fix: Run the playbook again, or ikectl mend
drift:
  description: The sentences of RV(departures).
  returned: always
  type: list
  elements: str
reason:
  description: Why the daemon gave no live state, or an empty string.
  returned: always
  type: str
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tandem.vpn.plugins.module_utils.observation import observe


def main() -> None:
    module = AnsibleModule(
        {
            "wait_for": {"type": "str", "choices": ["nothing", "daemon", "tunnels", "credentials"],
                         "default": "nothing"},
            "gateways": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **observe(module.params["wait_for"], module.params["timeout"],
                                              module.params["gateways"]))


if __name__ == "__main__":
    main()
