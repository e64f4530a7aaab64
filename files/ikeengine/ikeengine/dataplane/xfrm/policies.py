# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route's policies: what the kernel holds so that nothing of it travels in clear."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pyroute2.netlink import nlmsg

from ...vpn.model import Protocol, Route
from ...vpn.selectors import Address, Network
from ..interface import Protection
from . import messages
from .binding import UNBOUND, Binding
from .messages import XFRM_POLICY_FWD, XFRM_POLICY_IN, XFRM_POLICY_OUT

#: Priorities of ours, lower ones win: PRIORITY_BASE less twice the prefix lengths, so that longer prefixes win.
PRIORITY_BASE = 0x1CE00
_PRIORITY_SPAN = 4 * 128 + 2


@dataclass(frozen=True, slots=True)
class Key:
    """What names a policy in the kernel: its selector and direction, and what binds it to a route-based tunnel's
    device. ``ifindex`` is 0 for any device.

    ``kernel_passes`` marks, by its priority, what the kernel data plane lets pass: that has no template either.
    """

    source: Network
    destination: Network
    direction: int
    ifindex: int = 0
    binding: Binding = UNBOUND
    kernel_passes: bool = field(default=False, compare=False)

    @property
    def priority(self) -> int:
        """A policy bound to a device goes before its like that is not, one that lets pass behind its like of a VTI."""
        return (PRIORITY_BASE - 2 * (self.source.prefixlen + self.destination.prefixlen) - bool(self.ifindex)
                + self.kernel_passes)

    @property
    def fields(self) -> dict[str, Any]:
        """``xfrm_userpolicy_id``."""
        return {
            "sel_saddr": self.source.network_address.packed, "sel_prefixlen_s": self.source.prefixlen,
            "sel_daddr": self.destination.network_address.packed, "sel_prefixlen_d": self.destination.prefixlen,
            "sel_family": messages.family(self.source), "sel_ifindex": self.ifindex, "dir": self.direction,
        }

    def __str__(self) -> str:
        bound = f" of {self.binding}" if self.binding != UNBOUND else ""
        return f"policy {('in', 'out', 'fwd')[self.direction]} {self.source} -> {self.destination}{bound}"


@dataclass(frozen=True, slots=True)
class Template:
    """The SA that a policy demands: outer source and destination, protocol and the kernel's reqid."""

    source: Address
    destination: Address
    protocol: Protocol
    reqid: int

    @property
    def fields(self) -> dict[str, Any]:
        """``xfrm_user_tmpl``."""
        return {
            "id_daddr": self.destination.packed, "id_proto": messages.IP_PROTOCOL[self.protocol],
            "family": messages.family(self.source), "saddr": self.source.packed, "reqid": self.reqid,
            "mode": messages.XFRM_MODE_TUNNEL, "aalgos": 0xFFFFFFFF, "ealgos": 0xFFFFFFFF, "calgos": 0xFFFFFFFF,
        }


#: What a policy does, and which SA it demands, if any.
Body: TypeAlias = tuple[int, Template | None]


def keys(route: Route, binding: Binding = UNBOUND) -> Iterator[Key]:
    """Every policy of a route: outbound, to this host and through it, for each pair of prefixes.

    A route's direction says which side may open connections, whose answers come back the other way. Policies know
    no connections, so they are the same for every direction.
    """
    for local in route.local.prefixes():
        for remote in route.remote.prefixes():
            yield Key(local, remote, XFRM_POLICY_OUT, binding=binding)
            yield Key(remote, local, XFRM_POLICY_IN, binding=binding)
            yield Key(remote, local, XFRM_POLICY_FWD, binding=binding)


def keys_of_near(protection: Protection) -> Iterator[Key]:
    """Every policy that lets pass what a protected route contains and what is near all the same."""
    for near in protection.local_only:
        yield from keys(Route(protection.route.local, near))


def policy(key: Key, action: int, template: Template | None = None,
           ) -> tuple[dict[str, Any], list[tuple[str, Mapping[str, Any]]]]:
    """``xfrm_userpolicy_info`` and its template."""
    lifetime = {f"lft_{kind}_{unit}_limit": messages.XFRM_INF
                for kind in ("soft", "hard") for unit in ("byte", "packet")}
    values = key.fields | lifetime | {"priority": key.priority, "action": action}
    return values, [*key.binding.attributes, *([("XFRMA_TMPL", template.fields)] if template is not None else [])]


def is_ours(priority: int) -> bool:
    return PRIORITY_BASE - _PRIORITY_SPAN < priority <= PRIORITY_BASE


def kernel_passes(message: Mapping[str, Any]) -> bool:
    """Whether a policy without a template is the kernel data plane's."""
    return not message["sel_ifindex"] and bool((PRIORITY_BASE - message["priority"]) % 2)


def body_of(message: nlmsg) -> Body:
    """What a policy that the kernel listed does; of several templates the first."""
    found = message.get_attr("XFRMA_TMPL")
    protocol = next((row for row, number in messages.IP_PROTOCOL.items()
                     if found is not None and number == found["id_proto"]), None)
    if protocol is None:
        return message["action"], None
    return message["action"], Template(messages.address_of(found["saddr"], found["family"]),
                                       messages.address_of(found["id_daddr"], found["family"]), protocol,
                                       found["reqid"])


def key_of(message: nlmsg) -> Key:
    """The name of a policy that the kernel listed."""
    family = message["sel_family"]
    source = messages.address_of(message["sel_saddr"], family)
    destination = messages.address_of(message["sel_daddr"], family)
    return Key(ipaddress.ip_network((source, message["sel_prefixlen_s"])),
               ipaddress.ip_network((destination, message["sel_prefixlen_d"])), message["dir"], message["sel_ifindex"],
               Binding.of(message))
