#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_proposal
short_description: Keep a Phase 2 proposal on an IPsec gateway
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - A Phase 2 proposal is what a tunnel's traffic is protected with; tunnels refer to it by name.
  - An edit touches only the options that it names; the others keep what the host has, and a new object takes the
    defaults.
  - A running daemon loads the result at once. A declaration that it refuses is taken back and the old one stays in
    force.
extends_documentation_fragment:
  - tandem.vpn.attributes
  - tandem.vpn.attributes.converging
options:
  name:
    description: What it is called; unique among its kind on the host.
    type: str
    required: true
  protocol:
    description: V(ESP) or V(AH). A new proposal has V(ESP).
    type: str
  authentication:
    description: The hash, V(SHA2-256), V(SHA2-384), V(SHA2-512), or the weak V(MD5), V(SHA1); none with AES-GCM and
      ChaCha20-Poly1305. A new proposal has V(SHA2-256).
    type: str
  encryption:
    description: The cipher, V(AES-128), V(AES-192), V(AES-256), V(AES-GCM-128), V(AES-GCM-192), V(AES-GCM-256),
      V(ChaCha20-Poly1305), or the weak V(DES), V(3DES); V(none) with AH. A new proposal has V(AES-256).
    type: str
  force_key_expiration:
    description: When keys are replaced; at least one of the two. A new proposal has C(time=8h).
    type: dict
    suboptions:
      time:
        description: V(10s) to V(8760h), a year.
        type: str
      traffic:
        description: From V(64 kB), such as V(128000 kB) or V(2 GB).
        type: str
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Phase 2 with an AEAD
  tandem.vpn.ipsec_proposal:
    name: p2
    encryption: AES-GCM-256
    force_key_expiration:
      time: 8h

- name: Phase 2 with AES-CBC and new keys by time and traffic
  tandem.vpn.ipsec_proposal:
    name: p2-cbc
    protocol: ESP
    encryption: AES-256
    authentication: SHA2-256
    force_key_expiration:
      time: 8h
      traffic: 128000 kB

- name: A proposal that no tunnel refers to any more
  tandem.vpn.ipsec_proposal:
    name: p2-cbc
    state: absent
"""

RETURN = r"""
daemon:
  description: What a running daemon made of it.
  returned: success
  type: str
  choices: [reloaded, unchanged, not running]
findings:
  description: The declaration's errors, where it has any.
  returned: failure
  type: list
  elements: dict
"""


from ansible_collections.tandem.vpn.plugins.module_utils import arguments


def main() -> None:
    arguments.run_one("proposals", arguments.PROPOSAL)


if __name__ == "__main__":
    main()
