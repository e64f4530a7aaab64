# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits into a path, by suite and encapsulation."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ikeengine.dataplane.mtu import mtu_of
from ikeengine.security_association import ChildSa, DirectionKeys, SocketAddress
from ikeengine.vpn.algorithms import authentication, encryption
from ikeengine.vpn.model import Expiration, Protocol

NO_KEYS = DirectionKeys(b"", b"")


@pytest.mark.parametrize(("protocol", "cipher", "hash_name", "in_udp", "remote", "path", "fits"), [
    (Protocol.ESP, "AES-256", "SHA2-256", True, "198.51.100.1", 1500, 1422),
    (Protocol.ESP, "AES-256", "SHA2-256", False, "198.51.100.1", 1500, 1438),
    (Protocol.ESP, "AES-GCM-128", None, False, "198.51.100.1", 1500, 1446),
    (Protocol.ESP, "AES-GCM-128", None, True, "2001:db8::1", 1500, 1418),
    (Protocol.ESP, "AES-256", "SHA2-256", True, "198.51.100.1", 1280, 1198),
    (Protocol.AH, None, "SHA2-256", False, "198.51.100.1", 1500, 1448),
])
def test_what_fits(protocol: Protocol, cipher: str | None, hash_name: str | None, in_udp: bool, remote: str, path: int,
                   fits: int) -> None:
    far = SocketAddress(ip_address(remote), 4500)
    child = ChildSa("lan", "peer", protocol, encryption(cipher) if cipher else None,
                    authentication(hash_name) if hash_name else None, False, 1, 2, NO_KEYS, NO_KEYS, far, far, in_udp,
                    (), Expiration(28800, None))
    assert mtu_of(child, path) == fits
