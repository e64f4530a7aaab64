# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel must be told about the daemon's own UDP sockets."""

from __future__ import annotations

import socket

from . import messages
from .messages import UDP_ENCAP_ESPINUDP, XFRM_POLICY_ALLOW, XFRM_POLICY_IN, XFRM_POLICY_OUT

#: linux/in.h, linux/in6.h, linux/udp.h.
_IP_XFRM_POLICY = 17
_IPV6_XFRM_POLICY = 35
_UDP_ENCAP = 100


def bypass_socket(opened: socket.socket) -> None:
    """Let this socket's traffic pass by every policy: IKE must not wait for the tunnel that it is to build.

    Needs CAP_NET_ADMIN. Raises OSError; where the kernel has no XFRM (ENOPROTOOPT) there is nothing to pass by.
    """
    level, option = ((socket.IPPROTO_IP, _IP_XFRM_POLICY) if opened.family == socket.AF_INET
                     else (socket.IPPROTO_IPV6, _IPV6_XFRM_POLICY))
    for direction in (XFRM_POLICY_IN, XFRM_POLICY_OUT):
        values = {"sel_family": opened.family, "dir": direction, "action": XFRM_POLICY_ALLOW}
        opened.setsockopt(level, option, messages.pack(messages.USERPOLICY_INFO, values))


def enable_espinudp(opened: socket.socket) -> None:
    """Have the kernel take ESP in UDP from this socket (RFC 3948); what is not ESP still reaches its reader.

    From then on the kernel keeps every ESP datagram, also those whose SPI it does not know. Raises OSError.
    """
    opened.setsockopt(socket.IPPROTO_UDP, _UDP_ENCAP, UDP_ENCAP_ESPINUDP)


def disable_espinudp(opened: socket.socket) -> None:
    """Leave ESP in UDP to this socket's reader again. Raises OSError."""
    opened.setsockopt(socket.IPPROTO_UDP, _UDP_ENCAP, 0)
