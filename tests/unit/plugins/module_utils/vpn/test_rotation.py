# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever two ends hold, and wherever a change of theirs was interrupted, each step leaves them taking each other."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from ikeengine.vpn.model import Credential, CredentialMethod, Ppk, Secret
from ikeengine.vpn.rotation import Stage, Step, stage, towards, waits_for_peer

OLD, NEW, THIRD, HEX = (Secret(text) for text in (b"old", b"new", b"third", b"\xff\x00"))
PSK, HEX_PSK, CERTIFICATE = CredentialMethod


def key(secret: Secret, *also: Secret, method: CredentialMethod = PSK) -> Credential:
    return Credential(method, secret, also_accepted=also)


def certified(site: str, authority: str, *ca: str, crl: tuple[str, ...] = ()) -> Credential:
    return Credential(CERTIFICATE, Secret(f"key of {site} {authority}".encode()), f"{site} of {authority}", ca,
                      crl=crl)


def take_each_other(one: Credential, other: Credential) -> bool:
    """Whether each end accepts what the other shows."""
    def accepts(mine: Credential, its: Credential) -> bool:
        if mine.method is CERTIFICATE:
            return its.certificate is not None and its.certificate.rpartition(" of ")[2] in mine.ca
        return its.secret in mine.accepted

    return accepts(one, other) and accepts(other, one)


CHANGES = {
    "key": ((key(OLD), key(NEW)),) * 2,
    "key to one in hexadecimal digits": ((key(OLD), key(HEX, method=HEX_PSK)),) * 2,
    "authority": tuple((certified(site, "a", "a"), certified(site, "b", "b")) for site in ("hq", "branch")),
    "one end's authority": ((certified("hq", "a", "a"), certified("hq", "a", "b")),
                            (certified("branch", "a", "a"), certified("branch", "b", "a"))),
    "one end's certificate": ((certified("hq", "a", "a"), Credential(
        CERTIFICATE, Secret(b"another"), "hq, renewed, of a", ("a",))), (certified("branch", "a", "a"),) * 2),
    "a change that was given up for another": ((key(NEW, OLD), key(THIRD)), (key(OLD, NEW), key(THIRD))),
    "a change that was given up": ((key(NEW, OLD), key(OLD)), (key(OLD, NEW), key(OLD))),
    "a declared list of accepted keys": ((key(OLD), key(NEW, THIRD)), (key(OLD), key(NEW, THIRD))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_step_at_either_end_leaves_the_two_taking_each_other(change: str):
    for order in permutations((0, 1)):
        held, wanted = ([row[which] for row in CHANGES[change]] for which in (0, 1))
        assert take_each_other(*held)
        for step, least in zip(Step, (Stage.ACCEPTS, Stage.SWITCHED, Stage.DONE), strict=True):
            for end in order:
                held[end] = towards(held[end], wanted[end], step)
                assert take_each_other(*held), (change, order, step, end)
                reached = stage(held[end], wanted[end])
                assert list(Stage).index(reached) >= list(Stage).index(least)
                # Interrupted here, a play begins again: that takes nothing back.
                for again in list(Step)[:list(Step).index(step) + 1]:
                    assert towards(held[end], wanted[end], again) == held[end]
        assert held == wanted


def test_what_is_not_changed_is_done_at_once():
    assert stage(key(OLD), key(OLD)) is Stage.DONE
    for step, wanted in product(Step, (key(OLD), key(OLD, NEW))):
        assert towards(key(OLD), wanted, step) == wanted
    lists = (certified("hq", "a", "a", crl=("1",)), certified("hq", "a", "a", crl=("2",)))
    assert towards(*lists, Step.ACCEPT) == lists[1]  # a list that is out of date must not stay


def test_what_cannot_be_accepted_both_ways_is_held_back_until_the_switch():
    ways = {"another method": (key(OLD), certified("hq", "a", "a")),
            "another post-quantum key": (key(OLD), Credential(PSK, OLD, ppk=Ppk("1", True, Secret(b"k"))))}
    for held, wanted in ways.values():
        assert stage(held, wanted) is Stage.ACCEPTS
        assert towards(held, wanted, Step.ACCEPT) == held
        assert towards(held, wanted, Step.SWITCH) == wanted


def test_revocation_lists_of_both_authorities_hold_while_both_are_trusted():
    held, wanted = certified("hq", "a", "a", crl=("of a",)), certified("hq", "b", "b", crl=("of b",))
    assert towards(held, wanted, Step.ACCEPT).crl == ("of b", "of a")
    assert towards(held, wanted, Step.FINISH).crl == ("of b",)


@pytest.mark.parametrize(("held", "wanted", "waits"), [
    (key(OLD), key(NEW), True),
    (key(OLD, NEW), key(NEW), True),  # until the peer has shown the new one
    (key(OLD, NEW), key(OLD), False),
    (key(OLD, NEW), key(OLD, THIRD), False),
    (certified("hq", "a", "a"), certified("hq", "a", "b"), True),
    (certified("hq", "a", "a"), certified("hq", "b", "b"), True),
    (certified("hq", "a", "b", "a"), certified("hq", "b", "b"), False),
    (certified("hq", "a", "a"), certified("hq", "renewed", "a", crl=("1",)), False),
    (key(OLD), certified("hq", "a", "a"), False),
    (certified("hq", "a", "a"), key(NEW), False),
    (key(OLD), Credential(PSK, NEW, ppk=Ppk("1", True, Secret(b"k"))), False),
])
def test_a_peer_of_others_is_waited_for_where_both_can_be_accepted_until_it_has_changed(held, wanted, waits):
    assert waits_for_peer(held, wanted) is waits
