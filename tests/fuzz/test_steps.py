# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sessions against whatever steps hypothesis thinks of, and against every seed; steps survive as octets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import certificates, chains, decoders, ikev1_sessions, ikev2_sessions, steps
from tests.fuzz.feed import Feed
from tests.fuzz.steps import Kind, Step

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    "certificates": certificates.decode,
    "ikev1-decoders": decoders.decode_ikev1, "ikev1-sessions": ikev1_sessions.attack,
    "ikev2-decoders": decoders.decode_ikev2, "ikev2-sessions": ikev2_sessions.attack}

octet = st.integers(0, 0xFF)
payloads = st.tuples(st.integers(1, 0xFF), octet, st.binary(max_size=60))


def _sealed(kind: Kind, exchange: int, rows: list[chains.Payload], other: int, fragment: tuple[int, int] | None,
            oldest: bool) -> Step:
    first_type, body = chains.joined(rows)
    return Step(kind, exchange, first_type, body, other, fragment, oldest)


some_steps = st.lists(st.one_of(
    st.builds(_sealed, st.sampled_from((Kind.REQUEST, Kind.RESPONSE, Kind.CLEAR)), st.integers(0, 8),
              st.lists(payloads, max_size=6), st.sampled_from((0, 0, 0, 1, 0x20)),
              st.sampled_from((None, None, (1, 1), (1, 2), (2, 2))), st.booleans()),
    st.builds(Step, st.just(Kind.ORDER), first_type=octet),
    st.builds(Step, st.just(Kind.DATAGRAM), body=st.binary(max_size=80))), max_size=steps.MOST)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(scenario=octet, rows=some_steps)
def test_steps_are_octets_and_back(scenario: int, rows: list[Step]) -> None:
    feed = Feed(steps.encode(scenario, rows))
    assert feed.octet() == scenario
    assert steps.read(feed) == rows


@pytest.mark.parametrize("attack", [ikev1_sessions.attack, ikev2_sessions.attack], ids=["IKEv1", "IKEv2"])
@settings(derandomize=True, max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenario=octet, rows=some_steps)
def test_a_live_session_outlives_any_steps(attack: Target, scenario: int, rows: list[Step]) -> None:
    attack(steps.encode(scenario, rows))


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_taken(target: str) -> None:
    seeds = (Path(__file__).parent / "corpus" / f"{target}.hex").read_text().split()
    assert len(seeds) >= 20
    for seed in seeds:
        TARGETS[target](bytes.fromhex(seed))
