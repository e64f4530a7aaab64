# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NETLINK_XFRM messages as fields and attributes (linux/xfrm.h), on pyroute2's declarations.

The layouts are those of 64-bit kernels, where a 64-bit integer is aligned to 8 octets. Addresses are 16 octets in
network order, an IPv4 address in the first four (``xfrm_address_t``). SPIs and ports are in network order, all other
integers in the host's. ``complete`` fills what a caller leaves out with zeros, as a C initialiser does.
"""

# mypy: disable-error-code="misc"
# pyroute2 has no types, so its classes are Any to subclass.
from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6
from typing import Any, TypeAlias

from pyroute2.netlink import nla, nlmsg

from ...vpn.model import Protocol
from ...vpn.selectors import Address, Network

XFRM_MSG_NEWSA = 0x10
XFRM_MSG_DELSA = 0x11
XFRM_MSG_GETSA = 0x12
XFRM_MSG_NEWPOLICY = 0x13
XFRM_MSG_DELPOLICY = 0x14
XFRM_MSG_GETPOLICY = 0x15
XFRM_MSG_ALLOCSPI = 0x16
XFRM_MSG_ACQUIRE = 0x17
XFRM_MSG_EXPIRE = 0x18
XFRM_MSG_UPDPOLICY = 0x19
XFRM_MSG_UPDSA = 0x1A
XFRM_MSG_MAPPING = 0x26

#: Multicast groups (enum xfrm_nlgroups).
XFRMNLGRP_ACQUIRE = 1
XFRMNLGRP_EXPIRE = 2
XFRMNLGRP_MAPPING = 8

XFRM_POLICY_IN = 0
XFRM_POLICY_OUT = 1
XFRM_POLICY_FWD = 2
XFRM_POLICY_ALLOW = 0
XFRM_POLICY_BLOCK = 1

XFRM_MODE_TUNNEL = 1
XFRM_STATE_AF_UNSPEC = 32
XFRM_STATE_ALIGN4 = 64
XFRM_STATE_ESN = 128
XFRM_INF = (1 << 64) - 1
UDP_ENCAP_ESPINUDP = 2

#: IP protocol numbers (RFC 4303, RFC 4302).
IP_PROTOCOL = {Protocol.ESP: 50, Protocol.AH: 51}

Layout: TypeAlias = tuple[tuple[str, str], ...]
Values: TypeAlias = dict[str, Any]


def embedded(prefix: str, layout: Layout) -> Layout:
    """A struct inside another: its fields' names under a prefix."""
    return tuple((f"{prefix}_{name}", fmt) for name, fmt in layout)


def complete(layout: Layout, values: Mapping[str, Any]) -> Values:
    """Every field of the layout; those not given are zero. Raises KeyError on a field that the layout lacks."""
    if unknown := values.keys() - {name for name, _format in layout}:
        raise KeyError(f"no such field: {', '.join(sorted(unknown))}")
    return {name: values.get(name, b"" if fmt.endswith("s") else 0) for name, fmt in layout}


def pack(layout: Layout, values: Mapping[str, Any]) -> bytes:
    """A struct by itself, without a message around it."""
    return b"".join(struct.pack(fmt, value) for (_name, fmt), value in
                    zip(layout, complete(layout, values).values(), strict=True))


def size_of(layout: Layout) -> int:
    return sum(struct.calcsize(fmt) for _name, fmt in layout)


def family(value: Address | Network) -> int:
    return AF_INET if value.version == 4 else AF_INET6


def address_of(octets: bytes, address_family: int) -> Address:
    """The address in an ``xfrm_address_t``."""
    return IPv4Address(octets[:4]) if address_family == AF_INET else IPv6Address(octets)


SELECTOR: Layout = (
    ("daddr", "16s"), ("saddr", "16s"), ("dport", ">H"), ("dport_mask", ">H"), ("sport", ">H"), ("sport_mask", ">H"),
    ("family", "H"), ("prefixlen_d", "B"), ("prefixlen_s", "B"), ("proto", "B"), ("pad", "3s"), ("ifindex", "i"),
    ("user", "I"),
)
ID: Layout = (("daddr", "16s"), ("spi", ">I"), ("proto", "B"), ("pad", "3s"))
LIFETIME: Layout = (
    ("soft_byte_limit", "Q"), ("hard_byte_limit", "Q"), ("soft_packet_limit", "Q"), ("hard_packet_limit", "Q"),
    ("soft_add_expires_seconds", "Q"), ("hard_add_expires_seconds", "Q"), ("soft_use_expires_seconds", "Q"),
    ("hard_use_expires_seconds", "Q"),
)
CURRENT_LIFETIME: Layout = (("bytes", "Q"), ("packets", "Q"), ("add_time", "Q"), ("use_time", "Q"))
USERSA_INFO: Layout = (
    *embedded("sel", SELECTOR), *embedded("id", ID), ("saddr", "16s"), *embedded("lft", LIFETIME),
    *embedded("curlft", CURRENT_LIFETIME), ("stats_replay_window", "I"), ("stats_replay", "I"),
    ("stats_integrity_failed", "I"), ("seq", "I"), ("reqid", "I"), ("family", "H"), ("mode", "B"),
    ("replay_window", "B"), ("flags", "B"), ("pad", "7s"),
)
USERSA_ID: Layout = (("daddr", "16s"), ("spi", ">I"), ("family", "H"), ("proto", "B"), ("pad", "1s"))
USERPOLICY_INFO: Layout = (
    *embedded("sel", SELECTOR), *embedded("lft", LIFETIME), *embedded("curlft", CURRENT_LIFETIME), ("priority", "I"),
    ("index", "I"), ("dir", "B"), ("action", "B"), ("flags", "B"), ("share", "B"), ("pad", "4s"),
)
REPLAY_ESN: Layout = (
    ("bmp_len", "I"), ("oseq", "I"), ("seq", "I"), ("oseq_hi", "I"), ("seq_hi", "I"), ("replay_window", "I"),
    ("bmp", "s"),
)


class StateAttributes:
    """The attributes that states carry (enum xfrm_attr_type_t)."""

    nla_map = (
        (2, "XFRMA_ALG_CRYPT", "algorithm"),
        (4, "XFRMA_ENCAP", "encapsulation"),
        (5, "XFRMA_TMPL", "template"),
        (9, "XFRMA_LTIME_VAL", "current_lifetime"),
        (10, "XFRMA_REPLAY_VAL", "replay"),
        (18, "XFRMA_ALG_AEAD", "algorithm_aead"),
        (20, "XFRMA_ALG_AUTH_TRUNC", "algorithm_auth"),
        (21, "XFRMA_MARK", "mark"),
        (23, "XFRMA_REPLAY_ESN_VAL", "replay_esn"),
        (31, "XFRMA_IF_ID", "if_id"),
        (32, "XFRMA_MTIMER_THRESH", "mapping_pause"),
    )

    class mapping_pause(nla):
        """u32: seconds between two XFRM_MSG_MAPPING of the same port. Kernels before 5.18 pass it over."""

        fields = (("seconds", "I"),)

    class algorithm(nla):
        """struct xfrm_algo { char alg_name[64]; u32 alg_key_len /* bits */; char alg_key[]; }"""

        fields = (("alg_name", "64s"), ("alg_key_len", "I"), ("alg_key", "s"))

    class algorithm_auth(nla):
        """struct xfrm_algo_auth { char alg_name[64]; u32 alg_key_len, alg_trunc_len /* bits */; char alg_key[]; }"""

        fields = (("alg_name", "64s"), ("alg_key_len", "I"), ("alg_trunc_len", "I"), ("alg_key", "s"))

    class algorithm_aead(nla):
        """struct xfrm_algo_aead { char alg_name[64]; u32 alg_key_len, alg_icv_len /* bits */; char alg_key[]; }"""

        fields = (("alg_name", "64s"), ("alg_key_len", "I"), ("alg_icv_len", "I"), ("alg_key", "s"))

    class encapsulation(nla):
        """struct xfrm_encap_tmpl { u16 encap_type; be16 encap_sport, encap_dport; xfrm_address_t encap_oa; }"""

        fields = (("encap_type", "H"), ("encap_sport", ">H"), ("encap_dport", ">H"), ("pad", "2s"),
                  ("encap_oa", "16s"))

    class template(nla):
        """struct xfrm_user_tmpl { xfrm_id id; u16 family; xfrm_address_t saddr; u32 reqid; u8 mode, share, optional;
        u32 aalgos, ealgos, calgos; }
        """

        fields = (*embedded("id", ID), ("family", "H"), ("pad", "2s"), ("saddr", "16s"), ("reqid", "I"), ("mode", "B"),
                  ("share", "B"), ("optional", "B"), ("pad2", "1s"), ("aalgos", "I"), ("ealgos", "I"),
                  ("calgos", "I"))

    class current_lifetime(nla):
        """struct xfrm_lifetime_cur { u64 bytes, packets, add_time, use_time; }"""

        fields = CURRENT_LIFETIME

    class mark(nla):
        """struct xfrm_mark { u32 v /* value */, m /* mask */; }"""

        fields = (("v", "I"), ("m", "I"))

    class if_id(nla):
        """u32"""

        fields = (("number", "I"),)

    class replay(nla):
        """struct xfrm_replay_state { u32 oseq, seq, bitmap; }"""

        fields = (("oseq", "I"), ("seq", "I"), ("bitmap", "I"))

    class replay_esn(nla):
        """struct xfrm_replay_state_esn { u32 bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window, bmp[]; }

        ``bmp`` may be left out: the kernel then takes it as zeros.
        """

        fields = REPLAY_ESN

        def decode(self) -> None:
            nla.decode(self)
            start = self.offset + 4 + size_of(REPLAY_ESN[:-1])
            self["bmp"] = bytes(self.data[start:self.offset + self.length])


class usersa_info(StateAttributes, nlmsg):
    """struct xfrm_usersa_info { xfrm_selector sel; xfrm_id id; xfrm_address_t saddr; xfrm_lifetime_cfg lft;
    xfrm_lifetime_cur curlft; xfrm_stats stats; u32 seq, reqid; u16 family; u8 mode, replay_window, flags; }
    """

    fields = USERSA_INFO


class usersa_id(StateAttributes, nlmsg):
    """struct xfrm_usersa_id { xfrm_address_t daddr; be32 spi; u16 family; u8 proto; }"""

    fields = USERSA_ID


class userspi_info(StateAttributes, nlmsg):
    """struct xfrm_userspi_info { xfrm_usersa_info info; u32 min, max; }"""

    fields = (*embedded("info", USERSA_INFO), ("min", "I"), ("max", "I"))


class userpolicy_info(StateAttributes, nlmsg):
    """struct xfrm_userpolicy_info { xfrm_selector sel; xfrm_lifetime_cfg lft; xfrm_lifetime_cur curlft; u32 priority,
    index; u8 dir, action, flags, share; }
    """

    fields = USERPOLICY_INFO


class userpolicy_id(StateAttributes, nlmsg):
    """struct xfrm_userpolicy_id { xfrm_selector sel; u32 index; u8 dir; }"""

    fields = (*embedded("sel", SELECTOR), ("index", "I"), ("dir", "B"), ("pad", "3s"))


class user_acquire(StateAttributes, nlmsg):
    """struct xfrm_user_acquire { xfrm_id id; xfrm_address_t saddr; xfrm_selector sel; xfrm_userpolicy_info policy;
    u32 aalgos, ealgos, calgos, seq; }
    """

    fields = (*embedded("id", ID), ("saddr", "16s"), *embedded("sel", SELECTOR), *embedded("policy", USERPOLICY_INFO),
              ("aalgos", "I"), ("ealgos", "I"), ("calgos", "I"), ("seq", "I"))


class user_expire(StateAttributes, nlmsg):
    """struct xfrm_user_expire { xfrm_usersa_info state; u8 hard; }"""

    fields = (*embedded("state", USERSA_INFO), ("hard", "B"), ("pad", "7s"))


class user_mapping(StateAttributes, nlmsg):
    """struct xfrm_user_mapping { xfrm_usersa_id id; u32 reqid; xfrm_address_t old_saddr, new_saddr; be16 old_sport,
    new_sport; }
    """

    fields = (*embedded("id", USERSA_ID), ("reqid", "I"), ("old_saddr", "16s"), ("new_saddr", "16s"),
              ("old_sport", ">H"), ("new_sport", ">H"))


#: What each message type carries.
MESSAGES: dict[int, type[nlmsg]] = {
    XFRM_MSG_NEWSA: usersa_info, XFRM_MSG_UPDSA: usersa_info, XFRM_MSG_DELSA: usersa_id, XFRM_MSG_GETSA: usersa_id,
    XFRM_MSG_ALLOCSPI: userspi_info, XFRM_MSG_NEWPOLICY: userpolicy_info, XFRM_MSG_UPDPOLICY: userpolicy_info,
    XFRM_MSG_DELPOLICY: userpolicy_id, XFRM_MSG_GETPOLICY: userpolicy_id, XFRM_MSG_ACQUIRE: user_acquire,
    XFRM_MSG_EXPIRE: user_expire, XFRM_MSG_MAPPING: user_mapping,
}


_LAYOUTS = {name: getattr(StateAttributes, layout).fields for _number, name, layout in StateAttributes.nla_map}


def build(kind: int, values: Mapping[str, Any] | None = None,
          attributes: Iterable[tuple[str, Mapping[str, Any]]] = ()) -> nlmsg:
    """A request, not yet encoded. Raises KeyError on a field that its struct lacks."""
    message = MESSAGES[kind]()
    message.update(complete(message.fields, values or {}))
    message["attrs"] = [(name, complete(_LAYOUTS[name], fields)) for name, fields in attributes]
    message["header"] = {"type": kind, "flags": 0, "sequence_number": 0, "pid": 0}
    return message


def parse(kind: int, octets: bytes) -> nlmsg | None:
    """A decoded message, header included, or None where the type is none of ours."""
    if (declared := MESSAGES.get(kind)) is None:
        return None
    message = declared(octets)
    message.decode()
    return message
