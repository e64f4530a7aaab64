#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_initiate
short_description: Have IPsec gateways begin that wait for traffic
version_added: 0.4.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Has gateways begin to bring up their tunnels now, as C(ikectl up) does, and does not wait for what comes of it.
    M(tandem.vpn.ipsec_info) with C(wait_for=tunnels) does.
  - The role P(tandem.vpn.ipsec_tunnel#role) uses it so that tunnels which wait for traffic can be proved, too.
extends_documentation_fragment:
  - tandem.vpn.attributes
attributes:
  check_mode:
    support: full
    description: Says which would begin, and has none begin.
  diff_mode:
    support: N/A
    description: No file changes.
  idempotent:
    support: full
    description: What is up does not begin again.
options:
  gateways:
    description: Those that are to begin where a tunnel of theirs is not up. By default all of C(start=traffic).
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: All that wait for traffic
  tandem.vpn.ipsec_initiate:

- name: This one, whatever it waits for
  tandem.vpn.ipsec_initiate:
    gateways: [branch]
"""

RETURN = r"""
initiated:
  description: The gateways that began, or would in check mode.
  returned: success
  type: list
  elements: str
  sample: [branch]
"""


from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tandem.vpn.plugins.module_utils.initiation import Refused, initiate


def main() -> None:
    module = AnsibleModule({"gateways": {"type": "list", "elements": "str"}}, supports_check_mode=True)
    try:
        begun = initiate(module.params["gateways"], check_mode=module.check_mode)
    except Refused as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(begun), initiated=begun)


if __name__ == "__main__":
    main()
