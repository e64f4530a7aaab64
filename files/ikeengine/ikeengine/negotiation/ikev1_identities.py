# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnel routes as the identifications of Quick Mode (RFC 2407 §4.6.2)."""

from __future__ import annotations

import ipaddress

from ..vpn.selectors import Selector
from ..wire.traffic_selectors import TrafficSelector
from ..wire.v1.constants import IdType
from ..wire.v1.identification import Identification

_HOSTS = {4: IdType.IPV4_ADDR, 6: IdType.IPV6_ADDR}
_NETWORKS = {4: IdType.IPV4_ADDR_SUBNET, 6: IdType.IPV6_ADDR_SUBNET}
_RANGES = {4: IdType.IPV4_ADDR_RANGE, 6: IdType.IPV6_ADDR_RANGE}


def to_wire(selector: Selector) -> Identification:
    """A host, a network or a range: what says it shortest."""
    if selector.first == selector.last:
        return Identification(_HOSTS[selector.version], selector.first.packed)
    if selector.is_range:
        return Identification(_RANGES[selector.version], selector.first.packed + selector.last.packed)
    (network,) = selector.prefixes()
    return Identification(_NETWORKS[selector.version], network.network_address.packed + network.netmask.packed)


def from_wire(row: Identification) -> Selector | None:
    """The addresses, for all protocols and ports: the only kind a tunnel route can be. None for any other."""
    if row.protocol or row.port:
        return None
    half = len(row.data) // 2
    try:
        if row.id_type in _HOSTS.values():
            address = ipaddress.ip_address(row.data)
            return Selector.between(address, address)
        first, second = row.data[:half], row.data[half:]
        if row.id_type in _RANGES.values():
            return Selector.between(ipaddress.ip_address(first), ipaddress.ip_address(second))
        if row.id_type in _NETWORKS.values():
            return Selector.of(ipaddress.ip_network((first, _prefix_length(second)), strict=False))
    except ValueError:
        return None
    return None


def _prefix_length(mask: bytes) -> int:
    """Raises ValueError where the mask has holes."""
    bits = f"{int.from_bytes(mask, 'big'):0{len(mask) * 8}b}"
    if "01" in bits:
        raise ValueError("the mask has holes")
    return bits.count("1")


def to_selector(row: Identification) -> TrafficSelector:
    """The same as IKEv2 would say it, for sentences; what has no addresses is those of nobody."""
    known = from_wire(Identification(row.id_type, row.data))
    nobody = ipaddress.IPv4Address(0)
    first, last = (known.first, known.last) if known is not None else (nobody, nobody)
    ports = (row.port, row.port) if row.port else (0, 65535)
    return TrafficSelector(first, last, row.protocol, *ports)


def text(row: Identification) -> str:
    """For the operator."""
    selector = from_wire(Identification(row.id_type, row.data))
    words = str(selector) if selector is not None else f"type {row.id_type} {row.data[:64].hex()}"
    return words + (f" (protocol {row.protocol}, port {row.port})" if row.protocol or row.port else "")
