# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As ``tests/integration/daemon/test_moving_addresses``, with the kernel's ESP: it tells of a NAT's new mapping."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.interop.moving import Bed
from tests.interop.site import Engine, eventually
from tests.support.roaming import LONGEST, Pair
from tests.testbed.roaming import PUBLIC, UPLINKS, road
from tests.testbed.strongswan import KERNEL

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
VERSIONS = pytest.mark.parametrize("version", [1, 2], ids=["IKEv1", "IKEv2"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with road("mob") as made:
        ends = Pair(made, Engine(made.head, tmp_path / "h"), Engine(made.branch, tmp_path / "b"))
        try:
            yield ends
            print(ends.logs())
        finally:
            ends.kill()


def encapsulation(pair: Pair) -> set[str | None]:
    return {engine.routes[0]["sas"][0]["encapsulation"] for engine in (pair.head, pair.branch)}


@VERSIONS
def test_a_moved_nat_mapping_is_followed(pair: Pair, version: int) -> None:
    """Other ports of the same address, which the kernel's state takes in place; then another address."""
    pair.road.plug(0)
    pair.road.translate(PUBLIC[0], "20000-29999")
    pair.start(version, "kernel")
    before, spis = pair.ike(), pair.head.routes[0]["sas"][0]["spi_in"]
    assert before["remote"].startswith(f"{PUBLIC[0]}:2") and encapsulation(pair) == {"udp"}
    for public, ports in ((PUBLIC[0], 3), (PUBLIC[1], 4)):
        move = partial(pair.road.translate, public, f"{ports}0000-{ports}9999")
        assert pair.outage(move) <= LONGEST, pair.logs()
        assert pair.ike()["remote"].startswith(f"{public}:{ports}")
    after = pair.ike()
    assert (after["spi_i"], pair.head.routes[0]["sas"][0]["spi_in"]) == (before["spi_i"], spis), "nothing was made anew"


def test_mobike_over_another_uplink_behind_a_nat_and_back(pair: Pair) -> None:
    pair.road.plug(0)
    pair.start(2, "kernel")
    before = pair.ike()
    assert encapsulation(pair) == {None} and not before["nat"]
    assert pair.outage(lambda: pair.road.plug(1)) <= LONGEST, pair.logs()
    assert pair.ike()["remote"] == f"{UPLINKS[1][1]}:4500" and encapsulation(pair) == {None}

    def behind_nat() -> None:
        pair.road.translate(PUBLIC[0], "20000-29999")
        pair.road.plug(0)

    assert pair.outage(behind_nat) <= LONGEST, pair.logs()
    assert pair.ike()["remote"].startswith(f"{PUBLIC[0]}:2") and encapsulation(pair) == {"udp"}
    assert pair.outage(partial(pair.road.plain, 1)) <= LONGEST, pair.logs()
    assert encapsulation(pair) == {None} and not pair.ike()["nat"]
    assert pair.ike()["spi_i"] == before["spi_i"], "nothing was made anew"


@pytest.mark.parametrize("ours", ["head", "branch"])
def test_mobike_with_strongswan(tmp_path: Path, ours: str) -> None:
    """Whichever end moves, the child SA goes along, in UDP where a NAT lies between."""
    with ExitStack() as stack:
        made = stack.enter_context(road("mob"))
        made.plug(0)
        bed = Bed(made, tmp_path, stack, dataplane="kernel", kernel=KERNEL)
        bed.start(ours)
        ike, spi = bed.ike(), bed.child["spi_in"]
        assert bed.child["encapsulation"] is None
        assert bed.outage(partial(made.plug, 1)) <= LONGEST, bed.logs()
        assert bed.child["encapsulation"] is None

        def behind_nat() -> None:
            made.translate(PUBLIC[0], "20000-29999")
            made.plug(0)

        assert bed.outage(behind_nat) <= LONGEST, bed.logs()
        assert bed.child["encapsulation"] == "udp"
        assert bed.outage(partial(made.translate, PUBLIC[1], "30000-39999")) <= LONGEST, bed.logs()
        assert (bed.ike(), bed.child["spi_in"]) == (ike, spi), bed.logs()
        where = bed.remote.partition(":")[0] if ours == "head" else bed.far()["remote-host"]
        assert where == PUBLIC[1]


def test_packets_are_proof_of_life(pair: Pair) -> None:
    pair.road.plug(0)
    pair.start(2, "kernel", dead_peer_detection={"idle": "1s", "retries": 2})

    def received() -> int:
        return int(pair.head.ask("status")["counters"]["datagrams_received"])

    asked: list[int] = []

    def look() -> None:
        time.sleep(1)
        asked.append(received())
        time.sleep(3)
        asked.append(received())

    pair.outage(look, seconds=6)
    assert asked[0] == asked[1], "nobody asks while packets come"
    eventually(lambda: received() > asked[1], pair.logs, 5)
