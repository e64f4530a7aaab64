#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_gateway
short_description: Keep an IPsec gateway, the Phase 1 with one peer
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - A gateway says who the peer is, how both prove who they are and how Phase 1 is protected.
  - An edit touches only the options that it names; the others keep what the host has, and a new object takes the
    defaults.
  - The key is compared with the one on the host, so a key that somebody changed by hand is put back; an edit that
    names no key keeps it.
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
  ike_version:
    description: V(1) or V(2). A new gateway has V(2).
    type: str
  mode:
    description: V(main), V(aggressive) or V(main-fallback-aggressive), with IKEv1 only, where a new one has V(main).
    type: str
  credential:
    description: What the two ends prove themselves with.
    type: dict
    suboptions:
      method:
        description: V(psk), V(hex-psk) or V(certificate).
        type: str
      psk:
        description: The pre-shared key, the same at both ends.
        type: str
      also_accepted:
        description: Other pre-shared keys by which the peer may prove itself while both ends change theirs. Given
          with O(credential.psk), or alone, the list replaces the one on the host.
        type: list
        elements: str
        version_added: 0.4.0
      certificate:
        description: The own certificate, as PEM text.
        type: str
      private_key:
        description: Its private key, as PEM text without a passphrase.
        type: str
      ca:
        description: Certificates of the authorities that the peer's must come from, as PEM texts.
        type: list
        elements: str
      chain:
        description: Certificates between the own one and its authority, as PEM texts.
        type: list
        elements: str
      crl:
        description: Revocation lists, as PEM texts.
        type: list
        elements: str
      ppk:
        description: A post-quantum pre-shared key beside the others, with IKEv2. C(id), by which both ends know it, and
          C(required), which is V(true) unless a peer without it is taken, too.
        type: dict
        version_added: 0.3.0
      ppk_key:
        description: That key, the same at both ends - text, or hexadecimal digits after C(0x).
        type: str
        version_added: 0.3.0
  endpoints:
    description:
      - Pairs of C(local) and C(remote), each with C(address) and C(identifier), an identifier with C(type) and
        C(value); a local one behind a NAT has the C(public_address) that peers reach for, too.
      - Given, the list replaces the one on the host.
    type: list
    elements: dict
  transforms:
    description: Names of Phase 1 transforms, in order of preference. A new gateway has V([default]).
    type: list
    elements: str
  nat_traversal:
    description:
      - C(enabled), a boolean, V(true) for a new gateway and always with IKEv2.
      - C(keep_alive), how often a NAT before this end sees a packet, a duration of V(1s) to V(1h), V(20s) for a new
        gateway. A duration is a number of seconds, or such as V(90s) or V(1h30m).
    type: dict
  dead_peer_detection:
    description:
      - C(enabled), a boolean, V(true) for a new gateway and always with IKEv2.
      - C(idle), the silence after which the peer is asked whether it lives, a duration of V(1s) to V(24h), V(20s) for a
        new gateway.
      - C(retries), how often it is asked again, at growing pauses, before it is dead, an integer of V(1) to V(100),
        V(5) for a new gateway. By default a dead peer is noticed after some 41 s, with C(idle=1s) and C(retries=2)
        after 2.2 s.
    type: dict
  ike_keep_alive:
    description:
      - With IKEv1 only, between two gateways of the same make.
      - C(enabled), a boolean, V(false) for a new gateway.
      - C(interval), how often the peer is asked whether it lives, a duration of V(1s) to V(1h), V(30s) for a new
        gateway.
      - C(failures), how many questions without an answer there are before it is dead, an integer of V(1) to V(100),
        V(5) for a new gateway.
    type: dict
  start:
    description:
      - Who brings the tunnels up. V(boot), this end, as soon as they are declared and whenever they are down.
        V(traffic), this end, when a packet wants one of their routes. V(answer), the peer alone.
      - A new gateway has V(boot).
    type: str
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: The peer at the branch
  tandem.vpn.ipsec_gateway:
    name: branch
    credential:
      method: psk
      psk: "{{ vault_branch_psk }}"
    endpoints:
      - local: {address: 192.0.2.2}
        remote: {address: 198.51.100.2}
    transforms: [p1]

- name: Only answer; nothing else of the gateway changes
  tandem.vpn.ipsec_gateway:
    name: branch
    start: answer

- name: A peer behind a NAT that forgets soon, on a line that is often down
  tandem.vpn.ipsec_gateway:
    name: branch
    ike_version: 2
    nat_traversal: {keep_alive: 10s}
    dead_peer_detection: {idle: 60s, retries: 10}

- name: A peer whose operator will set the new key there, some time this week
  tandem.vpn.ipsec_gateway:
    name: branch
    credential:
      method: psk
      psk: "{{ vault_branch_psk }}"
      also_accepted: ["{{ vault_new_psk }}"]

- name: A peer by certificates of either end's own authority, and a post-quantum key beside them
  tandem.vpn.ipsec_gateway:
    name: partner
    credential:
      method: certificate
      certificate: "{{ lookup('ansible.builtin.file', 'pki/hq.pem') }}"
      private_key: "{{ vault_hq_private_key }}"
      chain: ["{{ lookup('ansible.builtin.file', 'pki/issuing.pem') }}"]
      ca: ["{{ lookup('ansible.builtin.file', 'pki/partners-root.pem') }}"]
      crl: ["{{ lookup('ansible.builtin.file', 'pki/partners-root.crl') }}"]
      ppk: {id: hq-and-partner, required: true}
      ppk_key: "{{ vault_partner_ppk }}"
    endpoints:
      - local: {address: 192.0.2.2}
        remote: {address: 203.0.113.2, identifier: {type: domain-name, value: vpn.partner.example}}
    transforms: [p1]

- name: A peer of the same make that speaks IKEv1 alone
  tandem.vpn.ipsec_gateway:
    name: old
    ike_version: 1
    mode: main-fallback-aggressive
    credential: {method: psk, psk: "{{ vault_psk }}"}
    ike_keep_alive: {enabled: true, interval: 30s, failures: 5}
    dead_peer_detection: {enabled: false}
    endpoints:
      - local: {address: 192.0.2.2}
        remote: {address: 203.0.113.3}
    transforms: [p1]

- name: A peer that no tunnel needs any more
  tandem.vpn.ipsec_gateway:
    name: partner
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
    arguments.run_one("gateways", arguments.GATEWAY)


if __name__ == "__main__":
    main()
