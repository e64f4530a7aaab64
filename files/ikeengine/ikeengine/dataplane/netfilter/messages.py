# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nf_tables messages as octets (linux/netfilter/nf_tables.h): tables, chains, rules, maps and counters.

Integers in attributes are in network order. What a rule compares is as the kernel has it: addresses and MSS in network
order, numbers of devices and SAs in the host's.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from pyroute2.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP

from ...vpn.selectors import Address

#: From linux/netfilter/nfnetlink.h.
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
NFNLGRP_NFTABLES = 7

NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = 0, 1, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN = 3, 4
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8
NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 9, 12, 13, 14
NFT_MSG_NEWOBJ, NFT_MSG_GETOBJ = 18, 19
_MAKING = {NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWOBJ}
_LISTING = {NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSETELEM}

#: linux/netfilter.h.
NFPROTO = {4: 2, 6: 10}
NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT = 1, 2, 3
NF_DROP, NFT_JUMP, NFT_RETURN = 0, -3, -5
_NFPROTO_INET = 1

CMP_EQ, CMP_NEQ, CMP_LTE, CMP_GTE = 0, 1, 3, 5
META_IIF, META_OIF, META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO = 4, 5, 6, 7, 15, 16

_BEHIND_HEADERS = 20  # of netlink and of nfnetlink
_REGISTER = 1
_NESTED = 0x8000
_NAME_SIZE = 16
_SET_IS_MAP = 8
_OBJECT_COUNTER = 1
_IPPROTO_TCP = 6
_TCPOPT_MAXSEG = 2
_SYN, _RST = 2, 4
#: libnftables' numbers of types, by which nft shows what a map holds: a mark and a port, for want of better.
_TYPE_MARK, _TYPE_NAME, _TYPE_SERVICE = 19, 41, 13


class Message(NamedTuple):
    """One of a batch: its type, flags beside those that every request has, and octets after the netlink header."""

    kind: int
    body: bytes
    flags: int = 0


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(_NESTED | kind, b"".join(attributes))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def host_number(value: int) -> bytes:
    """A device's or an SA's number, as rules find it."""
    return value.to_bytes(4, sys.byteorder)


def device_name(value: str) -> bytes:
    """A device's name, as rules find it."""
    return value.encode().ljust(_NAME_SIZE, b"\0")


def _message(kind: int, *attributes: bytes, flags: int = 0) -> Message:
    return Message(NFNL_SUBSYS_NFTABLES << 8 | kind, struct.pack(">BBH", _NFPROTO_INET, 0, 0) + b"".join(attributes),
                   flags | (NLM_F_CREATE if kind in _MAKING else 0))


def batch_end(kind: int) -> Message:
    """The beginning or the end of a transaction."""
    return Message(kind, struct.pack(">BBH", 0, 0, NFNL_SUBSYS_NFTABLES))


def table(kind: int, name: str) -> Message:
    return _message(kind, _text(1, name))


def chain(table_name: str, name: str) -> Message:
    return _message(NFT_MSG_NEWCHAIN, _text(1, table_name), _text(3, name))


def base_chain(table_name: str, name: str, hook: int, priority: int) -> Message:
    """A chain that the kernel enters at that hook. What falls through goes on."""
    place = _nested(4, _u32(1, hook), attribute(2, struct.pack(">i", priority)))
    return _message(NFT_MSG_NEWCHAIN, _text(1, table_name), _text(3, name), place, _text(7, "filter"))


def rule(table_name: str, chain_name: str, *expressions: bytes) -> Message:
    return _message(NFT_MSG_NEWRULE, _text(1, table_name), _text(2, chain_name), _nested(4, *expressions),
                    flags=NLM_F_APPEND)


def flush(table_name: str, chain_name: str) -> Message:
    """Delete the rules of a chain."""
    return _message(NFT_MSG_DELRULE, _text(1, table_name), _text(2, chain_name))


def counter(kind: int, table_name: str, name: str) -> Message:
    """Make a named counter, or ask for it."""
    content = (_nested(4),) if kind == NFT_MSG_NEWOBJ else ()
    return _message(kind, _text(1, table_name), _text(2, name), _u32(3, _OBJECT_COUNTER), *content)


def query(kind: int, *names: str) -> Message:
    """Ask for a table, for all chains there are, for a table's rules, or for the elements of a table's map."""
    return _message(kind, *(_text(number, name) for number, name in enumerate(names, start=1)),
                    flags=NLM_F_DUMP if kind in _LISTING else 0)


def parse(kind: int, octets: bytes) -> bytes | None:
    """The attributes of an answer."""
    return octets[_BEHIND_HEADERS:] if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF in _MAKING else None


def parse_news(kind: int, octets: bytes) -> bytes | None:
    """The attributes of the news that a table is gone."""
    return octets[_BEHIND_HEADERS:] if kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE else None


def name(answer: bytes, number: int) -> str:
    """The name in that attribute of a table, chain or rule."""
    return _attributes(answer)[number].rstrip(b"\0").decode()


def elements(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a map."""
    for _kind, each in _each(_attributes(answer).get(3, b"")):
        found = _attributes(each)
        yield _attributes(found[1])[1], _attributes(found[2])[1]


def counted_packets(answer: bytes) -> int:
    """How many packets a counter has seen."""
    return int.from_bytes(_attributes(_attributes(answer)[4])[2], "big")


def is_gone(news: bytes, table_name: str) -> bool:
    """Whether it is about a table of that name, of our family or another."""
    return _attributes(news).get(1) == table_name.encode() + b"\0"


def _each(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and values, at one level."""
    offset = 0
    while offset + 4 <= len(octets):
        length, kind = struct.unpack_from("=HH", octets, offset)
        if length < 4:
            break
        yield kind & ~_NESTED, octets[offset + 4:offset + length]
        offset += length + 3 & ~3


def _attributes(octets: bytes) -> dict[int, bytes]:
    return dict(_each(octets))


def mss_map(table_name: str, name: str, number: int, of_devices: bool) -> Message:
    """A map to an MSS from a number of the host's, or from a device's name. ``number`` tells it from others of the same
    batch."""
    kind, size = (_TYPE_NAME, _NAME_SIZE) if of_devices else (_TYPE_MARK, 4)
    return _message(NFT_MSG_NEWSET, _text(1, table_name), _text(2, name), _u32(3, _SET_IS_MAP),
                    _u32(4, kind), _u32(5, size), _u32(6, _TYPE_SERVICE), _u32(7, 2), _u32(10, number))


def mss_value(mss: int) -> bytes:
    """What a map has for it."""
    return struct.pack(">H", mss)


def element(kind: int, table_name: str, map_name: str, key: bytes, mss: int) -> Message:
    """Add an element or delete it."""
    content = _nested(1, _nested(1, attribute(1, key)),
                      _nested(2, attribute(1, mss_value(mss))))
    return _message(kind, _text(1, table_name), _text(2, map_name), _nested(3, content))


def _expression(name: str, *data: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *data))


def compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _u32(1, _REGISTER), _u32(2, operator), _nested(3, attribute(1, value)))


def meta(key: int) -> bytes:
    return _expression("meta", _u32(1, _REGISTER), _u32(2, key))


def family(version: int) -> bytes:
    """Only packets of that IP version."""
    return meta(META_NFPROTO) + compare(CMP_EQ, bytes((NFPROTO[version],)))


def device_named(key: int, name: str) -> bytes:
    """Only packets whose device by that key, META_IIFNAME or META_OIFNAME, has that name."""
    return meta(key) + compare(CMP_EQ, device_name(name))


def _payload(base: int, offset: int, size: int) -> bytes:
    return _expression("payload", _u32(1, _REGISTER), _u32(2, base), _u32(3, offset), _u32(4, size))


def address_between(destination: bool, first: Address, last: Address) -> bytes:
    """Only packets whose source, or destination, is within these bounds."""
    size = len(first.packed)
    load = _payload(1, (16 if destination else 12) if size == 4 else (24 if destination else 8), size)
    if first == last:
        return load + compare(CMP_EQ, first.packed)
    return load + compare(CMP_GTE, first.packed) + compare(CMP_LTE, last.packed)


def syn() -> bytes:
    """Only TCP segments that open a connection, or agree to."""
    return (meta(META_L4PROTO) + compare(CMP_EQ, bytes((_IPPROTO_TCP,))) + _payload(2, 13, 1)
            + _expression("bitwise", _u32(1, _REGISTER), _u32(2, _REGISTER), _u32(3, 1),
                          _nested(4, attribute(1, bytes((_SYN | _RST,)))), _nested(5, attribute(1, bytes(1))))
            + compare(CMP_EQ, bytes((_SYN,))))


def answers() -> bytes:
    """Only packets of connections that the other side opened, and errors that answer to these; takes connection
    tracking. What belongs to no connection is none."""
    return _expression("ct", _u32(1, _REGISTER), _u32(2, 1)) + compare(CMP_EQ, bytes((1,)))


def protected_outbound() -> bytes:
    """Only packets that the kernel is to protect."""
    return _expression("rt", _u32(1, _REGISTER), _u32(2, 4)) + compare(CMP_EQ, bytes((1,)))


def inbound_reqid() -> bytes:
    """The number of the SA that a packet came by, innermost; a packet that came in clear is passed over."""
    return _expression("xfrm", _u32(1, _REGISTER), _u32(2, 5), attribute(3, bytes(1)), _u32(4, 0))


def mss_of_path() -> bytes:
    """What fits the path that a packet is to take, as the kernel knows it now."""
    return (_expression("rt", _u32(1, _REGISTER), _u32(2, 3))
            + _expression("byteorder", _u32(1, _REGISTER), _u32(2, _REGISTER), _u32(3, 1), _u32(4, 2), _u32(5, 2)))


def mss_out_of(map_name: str) -> bytes:
    """The map's MSS for the number or name before; where it has none, the packet is passed over."""
    return _expression("lookup", _text(1, map_name), _u32(2, _REGISTER), _u32(3, _REGISTER))


def clamp() -> bytes:
    """Write the MSS before into the segment, unless what stands there is smaller."""
    return _expression("exthdr", attribute(2, bytes((_TCPOPT_MAXSEG,))), _u32(3, 2), _u32(4, 2), _u32(6, 1),
                       _u32(7, _REGISTER))


def count(counter_name: str) -> bytes:
    return _expression("objref", _u32(1, _OBJECT_COUNTER), _text(2, counter_name))


def verdict(code: int, chain_name: str | None = None) -> bytes:
    """``chain_name`` is where a jump leads."""
    to = (_text(2, chain_name),) if chain_name is not None else ()
    return _expression("immediate", _u32(1, 0), _nested(2, _nested(2, attribute(1, struct.pack(">i", code)), *to)))
