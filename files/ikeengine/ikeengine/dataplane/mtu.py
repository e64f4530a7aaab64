# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large an inner packet may be, in octets, so that what becomes of it fits the path."""

from __future__ import annotations

from collections.abc import Iterable

from ..security_association import ChildSa
from ..vpn.algorithms import AUTHENTICATIONS, ENCRYPTIONS, Authentication, Encryption
from ..vpn.model import Proposal

PATH_MTU = 1500
_OUTER_HEADER = {4: 20, 6: 40}
_UDP_HEADER = 8
_ESP_HEADER = 8
_ESP_TRAILER = 2
_ESP_ALIGNMENT = 4
_AH_HEADER = 12
_AH_ALIGNMENT = 8


def inner_mtu(path_mtu: int, outer_version: int, encryption: Encryption, authentication: Authentication | None,
              in_udp: bool = True) -> int:
    """With ESP, in UDP or not (RFC 4303 §2, RFC 3948 §2.1)."""
    icv = encryption.icv_size if authentication is None else authentication.icv_size
    headers = _OUTER_HEADER[outer_version] + _UDP_HEADER * in_udp + _ESP_HEADER
    room = path_mtu - headers - encryption.iv_size - icv
    return room - room % max(encryption.block_size, _ESP_ALIGNMENT) - _ESP_TRAILER


def smallest_mtu(path_mtu: int) -> int:
    """With every algorithm of the table, over either outer protocol."""
    return min(inner_mtu(path_mtu, 6, encryption, None if encryption.aead else authentication)
               for encryption in ENCRYPTIONS for authentication in AUTHENTICATIONS)


def mtu_for(proposals: Iterable[Proposal], outer_version: int) -> int:
    """Whichever proposal is agreed on: both ends come to the same, as OSPF wants it (RFC 2328 §10.6)."""
    return min(_with_ah(PATH_MTU, proposal.authentication, outer_version) if proposal.encryption is None
               else inner_mtu(PATH_MTU, outer_version, proposal.encryption, proposal.authentication)
               for proposal in proposals)


def mtu_of(child: ChildSa, path_mtu: int) -> int:
    """With what was agreed on."""
    version = child.remote.address.version
    if child.encryption is None:
        return _with_ah(path_mtu, child.authentication, version)
    return inner_mtu(path_mtu, version, child.encryption, child.authentication, child.udp_encapsulated)


def _with_ah(path_mtu: int, authentication: Authentication | None, outer_version: int) -> int:
    """RFC 4302 §2."""
    header = _AH_HEADER + (authentication.icv_size if authentication is not None else 0)
    return path_mtu - _OUTER_HEADER[outer_version] - -(-header // _AH_ALIGNMENT) * _AH_ALIGNMENT
