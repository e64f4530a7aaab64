# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel has of a table of nf_tables, to hold against what it had when the table was written.

A rule never changes: one that is edited is another one with another number. So what the kernel said of it then is all
that need be known, and not how each release of it words a rule.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator

from ..interface import Departure
from ..netlink import NetlinkError, NetlinkSocket
from . import messages
from .messages import NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSETELEM, NFT_MSG_GETTABLE

#: Which attribute has a chain's name.
_OF_CHAIN, _OF_RULE = 3, 2


def is_there(kernel: NetlinkSocket, table: str) -> bool:
    """Raises NetlinkError."""
    return bool(_listed(kernel, NFT_MSG_GETTABLE, table))


def parts(kernel: NetlinkSocket, table: str) -> dict[str, bytes]:
    """A digest of the table itself, by an empty name, and of each of its chains with its rules; nothing where there is
    no such table. Raises NetlinkError."""
    content = {"": _listed(kernel, NFT_MSG_GETTABLE, table)}
    if not content[""]:
        return {}
    content |= {messages.name(chain, _OF_CHAIN): [chain] for chain in _listed(kernel, NFT_MSG_GETCHAIN, table)}
    for rule in _listed(kernel, NFT_MSG_GETRULE, table):
        content.setdefault(messages.name(rule, _OF_RULE), []).append(rule)
    return {name: hashlib.sha256(b"".join(octets)).digest() for name, octets in content.items()}


def elements(kernel: NetlinkSocket, table: str, map_name: str) -> dict[bytes, bytes]:
    """What a map, or set, of that table has; nothing where there is none. Raises NetlinkError."""
    return {key: value for answer in _listed(kernel, NFT_MSG_GETSETELEM, table, map_name)
            for key, value in messages.elements(answer)}


def departures(table: str, written: dict[str, bytes], found: dict[str, bytes]) -> Iterator[Departure]:
    """How the parts that are there depart from those that were written."""
    what = f"nf_tables table {table}"
    if not found:
        yield Departure(what, "there", "not there")
        return
    for name in sorted(written.keys() | found.keys()):
        part = f"{what}, chain {name}" if name else what
        if name not in found:
            yield Departure(part, "there", "not there")
        elif name not in written:
            yield Departure(part, "not there", "there")
        elif written[name] != found[name]:
            yield Departure(part, "as the daemon wrote it", "changed")


def _listed(kernel: NetlinkSocket, kind: int, *names: str) -> list[bytes]:
    """What the kernel answers of that table, the first of the names; nothing where it has none."""
    asked = names if kind != NFT_MSG_GETCHAIN else ()  # of which it knows no listing by table
    try:
        answers = kernel.transact(f"reading the nf_tables table {names[0]}", [messages.query(kind, *asked)])
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        return []
    return [answer for answer in answers if messages.name(answer, 1) == names[0]]
