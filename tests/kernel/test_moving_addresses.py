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


def datagrams(pair: Pair) -> int:
    """Of IKE, that came to the head office; the kernel keeps those of ESP."""
    return int(pair.head.ask("status")["counters"]["datagrams_received"])


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
    pair.start(2, "kernel", dead_peer_detection={"idle": "1s", "retries": 2})
    before = pair.ike()
    assert encapsulation(pair) == {None} and not before["nat"]
    asked: list[int] = []

    def plug_and_look() -> None:
        pair.road.plug(1)
        time.sleep(0.7)
        asked.append(datagrams(pair))
        time.sleep(2.5)
        asked.append(datagrams(pair))

    assert pair.outage(plug_and_look, seconds=5) <= LONGEST, pair.logs()
    assert asked[0] == asked[1], "nobody is asked whether it lives while its packets come"
    eventually(lambda: datagrams(pair) > asked[1], pair.logs, 5)
    assert pair.ike()["remote"] == f"{UPLINKS[1][1]}:4500" and encapsulation(pair) == {None}

    def behind_nat() -> None:
        pair.road.translate(PUBLIC[0], "20000-29999")
        pair.road.plug(0)

    assert pair.outage(behind_nat) <= LONGEST, pair.logs()
    assert pair.ike()["remote"].startswith(f"{PUBLIC[0]}:2") and encapsulation(pair) == {"udp"}
    assert pair.outage(partial(pair.road.plain, 1)) <= LONGEST, pair.logs()
    assert encapsulation(pair) == {None} and not pair.ike()["nat"]
    assert pair.ike()["spi_i"] == before["spi_i"], "nothing was made anew"


def test_strongswan_follows_us(tmp_path: Path) -> None:
    """The child SA goes along, in UDP where a NAT lies between. ``tests/interop`` has it the other way round."""
    with ExitStack() as stack:
        made = stack.enter_context(road("mob"))
        made.plug(0)
        bed = Bed(made, tmp_path, stack, dataplane="kernel", kernel=KERNEL)
        bed.start("branch")
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
        assert bed.far()["remote-host"] == PUBLIC[1]
