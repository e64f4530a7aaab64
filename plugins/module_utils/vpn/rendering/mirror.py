# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end of a gateway as the near end means it, for a peer whose side nobody has declared."""

from __future__ import annotations

from dataclasses import replace

from ..model import CredentialMethod, EndpointPair, Platform, Side, Start, Tunnel


def far_end(side: Side, gateway: str, platform: Platform | None = None) -> Side:
    """A site with the one gateway and the tunnels that mirror those of ``side``. Raises KeyError.

    It has the same transforms, proposals and pre-shared key; of a certificate only the method, since its own is its
    own. It initiates where the near end only answers.
    """
    near = side.gateway(gateway)
    credential = near.credential
    if near.method is CredentialMethod.CERTIFICATE:
        credential = replace(credential, secret=None, certificate=None, ca=(), chain=(), crl=())
    far = replace(
        near, name=side.name, credential=credential,
        endpoints=tuple(EndpointPair(pair.remote, pair.local) for pair in near.endpoints),
        start=Start.BOOT if near.start is Start.ANSWER else near.start)
    return Side(gateway, (far,), tuple(_mirrored(tunnel, side.name) for tunnel in side.tunnels_of(gateway)),
                platform or Platform(), False, side.policy)


def _mirrored(tunnel: Tunnel, gateway: str) -> Tunnel:
    interface = None if tunnel.interface is None else replace(tunnel.interface, addresses=())
    return replace(tunnel, gateway=gateway, routes=tuple(route.mirrored for route in tunnel.routes),
                   interface=interface)
