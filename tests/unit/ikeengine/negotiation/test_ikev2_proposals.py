# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offers on IKEv2's wire (RFC 7296 §3.3) and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ikeengine.negotiation.ikev2_proposals import (
    ChildChoice,
    IkeChoice,
    choose_child,
    choose_ike,
    from_wire,
    offer_child,
    offer_ike,
)
from ikeengine.negotiation.matching import NoMatch
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import Expiration, Proposal, Protocol, Transform
from ikeengine.wire.security_association import ProposalSubstructure, TransformSubstructure

SHA256 = algorithms.authentication("SHA2-256")
GROUP = algorithms.key_group(14)


def transform(encryption: str) -> Transform:
    return Transform("p1", SHA256, algorithms.encryption(encryption), GROUP, 86400)


def with_more(offered: tuple[ProposalSubstructure, ...], *transforms: TransformSubstructure):
    return [replace(row, transforms=(*transforms, *row.transforms)) for row in offered]


@pytest.mark.parametrize("encryption", [row.name for row in algorithms.ENCRYPTIONS])
def test_every_transform_is_chosen_from_its_own_offer(encryption):
    offered = offer_ike([transform(encryption)], b"8 octets")
    assert choose_ike(offered, [transform(encryption)]) == IkeChoice(transform(encryption), offered[0])


@pytest.mark.parametrize("protocol", Protocol)
def test_every_proposal_is_chosen_from_its_own_offer(protocol):
    encryption = algorithms.encryption("AES-128") if protocol is Protocol.ESP else None
    proposal = Proposal("p2", protocol, SHA256, encryption, Expiration(3600, None))
    (offered,) = offer_child([proposal], GROUP, 0xC0FFEE01)
    assert choose_child([offered], [proposal], GROUP) == ChildChoice(
        proposal, GROUP, replace(offered, spi=b""), 0xC0FFEE01)
    assert isinstance(choose_child([offered], [proposal], None), NoMatch)


def test_none_may_be_offered_in_place_of_what_an_aead_leaves_out():
    offered = with_more(offer_ike([transform("AES-GCM-128")]), TransformSubstructure(3, 0))
    choice = choose_ike(offered, [transform("AES-GCM-128")])
    assert isinstance(choice, IkeChoice) and [row.type for row in choice.answer.transforms] == [1, 2, 4]


def test_a_transform_with_unknown_attributes_is_not_chosen():
    """RFC 7296 §3.3.6."""
    (offered,) = offer_ike([transform("AES-128")])
    encryption, *others = offered.transforms
    odd = replace(offered, transforms=(replace(encryption, unknown_attributes=True), *others))
    assert isinstance(choose_ike([odd], [transform("AES-128")]), NoMatch)
    both = replace(offered, transforms=(replace(encryption, unknown_attributes=True), *offered.transforms))
    assert isinstance(choose_ike([both], [transform("AES-128")]), IkeChoice)


def test_a_type_that_we_do_not_know_cannot_be_passed_over():
    assert isinstance(choose_ike(with_more(offer_ike([transform("AES-128")]), TransformSubstructure(250, 0)),
                                 [transform("AES-128")]), NoMatch)


def test_everything_on_the_wire_has_a_name():
    names = from_wire(ProposalSubstructure(3, 9, b"", (
        TransformSubstructure(1, 12, 256), TransformSubstructure(1, 12), TransformSubstructure(1, 13, 128),
        TransformSubstructure(1, 3), TransformSubstructure(1, 3, 192), TransformSubstructure(1, 12, 128, True),
        TransformSubstructure(2, 5), TransformSubstructure(2, 4), TransformSubstructure(3, 0),
        TransformSubstructure(4, 31), TransformSubstructure(4, 22), TransformSubstructure(4, 0),
        TransformSubstructure(5, 0), TransformSubstructure(5, 1), TransformSubstructure(5, 2),
        TransformSubstructure(6, 36), TransformSubstructure(7, 37), TransformSubstructure(12, 0),
        TransformSubstructure(250, 1))))
    assert names.label == "proposal 3"
    assert names.alternatives == {
        "protocol": ["protocol 9"],
        "encryption": ["AES-256", "transform 12", "transform 13 with 128 bits", "3DES", "transform 3 with 192 bits",
                       "AES-128 with unknown attributes"],
        "PRF": ["SHA2-256", "transform 4"], "authentication": ["none"], "key group": ["group 31", "group 22", "none"],
        "extended sequence numbers": ["off", "on", "transform 2"], "additional key exchange": ["ML-KEM-768"],
        "additional key exchange 2": ["ML-KEM-1024"], "additional key exchange 7": ["none"],
        "transform type 250": ["transform 1"]}
