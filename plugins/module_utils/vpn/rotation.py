# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a credential at both ends of a gateway so that at each moment the two take each other.

Each end first accepts what the peer will show, then shows its own new one, then drops what is old; and no end takes a
step before the other has taken the one before. How far an end is shows in what it holds beside what is wanted of it, so
a change that was interrupted, whenever, goes on from there.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TypeVar

from .model import Credential, CredentialMethod

_T = TypeVar("_T")


class Step(Enum):
    """How far an end may go."""

    ACCEPT = "accept"
    SWITCH = "switch"
    FINISH = "finish"


class Stage(Enum):
    """How far an end is."""

    OLD = "old"
    ACCEPTS = "accepts"
    SWITCHED = "switched"
    DONE = "done"


def stage(held: Credential, wanted: Credential) -> Stage:
    """Where an end is that holds the one and is to hold the other."""
    if held == wanted:
        return Stage.DONE
    if not _accepts(held, wanted):
        return Stage.OLD
    return Stage.SWITCHED if _shown(held) == _shown(wanted) else Stage.ACCEPTS


def towards(held: Credential, wanted: Credential, step: Step) -> Credential:
    """What an end that holds the one is to hold next on its way to the other. It never goes back."""
    if step is Step.FINISH or held.secret is None or wanted.secret is None:
        return wanted
    if _of_certificates(held) is not _of_certificates(wanted):
        return wanted if step is Step.SWITCH else held
    shows = wanted if step is Step.SWITCH or _shown(held) == _shown(wanted) else held
    if _of_certificates(wanted):
        authorities = _joined(wanted.ca, held.ca)
        return replace(shows, ca=authorities, crl=wanted.crl if set(authorities) == set(wanted.ca)
                       else _joined(wanted.crl, held.crl))
    method = wanted.method if held.method is wanted.method else CredentialMethod.HEX_PSK
    keys = _joined(wanted.accepted, held.accepted)
    return replace(shows, method=method, also_accepted=tuple(key for key in keys if key != shows.secret))


def waits_for_peer(held: Credential, wanted: Credential) -> bool:
    """Whether an end that holds the one, and whose peer somebody else configures, can still make good use of the time
    until the peer has changed: by accepting both. What it accepts already and only drops, what is its own to show, and
    what cannot be accepted both ways changes at once."""
    if _of_certificates(held) is not _of_certificates(wanted) or held.ppk != wanted.ppk:
        return False
    if _of_certificates(wanted):
        return not set(wanted.ca) <= set(held.ca)
    return held.secret != wanted.secret


def _accepts(held: Credential, wanted: Credential) -> bool:
    """Whether it takes all that the peer may show once the change is over. Between a key and a certificate nothing is
    accepted both ways, so the switch is all there is, and what is up serves until both ends have made it."""
    if _of_certificates(held) is not _of_certificates(wanted):
        return True
    if _of_certificates(wanted):
        return set(wanted.ca) <= set(held.ca) and (held.ca != wanted.ca or held.crl == wanted.crl)
    return set(wanted.accepted) <= set(held.accepted)


def _shown(credential: Credential) -> Credential:
    """What of it the peer gets to see, whatever the form that a key is written in."""
    method = credential.method if _of_certificates(credential) else CredentialMethod.PSK
    return replace(credential, method=method, ca=(), crl=(), also_accepted=())


def _of_certificates(credential: Credential) -> bool:
    return credential.method is CredentialMethod.CERTIFICATE


def _joined(first: tuple[_T, ...], then: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*first, *then)))
