# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation says that two ends will agree exactly when two daemons do.

Pairs of declarations are drawn at random, half of them with one fault, all with differences that nobody minds. Each is
validated, and run: every route comes up at both ends for what is declared, and outlives a rekey of everything from
either end. A run prints its seed, and TANDEM_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from ikeengine.vpn import algorithms, declaration, rules
from ikeengine.vpn.model import CredentialMethod, IdentityKind, IkeVersion, Protocol, Side, Start
from ikeengine.vpn.rules import book

from . import certificates, declarations, differences
from .faults import FAULTS, Fault
from .observation import Observation, observe
from .scope import BETWEEN_TWO_MAKES, TOO_MILD, TOO_STRICT

OF_EACH_FAULT = 5
BETWEEN_TWO_SITES = (book.BOTH_PHASE1, book.GATEWAYS, book.BOTH_PHASE2, book.TUNNELS, book.SITES, book.FAR_END)


@dataclass(frozen=True)
class Compared:
    """One pair: what was planted, what validation finds, what the daemons do."""

    number: int
    fault: Fault | None
    differences: tuple[str, ...]
    sides: tuple[Side, Side]
    validation: rules.Validation
    observation: Observation

    @property
    def kind(self) -> str:
        return self.fault.kind if self.fault else "no fault"

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in self.validation.errors}

    def __str__(self) -> str:
        return "\n  ".join((
            f"pair {self.number}: {self.kind}; differences {', '.join(self.differences) or 'none'}",
            f"came up: {self.observation.came_up}, rekeyed: {self.observation.rekeyed}",
            *(f"found: {finding.code}: {finding}" for finding in self.validation.findings),
            *(f"said: {sentence}" for sentence in self.observation.said)))


def compare(seed: int, number: int, fault: Fault | None) -> Compared:
    """The pair of that number, with that fault."""
    draw = random.Random(f"{seed}/{number}")
    both = declarations.pair(draw, fault.version if fault else None)
    added = differences.some(draw, both, differences.ADDITIONS)
    if fault is not None:
        fault.plant(draw, both, draw.choice(both.ends))
    worded = differences.some(draw, both, differences.WORDINGS)
    left, right = certificates.issued(draw, [declaration.read(end) for end in both.ends])
    return Compared(number, fault, (*added, *worded), (left, right), rules.validate([left, right]),
                    observe(left, right, public=both.public, userspace=both.userspace, addresses=both.addresses,
                            seed=number))


def compare_many(seed: int, of_each_fault: int) -> list[Compared]:
    """So many pairs with each fault, and as many without any."""
    faults = [fault for fault in FAULTS for _time in range(of_each_fault)]
    return [compare(seed, number, fault) for number, fault in enumerate(
        planted for fault in faults for planted in (fault, None))]


def summary(seed: int, pairs: Sequence[Compared]) -> Iterator[str]:
    """What was drawn and how it went, in lines."""
    yield f"TANDEM_SEED={seed}"
    yield (f"{len(pairs)} pairs: {sum(row.observation.agreed for row in pairs)} agreed, "
           f"{sum(row.validation.ok for row in pairs)} were said to")
    for kind, count in sorted(Counter(row.kind for row in pairs).items()):
        reason = TOO_STRICT.get(kind) or TOO_MILD.get(kind)
        yield f"{count:5} {kind}" + (f" (excepted: {reason})" if reason else "")
    for name, count in sorted(Counter(name for row in pairs for name in row.differences).items()):
        yield f"{count:5} harmless: {name.replace('_', ' ')}"


@pytest.fixture(scope="module")
def pairs() -> list[Compared]:
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    compared = compare_many(seed, OF_EACH_FAULT)
    print("\n".join(summary(seed, compared)))
    return compared


def _report(rows: Sequence[Compared]) -> str:
    return "\n".join(map(str, rows[:5]))


def test_validation_says_will_agree_exactly_when_they_do(pairs):
    assert len(pairs) >= 400
    wrong = [row for row in pairs if row.validation.ok is not row.observation.agreed
             and row.kind not in TOO_STRICT and row.kind not in TOO_MILD]
    assert not wrong, _report(wrong)


def test_the_exceptions_are_exceptions(pairs):
    """Else they belong to the rule."""
    strict = [row for row in pairs if row.kind in TOO_STRICT]
    mild = [row for row in pairs if row.kind in TOO_MILD]
    assert {row.kind for row in strict + mild} == TOO_STRICT.keys() | TOO_MILD.keys()
    wrong = [row for row in strict if row.validation.ok or not row.observation.agreed]
    wrong += [row for row in mild if not row.validation.ok or row.observation.agreed]
    assert not wrong, _report(wrong)


def test_a_pair_without_a_fault_agrees_and_nobody_complains(pairs):
    wrong = [row for row in pairs if row.fault is None
             and (row.codes or not row.observation.agreed or row.observation.said)]
    assert not wrong, _report(wrong)


def test_a_fault_is_found_under_its_name_and_nothing_else_is(pairs):
    planted = [(row, row.fault) for row in pairs if row.fault is not None]
    wrong = [row for row, fault in planted if row.codes - {fault.code} - fault.beside]
    assert not wrong, _report(wrong)
    found = {row.kind for row, fault in planted if fault.code in {finding.code for finding in row.validation.findings}}
    assert found == {fault.kind for fault in FAULTS}


def test_the_order_of_the_sites_makes_no_difference(pairs):
    wrong = [row for row in pairs
             if {finding.code for finding in rules.validate(row.sides[::-1]).errors} != row.codes]
    assert not wrong, _report(wrong)


def test_the_daemons_name_the_same_member(pairs):
    wrong = [row for row in pairs if row.fault is not None and row.fault.reason is not None
             and not any(re.search(row.fault.reason, sentence) for sentence in row.observation.said)]
    assert not wrong, _report(wrong)


BOTH_NAME = {"ike-version-differs", "mode-differs", "psk-differs", "identity-does-not-mirror",
             "phase1-no-common-transform", "phase2-no-common-proposal", "pfs-differs", "pfs-group-differs",
             "pfs-additional-key-exchange-differs", "route-missing-mirror"}
"""Faults whose field a daemon sees as well."""


def test_the_daemons_call_the_field_as_validation_does(pairs):
    planted = [row for row in pairs if row.fault is not None and row.fault.code in BOTH_NAME & row.codes]
    wrong = [row for row in planted if not any(
        f": {finding.field}: " in sentence for sentence in row.observation.said
        for finding in row.validation.findings if finding.code in BOTH_NAME)]
    assert planted and not wrong, _report(wrong)


def test_every_rule_between_two_sites_is_broken():
    codes = {rule.code for chapter in BETWEEN_TWO_SITES for rule in chapter.rules if rule.severity is book.ERROR}
    planted = {fault.code for fault in FAULTS}
    assert codes - planted == BETWEEN_TWO_MAKES


def test_every_fault_and_every_difference_occurs_a_few_times(pairs):
    kinds = Counter(row.kind for row in pairs)
    assert all(kinds[fault.kind] >= 3 for fault in FAULTS) and len({fault.kind for fault in FAULTS}) == len(FAULTS)
    assert kinds["no fault"] * 2 == len(pairs)
    drawn = Counter(name for row in pairs for name in row.differences)
    assert all(drawn[row.__name__] >= 3 for row in differences.ADDITIONS + differences.WORDINGS), drawn


def test_all_that_ikeengine_speaks_is_drawn(pairs):
    sides = [side for row in pairs if row.fault is None for side in row.sides]
    gateways = [gateway for side in sides for gateway in side.gateways]
    tunnels = [tunnel for side in sides for tunnel in side.tunnels]
    transforms = [transform for gateway in gateways for transform in gateway.transforms]
    proposals = [proposal for tunnel in tunnels for proposal in tunnel.proposals]
    ends = [end for gateway in gateways for pair in gateway.endpoints for end in (pair.local, pair.remote)]
    assert {gateway.version for gateway in gateways} == set(IkeVersion)
    assert {gateway.method for gateway in gateways} == set(CredentialMethod)
    assert {end.identity.kind for end in ends} == set(IdentityKind)
    assert {transform.encryption for transform in transforms} == set(algorithms.ENCRYPTIONS)
    assert {transform.authentication for transform in transforms} == set(algorithms.AUTHENTICATIONS)
    assert {transform.key_group for transform in transforms} == set(algorithms.KEY_GROUPS)
    assert {row.additional_key_exchange for row in (*transforms, *tunnels)} == {None, *algorithms.KEY_ENCAPSULATIONS}
    assert {proposal.protocol for proposal in proposals} == set(Protocol)
    assert {proposal.encryption for proposal in proposals} == {None, *algorithms.ENCRYPTIONS}
    assert {proposal.authentication for proposal in proposals} == {None, *algorithms.AUTHENTICATIONS}
    assert {tunnel.pfs for tunnel in tunnels} == {None, *algorithms.KEY_GROUPS}
    assert {gateway.start for gateway in gateways} == set(Start)
    assert {end.address.version for end in ends if end.address} == {4, 6}
