# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changed by hand is told, and brought back without installing any key a second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ikeengine.dataplane.interface import Departure

Json = dict[str, Any]
Pair = Any  # of conftest.py, which importlib mode keeps out of reach


async def until(side: Any, holds: Callable[[], bool]) -> None:
    with side.engine.watched() as events:
        while not holds():
            await events.get()


def test_where_nothing_was_changed_nothing_is_told_or_done(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        calls, sent = list(pair.hq.plane.calls), len(pair.hq.wire.sent)
        assert await pair.hq.ask("audit") == {"departures": []}
        assert await pair.hq.ask("mend") == {"mended": []}
        assert (pair.hq.plane.calls, len(pair.hq.wire.sent)) == (calls, sent)

    pair.run(test)


@pytest.mark.parametrize("where", ["hq", "branch"])
def test_an_sa_that_the_kernel_lost_is_rekeyed_and_never_installed_again(pair: Pair, where: str) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        side = getattr(pair, where)
        [old] = side.plane.inbound
        side.plane.lost = {old}
        told = {"what": f"tunnel lan: inbound SA {old:08x}", "expected": "in the kernel", "found": "not there"}
        assert await side.ask("audit") == {"departures": [told]}
        assert (await side.tunnel())["routes"][0]["sas"][0]["spi_in"] == f"{old:08x}"
        assert await side.ask("mend") == {"mended": [told]}
        await until(side, lambda: old not in side.plane.inbound)
        assert len(pair.hq.plane.inbound) == len(pair.branch.plane.inbound) == 1
        assert [call for call, _what in side.plane.calls].count("add_inbound") == 2
        assert await side.ask("audit") == {"departures": []}

    pair.run(test)


def test_policies_are_put_up_again(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        [spi] = pair.hq.plane.inbound
        pair.hq.plane.departures = [Departure("policy out 10.10.0.0/24 -> 10.20.0.0/24", "there", "not there")]
        assert [row["what"] for row in (await pair.hq.ask("mend"))["mended"]] == [
            "policy out 10.10.0.0/24 -> 10.20.0.0/24"]
        assert ("restore", "") in pair.hq.plane.calls and list(pair.hq.plane.inbound) == [spi]
        assert "mended what somebody changed by hand" in pair.hq.messages()

    pair.run(test)


@pytest.mark.parametrize("what", [{"gateway": "peer"}, {"tunnel": "lan"}])
def test_what_was_taken_down_comes_up_again(pair: Pair, what: dict[str, str]) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        await pair.hq.ask("down", **what)
        ((kind, name),) = what.items()
        told = {"what": f"{kind} {name}", "expected": "as it is declared", "found": "taken down by hand"}
        assert await pair.hq.ask("audit") == {"departures": [told]}
        assert await pair.hq.ask("mend") == {"mended": [told]}
        await pair.hq.ask("up", gateway="peer", timeout=10)
        assert (await pair.hq.tunnel())["state"] == "up"
        assert await pair.hq.ask("audit") == {"departures": []}
        assert "restore" not in [call for call, _what in pair.hq.plane.calls]

    pair.run(test)


def test_a_kernel_that_cannot_be_asked_is_an_error_of_that_name(pair: Pair) -> None:
    async def test() -> None:
        pair.hq.plane.departures = [Departure("rule", "there", "not there")]
        pair.hq.plane.refuses = "restore"
        with pytest.raises(Exception, match="no room") as caught:
            await pair.hq.ask("mend")
        assert caught.value.code == "data_plane_failed"  # type: ignore[attr-defined]

    pair.run(test)
