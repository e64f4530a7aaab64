# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is passed over because it is like something clean is clean: a fleet with faults, with and without."""

import os
import random

import pytest
from ikeengine.vpn import rules
from ikeengine.vpn.rules.book import CHAPTERS

from bench import planted


@pytest.mark.parametrize("sites, faults", [(12, 40), (60, 100)])
def test_passing_over_hides_nothing(monkeypatch, sites, faults):
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    sides, where = planted.plant(planted.mesh(sites), faults, random.Random(seed))
    quick = rules.validate(sides).findings
    for chapter in CHAPTERS:
        monkeypatch.setattr(chapter, "_likeness", lambda *_subject: None)
    assert quick == rules.validate(sides).findings
    assert planted.found(quick) == planted.expected(where)


def test_a_clean_mesh_is_clean_and_its_rules_run_once_for_each_kind(monkeypatch):
    sides = planted.mesh(40)
    runs = {chapter.title: 0 for chapter in CHAPTERS}
    for chapter in CHAPTERS:
        def check(*subject, chapter=chapter, check=chapter.check):
            runs[chapter.title] += 1
            return check(*subject)

        monkeypatch.setattr(chapter, "check", check)
    validation = rules.validate(sides)
    assert (validation.findings, len(validation.pairs)) == ((), 780)
    assert max(runs.values()) == 1
