# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data plane's own table of nf_tables. It stands for as long as the plane's protections do, whether the daemon lives
or not.

``directions`` drops what would open a connection from the wrong side of a tunnel route and counts it. A packet from
there passes only where connection tracking knows it as an answer, so that what was open before a route got its
direction ends, too. Connections are tracked only where a route has a direction. That of a route-based tunnel is about
what comes out of its device and what is routed into it, by the device's name.

``clamp_outbound`` and ``clamp_inbound`` lower the MSS that TCP announces in tunnels to what fits (RFC 4459 §3.2), in
both directions, since many senders never hear that a packet was too big. Outbound the kernel knows what fits the path
now; inbound it is what the plane last said of the SA or the device that the packet came by. Of a route-based tunnel's
device, which the kernel knows as any other, it is that in either direction.

``clear`` drops what claims to come out of a tunnel and came by another device, where no policy can.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from ...vpn.model import Route
from ...vpn.selectors import Selector
from ..interface import Departure, Protection
from ..netlink import NETLINK_NETFILTER, NetlinkError, NetlinkEvents, NetlinkSocket
from . import messages, standing
from .directions import Verdict, verdicts
from .messages import (
    CMP_EQ,
    META_IIF,
    META_IIFNAME,
    META_OIF,
    META_OIFNAME,
    NF_DROP,
    NF_INET_FORWARD,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NFT_JUMP,
    NFT_RETURN,
    Message,
)

_log = logging.getLogger(__name__)

#: Before any filter of the operator's: NF_IP_PRI_MANGLE, after connection tracking.
_PRIORITY = -150
#: Octets of the IP and TCP headers, which an MSS leaves out (RFC 9293 §3.7.1).
_HEADERS = {4: 40, 6: 60}
#: By what they have as keys: numbers, or the names of route-based tunnels' devices.
_MAPS = {int: {4: "mss_ipv4", 6: "mss_ipv6"}, str: {4: "device_mss_ipv4", 6: "device_mss_ipv6"}}
_LEAST_MSS = 64
#: Seconds until a table that could not be put up again is tried anew.
_RETRY = 1.0
#: What the kernel says where somebody has taken away, or put there, what a change is about.
_TOUCHED = {errno.ENOENT, errno.EEXIST, errno.EBUSY}

WRONG_DIRECTION, CLEAR = "wrong_direction", "inbound_clear"


@dataclass(frozen=True, slots=True)
class Traffic:
    """How rules know a data plane's packets: those that it will protect, and the number of what others came by.

    ``device`` is that of a plane whose packets all go through one.
    """

    outbound: bytes
    inbound_number: bytes
    device: int | None = None


def kernel_traffic() -> Traffic:
    """By the SA that protects a packet, whose number is its reqid."""
    return Traffic(messages.protected_outbound(), messages.inbound_reqid())


def device_traffic(index: int) -> Traffic:
    """By the device, whose number is its index."""
    outbound = messages.meta(META_OIF) + messages.compare(CMP_EQ, messages.host_number(index))
    return Traffic(outbound, messages.meta(META_IIF), index)


class InnerTable:
    """Methods raise NetlinkError, and then nothing has changed."""

    def __init__(self, plane: str, traffic: Traffic, clamps: bool = True) -> None:
        """``clamps`` is False where this kernel cannot write an MSS."""
        self.name = f"ikeengine-{plane}"
        self._traffic, self._clamps = traffic, clamps
        self._kernel = NetlinkSocket(NETLINK_NETFILTER, messages.parse)
        self._verdicts: list[Verdict] = []
        self._claims: list[Protection] = []
        self._fitted: dict[int | str, int] = {}
        self._stands = False
        self._written: dict[str, bytes] = {}  # what the kernel then had, by part
        self._retries = False
        self._events: NetlinkEvents | None = None
        self._remove_reader: Callable[[int], object] = lambda fd: None
        self._call_later: Callable[[float, Callable[[], None]], object] = lambda delay, call: None

    def hold(self, protections: Collection[Protection]) -> None:
        """Serve these protections and no others. The first time, what an earlier run left is replaced at once."""
        wanted = verdicts(protections)
        claims = [each for each in protections if self._traffic.device and _is_claimed(each.route)]
        if not protections:
            self.remove()
        elif not self._stands:
            self._write(self._whole(wanted, claims))
            self._stands = True
            self._note()
        elif (wanted, claims) != (self._verdicts, self._claims):
            self._change(self._rules(wanted, claims))
            self._note()
        self._verdicts, self._claims = wanted, claims

    def fit(self, key: int | str, mtu: int | None) -> None:
        """What comes by the SA or the device of that number, or passes through the device of that name, is for senders
        whose packets may have ``mtu`` octets; None forgets it."""
        before = self._fitted.get(key)
        if before == mtu:
            return
        if self._stands and self._clamps:
            self._change(self._elements(messages.NFT_MSG_DELSETELEM, key, before)
                         + self._elements(messages.NFT_MSG_NEWSETELEM, key, mtu))
        if mtu is None:
            del self._fitted[key]
        else:
            self._fitted[key] = mtu

    def drops(self) -> dict[str, int]:
        """How many packets it dropped, by reason."""
        found = {}
        for name in (WRONG_DIRECTION, CLEAR) if self._stands else ():
            query = messages.counter(messages.NFT_MSG_GETOBJ, self.name, name)
            with suppress(NetlinkError):  # somebody may have removed it this moment
                for answer in self._kernel.transact(f"reading the counter {name}", [query]):
                    if packets := messages.counted_packets(answer):
                        found[name] = packets
        return found

    def watch(self, add_reader: Callable[[int, Callable[[], None]], object], remove_reader: Callable[[int], object],
              call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """Put the table up again when somebody removes it, as firewalls do that flush the whole ruleset to load
        theirs. The three are the event loop's."""
        self._events = NetlinkEvents(NETLINK_NETFILTER, (messages.NFNLGRP_NFTABLES,), messages.parse_news)
        self._remove_reader, self._call_later = remove_reader, call_later
        add_reader(self._events.fileno(), self._look)

    def _look(self) -> None:
        if self._events is None:
            return
        overruns = self._events.overruns
        gone = [kind for kind, told in self._events.read() if messages.is_gone(told, self.name)]
        if gone or self._events.overruns != overruns:  # what is lost may have been about ours
            self._put_up_again()

    def _put_up_again(self) -> None:
        if self._events is None or not self._stands or self._retries:
            return
        try:  # where it is there it stays: writing all of it begins with removing it
            if not standing.is_there(self._kernel, self.name):
                _log.warning("somebody removed the nf_tables table %s: it is put up again", self.name)
                self._write_anew()
        except NetlinkError as error:
            _log.error("the nf_tables table %s may be gone; in a second it is looked for again: %s", self.name, error)
            self._retries = True
            self._call_later(_RETRY, self._retry)

    def _retry(self) -> None:
        self._retries = False
        self._put_up_again()

    def audit(self) -> Iterator[Departure]:
        """How what is there departs from what was written. Raises NetlinkError."""
        if not self._stands:
            return
        found = standing.parts(self._kernel, self.name)
        yield from standing.departures(self.name, self._written, found)
        for kind, maps in _MAPS.items() if found and self._clamps else ():
            for version, name in maps.items():
                wanted = {_key(key): messages.mss_value(_mss(mtu, version))
                          for key, mtu in self._fitted.items() if isinstance(key, kind)}
                if standing.elements(self._kernel, self.name, name) != wanted:
                    yield Departure(f"nf_tables table {self.name}, map {name}", "as the daemon wrote it", "changed")

    def restore(self) -> None:
        """Write it anew where it departs, with counters at zero."""
        if any(self.audit()):
            self._write_anew()

    def remove(self) -> None:
        """Also what an earlier run left. That it is gone is no error."""
        self._stands = False
        try:
            self._write([messages.table(messages.NFT_MSG_DELTABLE, self.name)])
        except NetlinkError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise

    def rehearse(self, protections: Collection[Protection]) -> None:
        """Have the kernel look at all that serving these would take, and do nothing."""
        self._write([*self._whole(verdicts(protections), []), messages.table(messages.NFT_MSG_DELTABLE, self.name)])

    def close(self) -> None:
        if self._events is not None:
            self._remove_reader(self._events.fileno())
            self._events.close()
            self._events = None
        self._kernel.close()

    def _write_anew(self) -> None:
        self._write(self._whole(self._verdicts, self._claims))
        self._note()

    def _change(self, content: list[Message]) -> None:
        """Where somebody took away or added what is to be changed, all of it comes back first."""
        try:
            self._write(content)
        except NetlinkError as error:
            if error.errno not in _TOUCHED:
                raise
            self._write_anew()
            self._write(content)

    def _note(self) -> None:
        """What the kernel has of it, now that it was written."""
        self._written.clear()
        with suppress(NetlinkError):  # then it departs, and is written anew
            self._written |= standing.parts(self._kernel, self.name)

    def _write(self, content: list[Message]) -> None:
        self._kernel.transact(f"writing the nf_tables table {self.name}", [
            messages.batch_end(messages.NFNL_MSG_BATCH_BEGIN), *content,
            messages.batch_end(messages.NFNL_MSG_BATCH_END)])

    def _whole(self, wanted: list[Verdict], claims: list[Protection]) -> list[Message]:
        """The table in the place of whatever has its name."""
        make = messages.table(messages.NFT_MSG_NEWTABLE, self.name)
        content = [make, messages.table(messages.NFT_MSG_DELTABLE, self.name), make]
        content += [messages.counter(messages.NFT_MSG_NEWOBJ, self.name, name) for name in (WRONG_DIRECTION, CLEAR)]
        for chain in ("directions", "clear", "clamp_outbound", "clamp_inbound"):
            content.append(messages.chain(self.name, chain))
        for name, hook, jumps in (
                ("forward", NF_INET_FORWARD, ("directions", "clamp_outbound", "clamp_inbound")),
                ("input", NF_INET_LOCAL_IN, ("clear", "directions", "clamp_inbound")),
                ("output", NF_INET_LOCAL_OUT, ("directions", "clamp_outbound"))):
            content.append(messages.base_chain(self.name, name, hook, _PRIORITY))
            content += [self._rule(name, messages.verdict(NFT_JUMP, chain)) for chain in jumps]
        if self._clamps:
            content += self._clamping()
        return content + self._rules(wanted, claims)

    def _clamping(self) -> list[Message]:
        names = [(name, kind is str) for kind, maps in _MAPS.items() for name in maps.values()]
        content = [messages.mss_map(self.name, name, number, of_devices)
                   for number, (name, of_devices) in enumerate(names, start=1)]
        content.append(self._rule("clamp_outbound", messages.syn(), self._traffic.outbound, messages.mss_of_path(),
                                  messages.clamp()))
        for chain, known_by, maps in (
                ("clamp_outbound", messages.meta(META_OIFNAME), _MAPS[str]),
                ("clamp_inbound", messages.meta(META_IIFNAME), _MAPS[str]),
                ("clamp_inbound", self._traffic.inbound_number, _MAPS[int])):
            for version, name in maps.items():
                content.append(self._rule(chain, messages.family(version), messages.syn(), known_by,
                                          messages.mss_out_of(name), messages.clamp()))
        for key, mtu in self._fitted.items():
            content += self._elements(messages.NFT_MSG_NEWSETELEM, key, mtu)
        return content

    def _elements(self, kind: int, key: int | str, mtu: int | None) -> list[Message]:
        if mtu is None:
            return []
        return [messages.element(kind, self.name, name, _key(key), _mss(mtu, version))
                for version, name in _MAPS[type(key)].items()]

    def _rules(self, wanted: list[Verdict], claims: list[Protection]) -> list[Message]:
        """What depends on the routes, in the place of what was there."""
        content = [messages.flush(self.name, chain) for chain in ("directions", "clear")]
        if wanted:
            content.append(self._rule("directions", messages.answers(), messages.verdict(NFT_RETURN)))
        for source, destination, drop, comes_by, leaves_by in wanted:
            devices = [messages.device_named(key, name)
                       for key, name in ((META_IIFNAME, comes_by), (META_OIFNAME, leaves_by)) if name is not None]
            end = _dropped(WRONG_DIRECTION) if drop else messages.verdict(NFT_RETURN)
            content.append(self._rule("directions", *devices, *_between(source, destination), end))
        if claims and self._traffic.device:
            elsewhere = messages.compare(CMP_EQ, messages.host_number(self._traffic.device))
            content.append(self._rule("clear", messages.meta(META_IIF), elsewhere, messages.verdict(NFT_RETURN)))
        for protection in claims:
            for neighbours in protection.local_only:
                content.append(self._rule("clear", *_between(neighbours, protection.route.local),
                                          messages.verdict(NFT_RETURN)))
            content.append(self._rule("clear", *_between(protection.route.remote, protection.route.local),
                                      _dropped(CLEAR)))
        return content

    def _rule(self, chain: str, *expressions: bytes) -> Message:
        return messages.rule(self.name, chain, *expressions)


def _key(key: int | str) -> bytes:
    return messages.host_number(key) if isinstance(key, int) else messages.device_name(key)


def _mss(mtu: int, version: int) -> int:
    return max(_LEAST_MSS, mtu - _HEADERS[version])


@lru_cache(maxsize=1 << 12)
def _between(source: Selector, destination: Selector) -> tuple[bytes, ...]:
    return messages.family(source.version), *(
        messages.address_between(end is destination, end.first, end.last)
        for end in (source, destination) if not end.is_everything)


def _is_claimed(route: Route) -> bool:
    """Whether clear text could pretend to come out of that route's tunnel, unless we drop it. What a virtual interface
    carries is not known by its addresses."""
    return route.local.version == 6 and not (route.local.is_everything and route.remote.is_everything)


def _dropped(counter: str) -> bytes:
    return messages.count(counter) + messages.verdict(NF_DROP)
