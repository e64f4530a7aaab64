# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no common transform or proposal comes from: the nearest pair, in what it differs, and what would mend it."""

from __future__ import annotations

from dataclasses import replace

from ..vpn import algorithms
from ..vpn.algorithms import Strength
from .matching import (
    ADDITIONAL_KEY_EXCHANGE,
    AUTHENTICATION,
    ENCRYPTION,
    KEY_GROUP,
    LIFE,
    METHOD,
    NONE,
    OFF,
    ON,
    PRF,
    PROTOCOL,
    Difference,
    Differences,
    Near,
    NoMatch,
)
from .reasons import Reason, listed

_MOST_NAMED = 6  # of the alternatives that a peer offers, which may be thousands


def no_common_transform(found: NoMatch, peer: object) -> Reason:
    """Of Phase 1. ``peer`` is its address."""
    near = found.nearest(_as_transforms_differ)
    if near is None:
        return _nothing_to_compare(found, "phase 1 transform", peer)
    return Reason(_nearest(near, "transform"), _fix(near, near.ours.path),
                  f"phase 1 {listed(_LABELS.get(row.kind, row.kind) for row in near.differences)}",
                  f"the peer {peer} offers {_values(near, theirs=True)}", f"we have {_values(near, theirs=False)}",
                  _path(near, near.ours.path))


def no_common_proposal(found: NoMatch, peer: object, tunnel: str) -> Reason:
    """Of Phase 2, in which a key group is that of Perfect Forward Secrecy."""
    near = found.nearest(_as_proposals_differ, minor=_SECRECY)
    if near is None:
        return _nothing_to_compare(found, "phase 2 proposal", peer)
    if near.differences[0].kind in _SECRECY:
        return _other_secrecy(near, peer, f"tunnels[{tunnel}].pfs")
    return Reason(_nearest(near, "proposal"), _fix(near, near.ours.path),
                  f"phase 2 {listed(row.kind for row in near.differences)}",
                  f"the peer {peer} offers {_values(near, theirs=True)}", f"we have {_values(near, theirs=False)}",
                  _path(near, near.ours.path))


def _other_secrecy(near: Near, peer: object, path: str) -> Reason:
    """All that differs is Perfect Forward Secrecy. ``path`` is where ours is declared."""
    row = near.differences[0]
    theirs, ours = row.theirs[0], row.ours[0]
    if row.kind == KEY_GROUP and NONE in (theirs, ours):
        ours_on, theirs_on = ours != NONE, theirs != NONE
        our_change = f"set {path} to {{enabled: true, key_group: {_plain(theirs)}}}" if theirs_on else ""
        their_change = f"have the peer use PFS with {ours}" if ours_on else "have the peer use no PFS"
        return Reason("PFS is on at both ends or at none", _either(our_change, their_change), "PFS",
                      f"the peer {peer} has it {ON if theirs_on else OFF}", f"we have it {ON if ours_on else OFF}",
                      f"{path}.enabled")
    one = replace(near, differences=(row,))
    return Reason("both ends need the same", _fix(one, path), f"PFS {row.kind}",
                  f"the peer {peer} has {_some(row.theirs)}", f"we have {_some(row.ours)}", _path(one, path))


# ------------------------------------------------------------------------------------------------ what differs

_FIELDS = {PROTOCOL: "protocol", ENCRYPTION: "encryption", AUTHENTICATION: "authentication", KEY_GROUP: "key_group",
           ADDITIONAL_KEY_EXCHANGE: "additional_key_exchange"}
"""The members of a transform or proposal in a declaration. What is not here cannot be set."""

_SECRECY = (KEY_GROUP, ADDITIONAL_KEY_EXCHANGE)

_LABELS = {LIFE: "SA life", METHOD: "credential"}
"""What validation calls otherwise than the matcher."""


def _as_transforms_differ(found: Differences) -> Differences:
    """As a declaration's members differ: one hash is the PRF and the integrity algorithm, and an AEAD takes only the
    former."""
    by_kind = {row.kind: row for row in found}
    prf, integrity = by_kind.get(PRF), by_kind.get(AUTHENTICATION)
    if integrity is not None and ENCRYPTION in by_kind and NONE in (*integrity.theirs, *integrity.ours):
        del by_kind[AUTHENTICATION]
        integrity = None
    if prf is not None and (integrity is None or prf.theirs == integrity.theirs):
        del by_kind[PRF]
        by_kind[AUTHENTICATION] = replace(prf, kind=AUTHENTICATION)
    return tuple(by_kind[kind] for kind in (*_FIELDS, *by_kind.keys() - _FIELDS.keys()) if kind in by_kind)


def _as_proposals_differ(found: Differences) -> Differences:
    """Perfect Forward Secrecy is the tunnel's, not the proposal's: it counts where nothing else differs."""
    return tuple(row for row in found if row.kind not in _SECRECY) or found


def _nothing_to_compare(found: NoMatch, field: str, peer: object) -> Reason:
    return Reason("there is nothing to choose from", "", field,
                  f"the peer {peer} offers {'some' if found.theirs else 'none'}",
                  f"we have {'some' if found.ours else 'none'}")


def _nearest(near: Near, noun: str) -> str:
    return f"no common {noun}; {near.theirs.label} of the peer and our {near.ours.label} are nearest"


def _path(near: Near, path: str) -> str:
    """The one member that differs, or the whole."""
    fields = [_FIELDS.get(row.kind) for row in near.differences]
    return f"{path}.{fields[0]}" if len(fields) == 1 and fields[0] else path


def _values(near: Near, *, theirs: bool) -> str:
    return listed(_some(row.theirs if theirs else row.ours, row.kind) for row in near.differences)


def _some(names: tuple[str, ...], kind: str = "") -> str:
    """The alternatives in words; what says little by itself with its kind."""
    worded = [f"no {kind}" if name == NONE and kind else f"{kind} {name}" if name in (ON, OFF) else name
              for name in dict.fromkeys(names)]
    more = len(worded) - _MOST_NAMED
    return " or ".join(worded[:_MOST_NAMED]) + (f" or {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------------------------ what would mend it

def _fix(near: Near, path: str) -> str:
    ours = _our_change(near, path)
    if ours and any(_strength(row.kind, row.ours[0]) is Strength.WEAK for row in near.differences):
        return _either(ours, "")
    return _either(ours, _their_change(near))


def _either(ours: str, theirs: str) -> str:
    text = ", or ".join(change for change in (ours, theirs) if change)
    return text[0].upper() + text[1:]


def _their_change(near: Near) -> str:
    return f"have the peer offer {listed(_some(row.ours[:1], row.kind) for row in near.differences)}"


def _our_change(near: Near, path: str) -> str:
    """Taking what the peer has; empty where that is weak, not ours to set, or unknown to us."""
    changes = []
    for row in near.differences:
        field, value = _FIELDS.get(row.kind), _good(row)
        if field is None or value is None:
            return ""
        changes.append((field, _plain(value)))
    if len(changes) == 1 and changes[0][1] != NONE:
        return f"set {path}.{changes[0][0]} to {changes[0][1]}"
    settings = [f"{field} to {value}" for field, value in changes if value != NONE]
    removed = [field for field, value in changes if value == NONE]
    words = ([f"set {listed(settings)}"] if settings else []) + ([f"remove {listed(removed)}"] if removed else [])
    return f"{' and '.join(words)} in {path}"


def _good(row: Difference) -> str | None:
    """The first of the peer's alternatives that may be recommended."""
    return next((name for name in row.theirs if name == NONE or _strength(row.kind, name) is Strength.STRONG), None)


def _strength(kind: str, name: str) -> Strength | None:
    try:
        if kind == ENCRYPTION:
            return algorithms.encryption(name).strength
        if kind == AUTHENTICATION:
            return algorithms.authentication(name).strength
        if kind == KEY_GROUP:
            return algorithms.key_group(name).strength
        if kind == ADDITIONAL_KEY_EXCHANGE:
            algorithms.key_encapsulation(name)
    except KeyError:
        return None
    return Strength.STRONG


def _plain(name: str) -> str:
    """As a declaration has it: a group by its number."""
    return name.removeprefix("group ")
