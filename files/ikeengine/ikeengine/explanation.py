# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer to ``explain``: what is declared with a peer, how it stands, and how its last negotiations went, in the
shape of docs/design.md. Words only: nothing that is secret, and what came from the network is of bounded length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .ike.account import Account, ChildAccount
from .negotiation import identities
from .negotiation.answers import offers, suite
from .negotiation.matching import NONE, OFF, ON, PRF, PROTOCOL, NoMatch, Offer, choose
from .negotiation.reasons import Reason
from .status import GatewayStatus, TunnelStatus
from .vpn.model import CredentialMethod, Endpoint, Gateway, Start, Tunnel

Json: TypeAlias = dict[str, Any]

_METHODS = {CredentialMethod.PSK: "pre-shared key", CredentialMethod.HEX_PSK: "pre-shared key in hexadecimal",
            CredentialMethod.CERTIFICATE: "certificate"}


def of_gateway(gateway: Gateway, status: GatewayStatus, tunnels: Sequence[tuple[Tunnel, TunnelStatus]],
               accounts: Sequence[Account], failed: Account | None, *, refused: bool,
               unix: Callable[[float], float]) -> Json:
    """``accounts``: the latest first. ``failed``: the last that came to no IKE SA. ``refused``: an operator took it
    down. ``unix`` makes Unix seconds of the sessions' clock."""
    since = min((row.established_at for row in status.ike), default=None)
    return {"gateway": gateway.name, "state": status.state, "since": None if since is None else unix(since),
            "summary": _summary(gateway, status, accounts, refused, bool(tunnels)),
            "failed_attempt": _failed_attempt(failed, status, unix),
            "declared": _declared(gateway, status, tunnels),
            "negotiations": [_negotiation(row, unix, gateway) for row in accounts]}


def of_stranger(account: Account, *, unix: Callable[[float], float]) -> Json:
    """Of a peer that is no gateway of ours, or did not come so far as to be one."""
    return {"gateway": None, "state": "unknown", "since": None,
            "summary": str(account.failure) if account.failure else "its negotiation is under way",
            "failed_attempt": None, "declared": None, "negotiations": [_negotiation(account, unix)]}


def _summary(gateway: Gateway, status: GatewayStatus, accounts: Sequence[Account], refused: bool,
             has_tunnels: bool) -> str:
    if status.ike:
        ike = status.ike[0]
        account = next((row for row in accounts if row.initiator is ike.initiator), None)
        why = _result(account) if account else ""
        return f"{ike.suite}, as {_role(ike.initiator)}" + (f": {why}" if why else "")
    if not has_tunnels and status.state == "down" and not refused:
        return "no tunnel is declared under it, so there is nothing to bring up"
    if status.last_error:
        return status.last_error
    if refused:
        return f"taken down by an operator, until ikectl up {gateway.name}"
    if status.state == "connecting":
        return "a negotiation is under way"
    return {Start.BOOT: "it is tried again before long", Start.TRAFFIC: "it comes up when traffic wants it",
            Start.ANSWER: "it comes up when the peer asks for it"}[gateway.start]


def _failed_attempt(failed: Account | None, status: GatewayStatus, unix: Callable[[float], float]) -> Json | None:
    """To make anew what is up, while nothing has come up or been rekeyed since."""
    if failed is None or not status.ike or any(row.established_at > failed.began_at for row in status.ike):
        return None
    return {"role": _role(failed.initiator), "began_at": unix(failed.began_at), "message": str(failed.failure)}


def _declared(gateway: Gateway, status: GatewayStatus, tunnels: Sequence[tuple[Tunnel, TunnelStatus]]) -> Json:
    return {"ike_version": gateway.version.value, "mode": gateway.mode.value if gateway.mode else None,
            "credential": _METHODS[gateway.method], "start": gateway.start.value,
            "endpoints": [{"local": _end(row.pair.local), "remote": _end(row.pair.remote), "in_use": row.in_use,
                           "last_failure": row.last_failure} for row in status.endpoints],
            "transforms": [{"name": row.name, "suite": suite(row)} for row in gateway.transforms],
            "tunnels": [{"name": tunnel.name, "state": row.state, "routes": [str(route) for route in tunnel.secured],
                         "offers": offers(tunnel, with_pfs=True), "last_error": row.last_error}
                        for tunnel, row in tunnels]}


def _end(end: Endpoint) -> str:
    return f"{end.address or 'dynamic'} as {identities.words(end.identity)}"


def _role(initiator: bool) -> str:
    return "initiator" if initiator else "responder"


def _negotiation(account: Account, unix: Callable[[float], float], gateway: Gateway | None = None) -> Json:
    outcome = "failed" if account.failure else "under way" if account.established_at is None else "established"
    return {"role": _role(account.initiator), "ike_version": account.version.value, "began_at": unix(account.began_at),
            "local": str(account.local), "remote": str(account.remote), "reached": account.reached or None,
            "outcome": outcome, "failure": _failure(account.failure, account.notify),
            "phase1": {"theirs": _offers(account.theirs()), "ours": _offers(account.ours()),
                       "result": _result(account)},
            "identifiers": _identifiers(account, gateway), "credential": account.credential or None,
            "children": [_child(row, unix) for row in account.children.values()]}


def _child(account: ChildAccount, unix: Callable[[float], float]) -> Json:
    theirs, ours = account.theirs(), account.ours()
    return {"tunnel": account.tunnel or None, "role": _role(account.initiator), "at": unix(account.at),
            "phase2": {"theirs": _offers(theirs), "ours": _offers(ours),
                       "result": _comparison(theirs, ours, account.initiator, "proposal")},
            "selectors": {"theirs": account.selectors() or None, "ours": [str(route) for route in account.routes]},
            "failure": _failure(account.failure, account.notify)}


def _failure(reason: Reason | None, notify: str | None) -> Json | None:
    return None if reason is None else {**reason.as_dict(), "notify": notify}


def _identifiers(account: Account, gateway: Gateway | None) -> Json:
    """What the peer says that either end is, beside what we say."""
    pair = account.pair
    if pair is None and gateway is not None:  # it did not come so far
        pair = next(iter(gateway.pairs_between(account.local.address, account.remote.address)), gateway.endpoints[0])
    return {"presented": identities.text(*account.presented) if account.presented else None,
            "expected": identities.words(pair.remote.identity) if pair else None,
            "asked": identities.text(*account.asked) if account.asked else None,
            "ours": identities.words(pair.local.identity) if pair else None}


def _offers(rows: Iterable[Offer]) -> list[Json]:
    return [{"label": row.label, "offers": _in_words(row)} for row in rows]


def _in_words(row: Offer) -> str:
    return ", ".join(_worded(kind, names) for kind, names in row.alternatives.items()
                     if kind != PROTOCOL or names[0] != "IKE")


def _worded(kind: str, names: Sequence[str]) -> str:
    """What a name does not say by itself is said with it."""
    text = " or ".join(names)
    return f"{kind} {text}" if kind == PRF or set(names) & {NONE, ON, OFF} else text


def _result(account: Account) -> str:
    return _comparison(account.theirs(), account.ours(), account.initiator, "transform")


def _comparison(theirs: Sequence[Offer], ours: Sequence[Offer], initiator: bool, noun: str) -> str:
    """What was chosen, and why; empty where there was nothing to compare."""
    if not theirs or not ours:
        return ""
    choice = choose(theirs, ours)
    if isinstance(choice, NoMatch):
        return f"no common {noun}"
    own = ours[choice.our_place].label
    if initiator:
        return f"the peer chose our {own}"
    which = f"the first of its {len(theirs)} that has" if len(theirs) > 1 else "which has"
    return f"chosen is {theirs[choice.their_place].label} of the peer, {which} all of our {own}"
