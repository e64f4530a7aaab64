# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every order in which things can happen between two daemons' protocol halves: a small model checker.

A `World` is both managers, what is on its way between them, and the orders that are still to be given. What can happen
next is a choice: which message arrives, whether one that was just sent is lost or doubled, whether an order comes now,
or whether a timer runs out first. `walk` takes them all, one after the other: it keeps a world as octets where its ways
part, and comes to the same world only once, however many ways lead there. Between any two choices, and where nothing is
left to happen, the world is looked at.

Randomness is each end's own and counted, key exchanges and ciphers are stand-ins that only tell right from wrong: so
ways that differ in nothing but the order of what happened at different ends come together again.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from types import FunctionType
from typing import Any
from unittest.mock import patch

from ikeengine.crypto import ike_cipher, isakmp_cipher, key_exchange
from ikeengine.crypto.errors import IntegrityError
from ikeengine.ike.account import Account, Accounts, ChildAccount
from ikeengine.ike.context import Settings
from ikeengine.ike.events import Failed
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import ChildSa, Datagram, SocketAddress
from ikeengine.timers import Timers
from ikeengine.vpn import algorithms, model
from ikeengine.vpn.selectors import Selector
from ikeengine.wire.header import decode_header

from tests.support.virtual_network import BRANCH, HQ, End

BEGINNING = 1000.0
HORIZON = 300.0
"""A timer that is further away than this waits for a life to end, and not for what is under way."""
_ADDRESSES = HQ, BRANCH
_IMMUTABLE = (model.Side, model.Gateway, model.Tunnel, model.Route, model.Transform, model.Proposal, Settings, ChildSa,
              SocketAddress, IPv4Address, Selector, Enum, algorithms.Encryption, algorithms.Authentication,
              algorithms.KeyGroup)
#: What no behaviour depends on.
_TOLD = (Account, Accounts, ChildAccount)

Order = Callable[[IkeSaManager, float], None]


# -------------------------------------------------------------------------------------------------- stand-ins

class _Seal:
    """In the place of a cipher with its integrity: the key stands behind the message, so that a wrong one shows."""

    __slots__ = ("_tag",)

    def __init__(self, encryption: Any, integrity: Any, key_encryption: bytes, key_integrity: bytes) -> None:
        self._tag = hashlib.sha256(key_encryption + key_integrity).digest()[:8]

    def overhead(self, plaintext_size: int) -> int:
        return plaintext_size + len(self._tag)

    def capacity(self, body_size: int) -> int:
        return body_size - len(self._tag)

    def seal(self, prefix: bytes, plaintext: bytes) -> bytes:
        return prefix + plaintext + self._tag

    def open(self, data: bytes, offset: int) -> bytes:
        if data[-len(self._tag):] != self._tag:
            raise IntegrityError("of another key")
        return data[offset:-len(self._tag)]


class _Blocks:
    """In the place of CBC under one key for both directions, with the IV mixed in."""

    __slots__ = ("_key", "block_size")

    def __init__(self, encryption: algorithms.Encryption, key: bytes) -> None:
        self._key, self.block_size = key, encryption.block_size

    def _last(self, iv: bytes, data: bytes) -> bytes:
        return hashlib.sha256(self._key + iv + data).digest()[:self.block_size]

    def encrypt(self, iv: bytes, data: bytes) -> bytes:
        data += bytes(-len(data) % self.block_size)
        return data + self._last(iv, data)

    def decrypt(self, iv: bytes, data: bytes) -> bytes:
        plain = data[:-self.block_size]
        return plain if data == plain + self._last(iv, plain) else bytes(len(plain))


def _no_key_pair(self: key_exchange.KeyExchange, group: algorithms.KeyGroup) -> None:
    self.group, self._key_pair = group, None  # type: ignore[assignment]
    self.public = bytes([group.number]) * group.public_size


@contextmanager
def stand_ins() -> Iterator[None]:
    """While the context lasts: no cryptography that costs time or could not be kept as octets."""
    with ExitStack() as stack:
        for target, name, stand_in in (
                ("ikeengine.ikev2.protection", ike_cipher.IkeCipher, _Seal),
                ("ikeengine.ikev1.protection", isakmp_cipher.IsakmpCipher, _Blocks)):
            stack.enter_context(patch(f"{target}.{name.__name__}", stand_in))
        stack.enter_context(patch.object(key_exchange.KeyExchange, "__init__", _no_key_pair))
        stack.enter_context(patch.object(key_exchange.KeyExchange, "shared_secret",
                                         lambda self, _peer: bytes(self.group.secret_size)))
        yield


class _Surroundings:
    """What a manager asks of its host."""

    def __init__(self, name: str, reqids: Mapping[str, int], first_spi: int) -> None:
        self.name, self.reqids, self.next_spi, self.draws = name, reqids, first_spi, 0

    def allocate_spi(self, *_asked: Any) -> int:
        self.next_spi += 1
        return self.next_spi

    def random(self, size: int) -> bytes:
        self.draws += 1
        return hashlib.shake_128(f"{self.name} {self.draws}".encode()).digest(size)

    def reqid(self, tunnel: str, _route: model.Route) -> int:
        return self.reqids[tunnel]

    @staticmethod
    def no(_name: str) -> bool:
        return False

    @staticmethod
    def nowhere(_remote: Any) -> None:
        return None


class _End(End):
    """One that keeps of its events what went wrong alone."""

    def take_events(self) -> None:
        super().take_events()
        self.events = [event for event in self.events if isinstance(event, Failed)]


# -------------------------------------------------------------------------------------------------- a world as octets

_things: list[Any] = []
_numbers: dict[Any, int] = {}
_by_id: dict[int, int] = {}
_alive: list[Any] = []
"""Everything that has a number by its id, so that nothing else gets that id."""


def _thing(number: int) -> Any:
    return _things[number]


def _number(thing: Any, key: Any) -> int:
    number = _by_id.get(id(thing))
    if number is None:
        number = _by_id[id(thing)] = _numbers.setdefault((type(thing), key), len(_things))
        if number == len(_things):
            _things.append(thing)
        _alive.append(thing)
    return number


class _Keeper(pickle.Pickler):
    """What never changes is kept once, and named by a number that is the same for equal things."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, _IMMUTABLE):
            return _thing, (_number(thing, thing),)
        if isinstance(thing, _TOLD) or (isinstance(thing, FunctionType) and "<lambda>" in thing.__qualname__
                                        and thing.__closure__ is None):
            return _thing, (_number(thing, id(thing)),)
        if isinstance(thing, weakref.ref):
            return weakref.ref, (thing(),)
        return NotImplemented


class _Digester(_Keeper):
    """Leaves out what makes no difference to what can happen."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, (*_TOLD, Timers, Counter, Failed)):
            return str, ()
        return super().reducer_override(thing)


def _octets(kind: type[pickle.Pickler], thing: Any) -> bytes:
    buffer = io.BytesIO()
    kind(buffer, pickle.HIGHEST_PROTOCOL).dump(thing)
    return buffer.getvalue()


# -------------------------------------------------------------------------------------------------- worlds

@dataclass(frozen=True)
class Bounds:
    """How bad the network is: messages lost and doubled in all, and timers that run out while something is on its
    way."""

    losses: int = 0
    duplicates: int = 0
    early_timers: int = 0

    def __str__(self) -> str:
        return f"{self.losses} lost, {self.duplicates} doubled, {self.early_timers} late"


@dataclass
class World:
    ends: tuple[End, End]
    now: float = BEGINNING
    #: On their way: to which end, and what; in an order of its own, as the network keeps none.
    flying: list[tuple[int, bytes]] = field(default_factory=list)
    #: Sent, and nothing is settled yet of their fate.
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    #: To which end, and what; any of them may come next.
    orders: list[tuple[int, str]] = field(default_factory=list)
    #: By how much an end's clock goes on with each thing that happens there, while the other's does not: more than
    #: nothing where an end tells by the time what came first.
    moment: float = 0.0
    happened: list[int] = field(default_factory=lambda: [0, 0])
    losses: int = 0
    duplicates: int = 0
    early_timers: int = 0

    @classmethod
    def of(cls, sides: Sequence[model.Side], reqids: Mapping[str, int], settings: Settings | None = None) -> World:
        ends = []
        for number, side in enumerate(sides):
            around = _Surroundings(side.name, reqids, (number + 1) << 24)
            ends.append(_End(IkeSaManager(
                side, allocate_spi=around.allocate_spi, encapsulate=around.no, reqid=around.reqid,
                extended_sequence_numbers=around.no,
                source=around.nowhere, random=around.random, settings=settings or Settings())))
        return cls((ends[0], ends[1]))

    def collect(self) -> None:
        for end in self.ends:
            for datagram in end.manager.datagrams_to_send():
                self.sent.append((_ADDRESSES.index(str(datagram.remote.address)), datagram.data))
            end.take_events()

    def bound(self, bounds: Bounds) -> None:
        self.losses, self.duplicates, self.early_timers = bounds.losses, bounds.duplicates, bounds.early_timers

    # What can happen, each as a verb with its object.

    def choices(self) -> list[tuple[str, int]]:
        if self.sent:
            if not (self.losses or self.duplicates):
                return [("send", 0)]
            return [("send", 0), *([("lose", 0)] if self.losses else []),
                    *([("double", 0)] if self.duplicates else [])]
        found = [("deliver", number) for number, row in enumerate(self.flying) if row not in self.flying[:number]]
        found += [("order", number) for number in range(len(self.orders))]
        if (not found or self.early_timers) and self._next_timer() <= self.now + HORIZON:
            found.append(("wait", 0))
        return found

    def _next_timer(self) -> float:
        return min((time for end in self.ends if (time := end.manager.next_timer()) is not None), default=float("inf"))

    def take(self, choice: tuple[str, int], orders: Mapping[str, Order]) -> None:
        verb, number = choice
        if verb in ("send", "lose", "double"):
            row = self.sent.pop(0)
            if verb == "lose":
                self.losses -= 1
            else:
                self.flying += [row]
            if verb == "double":
                self.duplicates -= 1
                self.flying += [row]
            self.flying.sort()
            return
        if verb == "deliver":
            place, data = self.flying.pop(number)
            self.ends[place].manager.receive(Datagram(*_path(place), data), self._clock(place))
        elif verb == "order":
            place, name = self.orders.pop(number)
            orders[name](self.ends[place].manager, self._clock(place))
        else:
            if self.flying or self.orders:
                self.early_timers -= 1
            self.now = max(self.now, self._next_timer())
            for place, end in enumerate(self.ends):
                end.manager.handle_timer(self._clock(place))
        self.collect()

    def _clock(self, place: int) -> float:
        self.happened[place] += bool(self.moment)
        return self.now + self.happened[place] * self.moment

    def describe(self, choice: tuple[str, int]) -> str:
        verb, number = choice
        if verb == "wait":
            return f"wait until {max(self.now, self._next_timer()):.3f}"
        if verb == "order":
            place, name = self.orders[number]
            return f"order {name} at {'one' if place == 0 else 'other'}"
        place, data = (self.flying if verb == "deliver" else self.sent)[number]
        header = decode_header(data)
        return (f"{verb} {'other -> one' if place == 0 else 'one -> other'}: IKE SA {header.spi_i.hex()[:4]} exchange "
                f"{header.exchange} message {header.message_id:x} "
                f"{'response' if header.is_response else ''} of {len(data)} octets")


def _path(place: int) -> tuple[SocketAddress, SocketAddress]:
    here, there = (SocketAddress(IPv4Address(_ADDRESSES[number]), 500) for number in (place, 1 - place))
    return here, there


# -------------------------------------------------------------------------------------------------- walking

@dataclass
class Walked:
    """``interleavings`` are the ways from the beginning to the end, ``worlds`` those where ways part, ``steps`` what
    happened in walking them."""

    interleavings: int = 0
    worlds: int = 0
    steps: int = 0

    def add(self, other: Walked) -> None:
        self.interleavings += other.interleavings
        self.worlds += other.worlds
        self.steps += other.steps

    def __str__(self) -> str:
        return f"{self.interleavings} interleavings, {self.worlds} worlds, {self.steps} steps"


class WalkFailed(AssertionError):
    pass


def walk(world: World, orders: Mapping[str, Order], look: Callable[[World], None],
         at_rest: Callable[[World], None]) -> Walked:
    """Take every way. ``look`` sees the world after every step, ``at_rest`` where nothing is left to happen; what they
    raise is told with the way that led there."""
    walked, known, way = Walked(), {}, []  # type: Walked, dict[bytes, int], list[str]

    def step(here: World, choice: tuple[str, int]) -> None:
        way.append(here.describe(choice))
        here.take(choice, orders)
        walked.steps += 1
        look(here)

    def visit(here: World) -> int:
        while len(choices := here.choices()) == 1:
            step(here, choices[0])
        if not choices:
            at_rest(here)
            return 1
        digest = hashlib.sha256(_octets(_Digester, here)).digest()
        if digest in known:
            return known[digest]
        walked.worlds += 1
        kept, length, ways = _octets(_Keeper, here), len(way), 0
        for choice in choices:
            there = here if choice is choices[-1] else pickle.loads(kept)  # noqa: S301 - our own
            step(there, choice)
            ways += visit(there)
            del way[length:]
        known[digest] = ways
        return ways

    try:
        walked.interleavings = visit(world)
    except Exception as error:
        raise WalkFailed("\n".join([f"{type(error).__name__}: {error}", "after:", *way])) from error
    return walked
