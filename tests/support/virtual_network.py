# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons' protocol halves in one process, on a virtual clock, over a network that can be as bad as one likes."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from ikeengine.ike.context import Settings
from ikeengine.ike.events import ChildInbound, ChildMoved, ChildOutbound, ChildRemoved, Event, Failed, IkeClosed
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import ChildSa, Datagram, SocketAddress
from ikeengine.vpn import declaration
from ikeengine.vpn.model import Route, Side
from ikeengine.vpn.selectors import Address

PSK = "correct horse battery staple 7151"
HQ, BRANCH = "192.0.2.2", "198.51.100.2"
TRANSFORM = {"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256", "sa_life": "24h", "key_group": 31}
PROPOSAL = {"name": "p2", "protocol": "ESP", "encryption": "AES-GCM-128", "force_key_expiration": {"time": "8h"}}
EPOCH = 1_800_000_000
"""Where the virtual clock stands on the world's: in January 2027."""
ROUTES = (("10.1.0.0/24", "10.2.0.0/24"),)


def side(name: str, local: str, remote: str, *, routes: tuple[tuple[str, str], ...], psk: str = PSK,
         transforms: tuple[Mapping[str, Any], ...] = (TRANSFORM,),
         proposals: tuple[Mapping[str, Any], ...] = (PROPOSAL,), start: str = "boot",
         pfs: Mapping[str, Any] | None = None, identifiers: tuple[str, str] | None = None,
         gateway: Mapping[str, Any] | None = None, tunnels: int = 1, sa_pairs: str = "per-route",
         further: tuple[Mapping[str, Any], ...] = ()) -> Side:
    """One end of a site-to-site VPN; with ``tunnels`` > 1 its routes are dealt out to so many tunnels. ``further`` are
    endpoint pairs behind the first."""
    ends = [{"address": local}, {"address": remote}]
    for end, value in zip(ends, identifiers or (), strict=False):
        end["identifier"] = {"type": "domain-name", "value": value}  # type: ignore[assignment]
    return declaration.read({
        "site": {"name": name},
        "transforms": [dict(row) for row in transforms], "proposals": [dict(row) for row in proposals],
        "gateways": [{"name": "peer", "ike_version": 2, "credential": {"method": "psk", "psk": psk},
                      "endpoints": [{"local": ends[0], "remote": ends[1]}, *further],
                      "transforms": [row["name"] for row in transforms], "start": start, **(gateway or {})}],
        "tunnels": [{"name": f"lan{number}" if number else "lan", "gateway": "peer",
                     "routes": [{"local": one, "remote": other} for one, other in routes[number::tunnels]],
                     "proposals": [row["name"] for row in proposals], "sa_pairs": sa_pairs,
                     "pfs": dict(pfs or {"enabled": True, "key_group": 31})} for number in range(tunnels)],
    })


def hq(**changes: Any) -> Side:
    return side("hq", HQ, BRANCH, **{"routes": ROUTES, **changes})


def branch(**changes: Any) -> Side:
    changes = {"routes": ROUTES, **changes}
    changes["routes"] = tuple((remote, local) for local, remote in changes["routes"])
    if "identifiers" in changes:
        changes["identifiers"] = tuple(reversed(changes["identifiers"]))
    changes["further"] = tuple({"local": row["remote"], "remote": row["local"]} for row in changes.get("further", ()))
    return side("branch", BRANCH, HQ, **changes)


@dataclass
class Faults:
    """Probabilities, each for one datagram. ``until`` is when the network becomes perfect."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    until: float = float("inf")


@dataclass
class End:
    """A manager with what a data plane would hold."""

    manager: IkeSaManager
    #: Its own addresses from which packets leave, by their family's version.
    addresses: dict[int, Address] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    inbound: dict[int, ChildSa] = field(default_factory=dict)
    outbound: dict[int, ChildSa] = field(default_factory=dict)
    #: What each route sends on, by its reqid: the last outbound SA takes the place of the one before.
    sending: dict[int, ChildSa] = field(default_factory=dict)

    def take_events(self) -> None:
        for event in self.manager.events():
            self.events.append(event)
            if isinstance(event, ChildInbound):
                assert event.child.spi_in not in self.inbound
                self.inbound[event.child.spi_in] = event.child
            elif isinstance(event, ChildOutbound):
                assert event.child.spi_out not in self.outbound
                self.outbound[event.child.spi_out] = event.child
                self.sending |= dict.fromkeys(event.child.reqids, event.child)
            elif isinstance(event, ChildMoved):
                child = event.child
                for held, key in ((self.inbound, child.spi_in), (self.outbound, child.spi_out)):
                    if key in held:
                        held[key] = child
                self.sending |= {reqid: child for reqid, row in self.sending.items() if row.spi_in == child.spi_in}
            elif isinstance(event, ChildRemoved):
                del self.inbound[event.child.spi_in]
                self.outbound.pop(event.child.spi_out, None)
                self.sending = {reqid: child for reqid, child in self.sending.items() if child != event.child}

    def come_due(self, now: float, *, ike: bool = False) -> None:
        """The time of its child SAs, or of its IKE SAs, to be rekeyed has come. An operator's order is asked once."""
        for session in list(self.manager._sessions):
            for sa in (session,) if ike else session.children:
                sa.rekey_at = now
            self.manager._touch(session)

    @property
    def reasons(self) -> list[str]:
        return [str(event.reason) for event in self.events if isinstance(event, Failed)]

    @property
    def closings(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, IkeClosed)]

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


class VirtualNetwork:
    """Runs managers against each other. The same seed gives the same run, but for the key exchanges' values."""

    def __init__(self, sides: Mapping[str, Side], *, seed: int = 0, latency: float = 0.01, faults: Faults | None = None,
                 settings: Settings | None = None, encapsulate: Callable[[str], bool] = lambda _gateway: False,
                 extended: Container[str] = ()) -> None:
        """``extended`` names the sites whose data planes can do extended sequence numbers. An end has all addresses
        that it declares, and is called by the one in ``sides``."""
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 1000.0
        self.latency = latency
        self.faults = faults or Faults()
        self.sent: list[tuple[float, Datagram]] = []
        #: Packets of child SAs that came, by the SPI that they came by.
        self.packets: Counter[int] = Counter()
        self._flying: list[tuple[float, int, Datagram, Callable[[End, Datagram], None] | None]] = []
        self._numbers = itertools.count()
        self._spis = itertools.count(0xC0000001)
        self._reqids: dict[tuple[str, Route], int] = {}
        self.tamper: Callable[[Datagram], Datagram | None] = lambda datagram: datagram
        #: Called after everything that happens, for what has to hold at every moment.
        self.watch: Callable[[], None] = lambda: None
        #: Pairs of addresses between which nothing passes, and addresses that their ends have not.
        self._dead_paths: set[frozenset[str]] = set()
        self.absent: set[str] = set()
        self._left: set[str] = set()  # by whom had them; what is on its way from there arrives
        self._names = {str(pair.local.address): address for address, row in sides.items() for gateway in row.gateways
                       for pair in gateway.endpoints if pair.local.address is not None}
        self._encapsulate, self._extended, self._settings = encapsulate, extended, settings or Settings()
        self.ends = {address: self.end(row, address) for address, row in sides.items()}

    def end(self, side: Side, address: str | None = None) -> End:
        """One that knows nothing yet; ``address`` is its own, where it declares none."""
        addresses = {row.version: row for row in ([ip_address(address)] if address else [])}
        return End(IkeSaManager(side, allocate_spi=lambda *_asked: next(self._spis), encapsulate=self._encapsulate,
                                extended_sequence_numbers=lambda _tunnel: side.name in self._extended,
                                source=lambda remote: addresses.get(remote.version),
                                has_address=lambda own: str(own) not in self.absent | self._left,
                                received=lambda child: self.packets[child.spi_in],
                                reqid=self._reqid, random=self.random.randbytes, settings=self._settings,
                                unix_time=lambda now: now + EPOCH), addresses)

    def roam(self, end: End, *addresses: str) -> None:
        """The end has these addresses, and no other, from now on, one of each family; it notices."""
        self.ends = {name: row for name, row in self.ends.items() if row is not end}
        self._left |= {str(address) for address in end.addresses.values()}
        self._left -= set(addresses)
        end.addresses.clear()
        for address in addresses:
            self.ends[address] = end
            end.addresses[ip_address(address).version] = ip_address(address)
        for remote in end.manager.ways():
            end.manager.path_changed(remote, self.now)
        self._collect()

    def _reqid(self, tunnel: str, route: Route) -> int:
        return self._reqids.setdefault((tunnel, route), len(self._reqids) + 1)

    def start(self) -> None:
        for end in self.ends.values():
            end.manager.start(self.now)
        self._collect()

    def _each(self) -> list[End]:
        return list({id(end): end for end in self.ends.values()}.values())

    def traffic(self) -> None:
        """Packets for every declared route come to either end, as applications send them."""
        for end in self.ends.values():
            for tunnel in end.manager.overview.tunnels():
                for route in tunnel.routes:
                    end.manager.acquire(self._reqid(tunnel.name, route.declared), self.now)
        self._collect()

    def _collect(self) -> None:
        for end in self._each():
            for datagram in end.manager.datagrams_to_send():
                self.sent.append((self.now, datagram))
                self.fly(datagram)
            end.take_events()
        self.watch()

    def fly(self, datagram: Datagram, arrive: Callable[[End, Datagram], None] | None = None) -> None:
        """Send it through the network; ``arrive`` takes it at the end that it comes to, where it is none of IKE."""
        kept = self.tamper(datagram)
        if kept is not None:
            self._fly(kept, arrive)

    def _fly(self, datagram: Datagram, arrive: Callable[[End, Datagram], None] | None = None) -> None:
        faults = self.faults if self.now < self.faults.until else Faults()
        for _copy in range(2 if self.random.random() < faults.duplicate else 1):
            if self.random.random() < faults.drop:
                continue
            data = datagram.data
            if data and self.random.random() < faults.corrupt:
                place = self.random.randrange(len(data))
                data = data[:place] + bytes([data[place] ^ (1 << self.random.randrange(8))]) + data[place + 1:]
            delay = self.latency * (1 + (20 * self.random.random() if self.random.random() < faults.reorder else 0))
            heapq.heappush(self._flying, (self.now + delay, next(self._numbers),
                                          Datagram(datagram.remote, datagram.local, data), arrive))

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these addresses any more, what is on its way included."""
        self._dead_paths.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        self._dead_paths.discard(frozenset((one, other)))

    def _at(self, datagram: Datagram) -> End | None:
        """Whom the datagram comes to, if it does."""
        addresses = str(datagram.local.address), str(datagram.remote.address)
        if frozenset(addresses) in self._dead_paths or not self.absent.isdisjoint(addresses):
            return None
        return self.ends.get(addresses[0]) or self.ends.get(self._names.get(addresses[0], ""))

    def run(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        end_at = self.now + seconds
        self._collect()
        while True:
            times = [time for end in self.ends.values() if (time := end.manager.next_timer()) is not None]
            if self._flying:
                times.append(self._flying[0][0])
            due = min(times, default=None)
            if due is None or due > end_at:
                self.now = end_at
                return
            self.now = max(self.now, due)
            while self._flying and self._flying[0][0] <= self.now:
                datagram, arrive = heapq.heappop(self._flying)[2:]
                end = self._at(datagram)
                if end is not None and arrive is not None:
                    arrive(end, datagram)
                elif end is not None:
                    end.manager.receive(datagram, self.now)
            for end in self._each():
                end.manager.handle_timer(self.now)
            self._collect()


def pair(left: Side, right: Side, **options: Any) -> tuple[VirtualNetwork, End, End]:
    network = VirtualNetwork({HQ: left, BRANCH: right}, **options)
    return network, network.ends[HQ], network.ends[BRANCH]


def translated(private: Address, public: Address) -> Callable[[Datagram], Datagram]:
    """A NAT for `VirtualNetwork.tamper` that shows the one address as the other, ports as they are."""
    def translate(datagram: Datagram) -> Datagram:
        local, remote = datagram.local, datagram.remote
        if local.address == private:
            return Datagram(SocketAddress(public, local.port), remote, datagram.data)
        if remote.address == public:
            return Datagram(local, SocketAddress(private, remote.port), datagram.data)
        return datagram

    return translate


def agree(one: End, other: End, routes: int, pairs: int | None = None) -> None:
    """Both ends hold one SA pair for each route, or so many ``pairs`` for all, crosswise and with the same keys, and
    nothing else."""
    pairs = routes if pairs is None else pairs
    assert (len(one.inbound), len(other.inbound)) == (pairs, pairs)
    assert (len(one.outbound), len(other.outbound)) == (pairs, pairs)
    assert (len(one.sending), len(other.sending)) == (routes, routes)
    assert all(sum(len(child.routes) for child in end.inbound.values()) == routes for end in (one, other))
    for spi, child in one.inbound.items():
        theirs = other.outbound[spi]
        assert (theirs.spi_in, theirs.spi_out) == (child.spi_out, child.spi_in)
        assert (theirs.keys_in, theirs.keys_out) == (child.keys_out, child.keys_in)
        assert {row.negotiated for row in theirs.routes} == {row.negotiated.mirrored for row in child.routes}
        assert one.outbound[child.spi_out] == child
        assert theirs.udp_encapsulated == child.udp_encapsulated
        assert theirs.extended_sequence_numbers == child.extended_sequence_numbers
