# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two exchanges that both ends begin, in every order of what can happen (RFC 7296 §2.8.1, §2.8.2, §2.25.1, §2.25.2):
each message may be late, lost or doubled, and each order may come at any moment of the other's exchange.

At rest both ends have one IKE SA and the same child SAs, one for each route that ought to have one, and nothing is left
that waits. On the way no end sends on an SA that the other lacks, unless a DELETE is on its way, and never both.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
from ikeengine.ike.children import ChildState
from ikeengine.ike.state import State
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.ikev2.informational import Liveness
from ikeengine.sa_manager import IkeSaManager
from ikeengine.vpn.model import Side

from tests.support import ikev1, virtual_network
from tests.support.interleavings import Bounds, Order, Walked, World, stand_ins, walk
from tests.support.virtual_network import ROUTES, agree

IDLE = {"dead_peer_detection": {"idle": "1d", "retries": 5}}
TWO_ROUTES = (*ROUTES, ("10.1.1.0/24", "10.2.1.0/24"))
REQIDS = {"lan": 1, "lan1": 2}
MOMENTS = {1: 1 / 4096, 2: 0.0}
"""IKEv1 tells by the time which of two Quick Modes was the later."""


def side(version: int, number: int, *, tunnels: int = 1, start: str = "traffic") -> Side:
    kind = virtual_network if version == 2 else ikev1
    make = (kind.hq, kind.branch)[number]
    return make(routes=TWO_ROUTES[:tunnels], tunnels=tunnels, start=start, gateway=IDLE)


def ask_whether_it_lives(manager: IkeSaManager, now: float) -> None:
    session = manager._sessions.live("peer")
    if isinstance(session, Ikev1Session):
        session._heard_at = now - 86400
        session.handle_timer(now)
    elif session is not None:
        session.requests.add(Liveness(), now)
    if session is not None:
        manager._touch(session)


def rekey_ike(manager: IkeSaManager, now: float) -> None:
    if manager._sessions.live("peer") is not None:
        manager.rekey_ike("peer", now)


def rekey_child(manager: IkeSaManager, now: float) -> None:
    for session, child in manager._sessions.children():
        if child.sa.tunnel == "lan" and child.state is ChildState.INSTALLED:
            session.rekey_child(child, now)
            manager._touch(session)


def expire_child(manager: IkeSaManager, now: float) -> None:
    for _session, child in list(manager._sessions.children()):
        if child.sa.tunnel == "lan":
            manager.expire(child.sa.spi_in, now, hard=True)


def leave(manager: IkeSaManager, now: float) -> None:
    session = manager._sessions.live("peer")
    if session is not None:
        session.leave("a test wants it", now)
        manager._touch(session)


ORDERS: Mapping[str, Order] = {
    "rekey IKE SA": rekey_ike,
    "rekey child": rekey_child,
    "child expires": expire_child,
    "take child down": lambda manager, now: manager.terminate("peer", now, "lan"),
    "close IKE SA": leave,
    "take all down": lambda manager, now: manager.terminate("peer", now),
    "create child": lambda manager, now: manager.acquire(REQIDS["lan1"], now),
    "ask": ask_whether_it_lives,
    "start": IkeSaManager.start,
    "initiate": lambda manager, now: manager.acquire(REQIDS["lan"], now),
}
DELETING = {"child expires", "take child down", "close IKE SA", "take all down"}
BETWEEN_ENDS = ["rekey IKE SA", "rekey child", "child expires", "take child down", "close IKE SA", "take all down",
                "create child", "ask"]


def up(version: int, *, keeps: bool) -> World:
    """Both ends with one child SA. The first to initiate ``keeps`` it up, or nobody does."""
    world = World.of([side(version, 0, start="boot" if keeps else "traffic"), side(version, 1)], REQIDS)
    world.moment = MOMENTS[version]
    if keeps:
        world.ends[0].manager.start(world.now)
        world.collect()
    else:
        world.orders = [(0, "initiate")]
    while choices := world.choices():
        world.take(choices[0], ORDERS)
    agree(*world.ends, routes=1)
    return world


class Expectation:
    """What holds of a pair of orders, ``names``, given at the two ends, where one ``keeps`` the tunnel up or not."""

    def __init__(self, version: int, names: tuple[str, str], *, keeps: bool) -> None:
        self.version, self.names, self.keeps = version, set(names), keeps
        self.strict = not self.names & DELETING and "initiate" not in self.names
        self.first = {REQIDS["lan"] if "initiate" in names else REQIDS["lan1"]}

    def look(self, world: World) -> None:
        lacking = []
        for end, peer in (world.ends, world.ends[::-1]):
            lacking.append({reqid for reqid, child in end.sending.items() if child.spi_out not in peer.inbound})
        # A responder may send on a first child SA before its answer is there (RFC 7296 §1.2).
        lacking = [row - self.first for row in lacking]
        assert not lacking[0] & lacking[1], "both ends send on SAs that the other lacks"
        if self.strict:
            assert not any(lacking), "an end sends on an SA that the other lacks"
            assert all(REQIDS["lan"] in end.sending for end in world.ends), "an end has nothing to send on"
            assert not any(end.reasons for end in world.ends), "a collision is no failure"

    def at_rest(self, world: World) -> None:
        one, other = world.ends
        found = [sorted(child.tunnel for child in end.inbound.values()) for end in world.ends]
        assert found[0] == found[1], f"the ends differ: {found}"
        agree(one, other, routes=len(found[0]))
        self._is_expected(found[0])
        spis = [[(row.spi_i, row.spi_r) for row in end.manager._sessions] for end in world.ends]
        assert spis[0] == spis[1] and len(spis[0]) <= 1, f"IKE SAs: {spis}"
        for end in world.ends:
            manager = end.manager
            assert not any([manager._acceptor.half_open, *manager._ikev1_acceptor.half_open.values()])
            for session in manager._sessions:
                nothing_is_left(session)

    def _is_expected(self, tunnels: list[str]) -> None:
        created = ["lan1"] if "create child" in self.names else []
        if self.keeps or not self.names & DELETING:
            assert tunnels == ["lan", *created]
        elif "take all down" in self.names:
            assert tunnels == []
        elif "take child down" in self.names:
            assert tunnels in ([], created)
        else:
            assert len(set(tunnels)) == len(tunnels)


def nothing_is_left(session) -> None:
    assert session.state is State.ESTABLISHED and session._leave_at is None and not session._gives_way
    for child in session.children:
        assert child.state is ChildState.INSTALLED and child.outbound, child.state
        assert child.replaces is None and child.outbound_due is None and child.retires_at is None
        assert child.replacement is None or child.replacement.state is ChildState.GONE
    if isinstance(session, Ikev1Session):
        assert not session.exchanges._wishes and not session.exchanges.all() and session._repeater is None
        assert not session.deletions._said and session._successor is None
    else:
        assert not session.requests.all() and session.awaited is None
        assert session.rival is None and session.predecessor is None and session._heir is None
        assert not session.deleted_ahead


def bounds_of(depths: str) -> list[Bounds]:
    return [Bounds(*map(int, depth.split(","))) for depth in depths.split()]


#: How deep to go, each time anew: messages lost, messages doubled, timers that run out before what is on its way comes.
BOUNDS = {2: bounds_of(os.environ.get("TANDEM_WALK", "1,0,0")),
          1: bounds_of(os.environ.get("TANDEM_WALK_V1", "0,0,0"))}


IN_ALL = Walked()


@pytest.fixture(scope="module", autouse=True)
def say_how_many() -> Iterator[None]:
    yield
    print(f"\nin all: {IN_ALL}")


def walk_all(bounds: list[Bounds], begin: Callable[[], World], expectation: Expectation, title: str, capsys) -> None:
    lines = []
    with stand_ins():
        for bound in bounds:
            world = begin()
            world.bound(bound)
            walked = walk(world, ORDERS, expectation.look, expectation.at_rest)
            IN_ALL.add(walked)
            lines.append(f"{title}, {bound}: {walked}")
    with capsys.disabled():
        print("", *lines, sep="\n")


def names_of(pair: tuple[str, str], keeps: bool) -> str:
    return f"{pair[0]} - {pair[1]}{', kept up' if keeps else ''}"


CASES = [(pair, keeps) for pair in itertools.product(BETWEEN_ENDS, repeat=2) for keeps in (False, True)
         if not (keeps and {"take child down", "take all down", "create child"} & set(pair))]


#: In IKEv1 nothing answers the DELETE of an ISAKMP SA, and of two rekeys alike the ends may take another for the later:
#: until time or a DELETE ends that, they differ.
CASES_OF_IKEV1 = [(pair, keeps) for pair, keeps in CASES if not DELETING & set(pair) and len(set(pair)) == 2]


@pytest.mark.parametrize(("version", "pair", "keeps"), [
    pytest.param(version, *case, id=f"IKEv{version}: {names_of(*case)}")
    for version, cases in ((2, CASES), (1, CASES_OF_IKEV1)) for case in cases])
def test_two_exchanges(version, pair, keeps, capsys):
    def begin() -> World:
        world = up(version, keeps=keeps)
        if "create child" in pair:
            for number, end in enumerate(world.ends):
                end.manager.reload(side(version, number, tunnels=2), world.now)
        world.orders = list(enumerate(pair))
        return world

    walk_all(BOUNDS[version], begin, Expectation(version, pair, keeps=keeps), f"IKEv{version}, {names_of(pair, keeps)}",
             capsys)


@pytest.mark.parametrize("version", [2])
@pytest.mark.parametrize("keeps", [False, True])
def test_both_ends_initiate(version, keeps, capsys):
    """From nothing: both first messages may cross."""
    def begin() -> World:
        world = World.of([side(version, number, start="boot" if keeps else "traffic") for number in (0, 1)], REQIDS)
        world.moment = MOMENTS[version]
        world.orders = [(number, "start" if keeps else "initiate") for number in (0, 1)]
        return world

    walk_all(BOUNDS[version], begin, Expectation(version, ("initiate", "initiate"), keeps=keeps),
             f"IKEv{version}, both initiate{', kept up' if keeps else ''}", capsys)
