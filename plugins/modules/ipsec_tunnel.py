#!/usr/bin/python
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_tunnel
short_description: Keep an IPsec tunnel and its routes, Phase 2
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - A tunnel carries traffic between the networks of its routes, under the Phase 1 of its gateway.
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
  gateway:
    description: The gateway whose Phase 1 secures the tunnel. Needed for a new tunnel.
    type: str
  routes:
    description:
      - Pairs of C(local) and C(remote), each a host, a network or an address range, with a C(direction) of V(both),
        V(local-to-remote) or V(remote-to-local), which says who opens connections. The peer declares the mirror image.
      - Given, the list replaces the one on the host.
    type: list
    elements: dict
  proposals:
    description: Names of Phase 2 proposals, in order of preference. A new tunnel has V([default]).
    type: list
    elements: str
  pfs:
    description:
      - C(enabled), a boolean, V(true) for a new tunnel.
      - C(key_group), the Diffie-Hellman group's number, V(14), V(15), V(16), V(19), V(20), V(21), V(31), V(32), or the
        weak V(1), V(2), V(5); V(14) for a new tunnel. IKEv1 has neither V(31) nor V(32).
      - C(additional_key_exchange), V(ML-KEM-768), V(ML-KEM-1024) or V(none), with IKEv2; V(none) for a new tunnel.
    type: dict
  sa_pairs:
    description: V(per-route), or V(per-tunnel) for a peer that wants all routes of the tunnel in one SA pair (IKEv2). A
      new tunnel has V(per-route).
    type: str
    version_added: 0.3.0
  dataplane:
    description: V(auto), V(kernel) or V(userspace). A new tunnel has V(auto).
    type: str
  interface:
    description:
      - A virtual interface, which makes the tunnel route-based. It is for whatever is routed into that device, by the
        remote sides of O(routes) with its metric, or by a routing daemon where O(routes) are left out.
      - C(name), required, of at most 15 characters, and none of the kernel's or ikeengine's own, V(.), V(..), V(all),
        V(default), V(lo), V(ike0), V(iketest0) and V(iketest1).
      - C(addresses), a list of addresses with their prefix lengths, such as V(169.254.0.1/30); none by default.
      - C(metric), an integer of V(0) to V(4294967295). Without it, or with V(0), the routes have what Linux gives them,
        V(0) in IPv4 and V(1024) in IPv6.
      - The device is an xfrm interface, a VTI where the kernel has none, or a TUN device in userspace. There is one for
        each gateway.
    type: dict
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: LAN to LAN
  tandem.vpn.ipsec_tunnel:
    name: lan
    gateway: branch
    routes:
      - {local: 10.1.0.0/24, remote: 10.2.0.0/24}

- name: Another data plane, group and proposal; its gateway and routes stay
  tandem.vpn.ipsec_tunnel:
    name: lan
    proposals: [p2]
    pfs: {enabled: true, key_group: 19}
    dataplane: userspace

- name: Two networks that the peer wants in one SA pair
  tandem.vpn.ipsec_tunnel:
    name: lan
    routes:
      - {local: 10.1.0.0/24, remote: 10.2.0.0/24}
      - {local: 10.1.1.0/24, remote: 10.2.0.0/24}
    sa_pairs: per-tunnel

- name: A device of its own for all that is routed into it, by a routing daemon and by one route
  tandem.vpn.ipsec_tunnel:
    name: transit
    gateway: branch
    interface: {name: vpn0, addresses: [169.254.0.1/30], metric: 20}
    routes:
      - {local: 10.1.8.0/24, remote: 10.2.8.0/24}

- name: A tunnel that is no longer needed
  tandem.vpn.ipsec_tunnel:
    name: lan
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
    arguments.run_one("tunnels", arguments.TUNNEL)


if __name__ == "__main__":
    main()
