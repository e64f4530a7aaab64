# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is passed over because it is like something clean is clean: a fleet with faults, with and without."""

import os
import random
from dataclasses import replace

import pytest
from ikeengine.vpn import rules
from ikeengine.vpn.rules.book import CHAPTERS, SITE
from ikeengine.vpn.rules.likeness import Likenesses

from bench import planted
from tests.support.variations import vary


@pytest.mark.parametrize("sites, faults", [(12, 40), (60, 100)])
def test_passing_over_hides_nothing(monkeypatch, sites, faults):
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    sides, where = planted.plant(planted.mesh(sites), faults, random.Random(seed))
    quick = rules.validate(sides).findings
    unlike(monkeypatch)
    assert quick == rules.validate(sides).findings
    assert planted.found(quick) == planted.expected(where)


def unlike(monkeypatch):
    """Nothing is like anything else, so every rule looks at everything."""
    for subject in ("site", "link"):
        monkeypatch.setattr(Likenesses, subject, lambda _self, _subject: None)


@pytest.mark.parametrize("networks, variations", [(1, 400), (2, 200)])
def test_whatever_is_changed_it_is_found_beside_alike_links(monkeypatch, networks, variations):
    """One or two things changed anywhere at one end of one link, or at both, in a fleet of four sites."""
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    draw = random.Random(seed)
    mesh = planted.mesh(4, networks)
    varied = [vary_link(mesh, draw) for _ in range(variations)]
    quick = [rules.validate(fleet).findings for fleet in varied]
    unlike(monkeypatch)
    for fleet, findings in zip(varied, quick, strict=True):
        assert findings == rules.validate(fleet).findings
    # Of 25 seeds the poorest had 32; it only has to be about many rules.
    assert len({finding.code for findings in quick for finding in findings}) > 20


def vary_link(mesh, draw):
    """The mesh with something else at one link; the last two sites stay as they are."""
    sides = list(mesh)
    both = draw.random() < 0.4
    seed = draw.randrange(2**32)
    for here, there in ((0, 1), (1, 0)) if both else draw.choice((((0, 1),), ((1, 0),))):
        again = random.Random(seed)  # the same at both ends, where both change
        if again.random() < 0.2:
            sides[here] = vary_site(sides[here], again)
            continue
        for _ in range(again.choice((1, 1, 2))):
            name, part = sides[there].name, again.choice(("gateways", "tunnels"))
            sides[here] = replace(sides[here], **{part: tuple(
                vary(one, again) if one.name == name else one for one in getattr(sides[here], part))})
    return sides


def vary_site(side, draw):
    name = draw.choice(("platform", "managed", "policy"))
    return replace(side, **{name: vary(getattr(side, name), draw)})


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
