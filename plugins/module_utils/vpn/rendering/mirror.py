# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end of a gateway as the near end means it, for a peer whose side nobody has declared."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from ..model import CredentialMethod, Endpoint, EndpointPair, IdentityKind, Platform, Side, Start, Tunnel
from ..rules import nat


def far_end(side: Side, gateway: str, platform: Platform | None = None) -> Side:
    """A site with the one gateway and the tunnels that mirror those of ``side``. Raises KeyError.

    It has the same transforms, proposals and pre-shared key; of a certificate only the method, since its own is its
    own. It initiates where the near end only answers, and reaches for what a near end behind a NAT is known by.
    """
    near = side.gateway(gateway)
    credential = near.credential
    if near.method is CredentialMethod.CERTIFICATE:
        credential = replace(credential, secret=None, certificate=None, ca=(), chain=(), crl=())
    far = replace(
        near, name=side.name, credential=credential,
        endpoints=tuple(EndpointPair(pair.remote, _reached(pair)) for pair in near.endpoints),
        start=Start.BOOT if near.start is Start.ANSWER else near.start)
    return Side(gateway, (far,), tuple(_mirrored(tunnel, side.name) for tunnel in side.tunnels_of(gateway)),
                platform or Platform(), False, side.policy)


def _reached(pair: EndpointPair) -> Endpoint:
    """The near end as the far one has to reach for it: it cannot where the NAT's address is not declared."""
    local, remote = pair.local, pair.remote
    if local.reached is None or remote.address is None or not nat.between(local.reached, remote.address):
        return Endpoint(local.reached, local.identity)
    if local.identity.kind is IdentityKind.IP_ADDRESS:
        known = ipaddress.ip_address(local.identity.value)
        if not nat.between(known, remote.address):
            return Endpoint(known, local.identity)
    return Endpoint(None, local.identity)


def _mirrored(tunnel: Tunnel, gateway: str) -> Tunnel:
    interface = None if tunnel.interface is None else replace(tunnel.interface, addresses=())
    return replace(tunnel, gateway=gateway, routes=tuple(route.mirrored for route in tunnel.routes),
                   interface=interface)
