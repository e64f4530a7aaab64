# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of ``make soak``: tunnels on a kernel's ESP that live through what happens to tunnels."""

from __future__ import annotations

import pytest

from tests.soak import campaign

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
CASES = [pytest.param(name, peer, marks=[pytest.mark.interop] if peer == "strongswan" else [], id=f"{name}-{peer}")
         for name, scenario in campaign.SCENARIOS.items() for peer in scenario.short_peers]


@pytest.mark.parametrize(("name", "peer"), CASES)
def test_a_tunnel_lives_through(name: str, peer: str) -> None:
    scenario = campaign.SCENARIOS[name]
    figures = campaign.run(name, peer, scenario.short)
    campaign.keep(name, peer, "short", figures)
    print(figures)
    assert campaign.holds(name, "short", figures), figures
