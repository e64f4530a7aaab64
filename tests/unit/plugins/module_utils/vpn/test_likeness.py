# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is passed over because it is like something clean is clean: a fleet with faults, with and without."""

import os
import random

import pytest
from ikeengine.vpn import rules
from ikeengine.vpn.rules.book import CHAPTERS, SITE
from ikeengine.vpn.rules.likeness import Likenesses

from bench import planted


@pytest.mark.parametrize("sites, faults", [(12, 40), (60, 100)])
def test_passing_over_hides_nothing(monkeypatch, sites, faults):
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    sides, where = planted.plant(planted.mesh(sites), faults, random.Random(seed))
    quick = rules.validate(sides).findings
    for subject in ("site", "link"):
        monkeypatch.setattr(Likenesses, subject, lambda _self, _subject: None)
    assert quick == rules.validate(sides).findings
    assert planted.found(quick) == planted.expected(where)


@pytest.mark.parametrize("networks", [1, 3])
def test_a_clean_mesh_is_clean_and_its_rules_run_once_for_each_kind(monkeypatch, networks):
    sides = planted.mesh(40, networks)
    runs = dict.fromkeys(CHAPTERS, 0)
    for chapter in CHAPTERS:
        def check(*subject, chapter=chapter, check=chapter.check):
            runs[chapter] += 1
            return check(*subject)

        monkeypatch.setattr(chapter, "check", check)
    validation = rules.validate(sides)
    assert (validation.findings, len(validation.pairs)) == ((), 780)
    if networks > 1:  # routes to one network from several are too much for a site's likeness
        runs.pop(SITE)
    assert max(runs.values()) == 2  # once at each end of the one link that is looked at
