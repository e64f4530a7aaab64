# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one matcher: what is chosen, and what is nearest where nothing is."""

from __future__ import annotations

import pytest
from ikeengine.negotiation.matching import Choice, Difference, NoMatch, Offer, choose


def offer(label: str, **alternatives: str) -> Offer:
    """``encryption="AES-256 AES-128"``: alternatives in order."""
    return Offer(label, {kind.replace("_", " "): names.split() for kind, names in alternatives.items()})


BOTH = offer("transform p1", encryption="AES-256", key_group="14")


@pytest.mark.parametrize(("theirs", "ours", "chosen"), [
    ([offer("1", encryption="AES-128 AES-256", key_group="19 14")], [BOTH],
     Choice(0, 0, {"encryption": "AES-256", "key group": "14"})),
    ([offer("1", encryption="3DES", key_group="14"), offer("2", encryption="AES-256", key_group="14")], [BOTH],
     Choice(1, 0, {"encryption": "AES-256", "key group": "14"})),
    # The peer's order of offers goes before ours; within one offer, ours goes before the peer's.
    ([offer("1", encryption="AES-128", key_group="14"), offer("2", encryption="AES-256", key_group="14")],
     [BOTH, offer("p2", encryption="AES-128", key_group="14")],
     Choice(0, 1, {"encryption": "AES-128", "key group": "14"})),
    ([offer("1", encryption="AES-128 AES-256", key_group="14")],
     [BOTH, offer("p2", encryption="AES-128", key_group="14")],
     Choice(0, 0, {"encryption": "AES-256", "key group": "14"})),
    ([offer("1", numbers="off on")], [offer("p2", numbers="on off")], Choice(0, 0, {"numbers": "on"})),
    ([offer("1", numbers="off")], [offer("p2", numbers="on off")], Choice(0, 0, {"numbers": "off"})),
    # What is not there is "none", and "none" may be said.
    ([offer("1", encryption="AES-256", key_group="14", authentication="none SHA1")], [BOTH],
     Choice(0, 0, {"encryption": "AES-256", "key group": "14"})),
    ([offer("1", encryption="AES-256")], [offer("p1", encryption="AES-256", key_group="14 none")],
     Choice(0, 0, {"encryption": "AES-256", "key group": "none"})),
])
def test_what_is_chosen(theirs, ours, chosen):
    assert choose(theirs, ours) == chosen


@pytest.mark.parametrize(("theirs", "ours", "nearest", "differences"), [
    ([offer("1", encryption="3DES", key_group="2"), offer("2", encryption="AES-128 3DES", key_group="14")], [BOTH],
     ("2", "transform p1"), [Difference("encryption", ("AES-128", "3DES"), ("AES-256",))]),
    ([offer("1", encryption="AES-256", key_group="14", secrecy="yes")], [BOTH],
     ("1", "transform p1"), [Difference("secrecy", ("yes",), ("none",))]),
    ([offer("1", encryption="AES-256")], [BOTH],
     ("1", "transform p1"), [Difference("key group", ("none",), ("14",))]),
    # One protocol is nearer than two, whatever else differs.
    ([offer("1", protocol="AH", authentication="SHA1"),
      offer("2", protocol="ESP", encryption="3DES", authentication="MD5")],
     [offer("p2", protocol="ESP", encryption="AES-128", authentication="SHA1")], ("2", "p2"),
     [Difference("encryption", ("3DES",), ("AES-128",)), Difference("authentication", ("MD5",), ("SHA1",))]),
])
def test_what_is_nearest(theirs, ours, nearest, differences):
    found = choose(theirs, ours)
    assert isinstance(found, NoMatch) and found.nearest() is not None
    assert (found.nearest().theirs.label, found.nearest().ours.label) == nearest
    assert list(found.nearest().differences) == differences


@pytest.mark.parametrize(("theirs", "ours"), [([], [BOTH]), ([BOTH], []), ([], [])])
def test_nothing_is_nearest_to_nothing(theirs, ours):
    found = choose(theirs, ours)
    assert isinstance(found, NoMatch) and found.nearest() is None


def test_no_more_of_the_peers_offers_is_read_than_it_takes():
    def offers():
        yield BOTH
        raise AssertionError("the second was read")

    assert isinstance(choose(offers(), [BOTH]), Choice)
