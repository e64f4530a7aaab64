#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_transform
short_description: Keep a Phase 1 transform on an IPsec gateway
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - A Phase 1 transform is what an IKE SA is protected with; gateways refer to it by name.
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
  authentication:
    description: The hash, V(SHA2-256), V(SHA2-384), V(SHA2-512), or the weak V(MD5), V(SHA1). With AES-GCM and
      ChaCha20-Poly1305 it names the PRF. A new transform has V(SHA2-256).
    type: str
  encryption:
    description: The cipher, V(AES-128), V(AES-192), V(AES-256), V(AES-GCM-128), V(AES-GCM-192), V(AES-GCM-256),
      V(ChaCha20-Poly1305), or the weak V(DES), V(3DES). A new transform has V(AES-256).
    type: str
  sa_life:
    description: How long an IKE SA lives, V(10s) to V(8760h), a year. A new transform has V(24h).
    type: str
  key_group:
    description: The Diffie-Hellman group's number, V(14), V(15), V(16), V(19), V(20), V(21), V(31), V(32), or the weak
      V(1), V(2), V(5). A new transform has V(14).
    type: str
  additional_key_exchange:
    description: V(ML-KEM-768), V(ML-KEM-1024) or V(none), a post-quantum exchange beside the key group, with IKEv2. A
      new transform has V(none).
    type: str
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Phase 1 with elliptic curves
  tandem.vpn.ipsec_transform:
    name: p1
    encryption: AES-GCM-256
    authentication: SHA2-384
    key_group: 20

- name: Phase 1 that a quantum computer does not open later
  tandem.vpn.ipsec_transform:
    name: hybrid
    encryption: AES-GCM-256
    key_group: 31
    additional_key_exchange: ML-KEM-768

- name: A life of eight hours; nothing else of the transform changes
  tandem.vpn.ipsec_transform:
    name: p1
    sa_life: 8h

- name: A transform that no gateway refers to any more
  tandem.vpn.ipsec_transform:
    name: p1-old
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
    arguments.run_one("transforms", arguments.TRANSFORM)


if __name__ == "__main__":
    main()
