# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's answer to ``explain`` as a page for an operator, at its host and on the controller."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

_WIDTH = 118
_COLUMN = 16  # where the text of a labelled line begins


def lines(explanation: Mapping[str, Any], now: float, *, everything: bool = False) -> Iterator[str]:
    """``now`` is Unix seconds. Where all is well the negotiations are left out, unless ``everything`` is wanted."""
    yield from _headline(explanation, now)
    declared, failed = explanation["declared"], _failed_attempt(explanation)
    said = {explanation["summary"], failed and failed["message"]}
    if declared is not None:
        yield ""
        yield from _declared(declared, said)
    if everything or not _is_well(explanation):
        for negotiation in explanation["negotiations"]:
            yield ""
            yield from _negotiation(negotiation, now, said)


def _is_well(explanation: Mapping[str, Any]) -> bool:
    return explanation["state"] == "established" and all(
        tunnel["state"] == "up" for tunnel in explanation["declared"]["tunnels"])


def _headline(explanation: Mapping[str, Any], now: float) -> Iterator[str]:
    name, since = explanation["gateway"], explanation["since"]
    subject = f"gateway {name}" if name else "no gateway"
    state = explanation["state"] if since is None else f"established since {_moment(since, now)}"
    yield from _paragraph(f"{subject}: {state}")
    yield from _paragraph(explanation["summary"], indent=2)
    failed = _failed_attempt(explanation)
    if failed is not None:
        yield from _paragraph(f"the last attempt to make it anew failed, as {failed['role']}, "
                              f"{_moment(failed['began_at'], now)}: {failed['message']}", indent=2)


def _failed_attempt(explanation: Mapping[str, Any]) -> Json | None:
    """None from a daemon of an earlier release."""
    found: Json | None = explanation.get("failed_attempt")
    return found


def _declared(declared: Json, said: Collection[str | None]) -> Iterator[str]:
    mode = f", {declared['mode']} mode" if declared["mode"] else ""
    yield f"declared: IKEv{declared['ike_version']}{mode}, {declared['credential']}, start {declared['start']}"
    for pair in declared["endpoints"]:
        in_use = ", in use" if pair["in_use"] and len(declared["endpoints"]) > 1 else ""
        yield from _item("local", pair["local"])
        yield from _item("remote", f"{pair['remote']}{in_use}")
        if _is_news(pair["last_failure"], said):
            yield from _item("", pair["last_failure"])
    for transform in declared["transforms"]:
        yield from _item("transform", f"{transform['name']}: {transform['suite']}")
    for tunnel in declared["tunnels"]:
        yield from _item("tunnel", f"{tunnel['name']}, {tunnel['state']}: {', '.join(tunnel['routes'])}; "
                                   f"{tunnel['offers']}")
        if _is_news(tunnel["last_error"], said):
            yield from _item("", tunnel["last_error"])


def _is_news(text: str | None, said: Collection[str | None]) -> bool:
    """Whether it is anything, and not said before, be that with whose it is in front."""
    return text is not None and not any(row is not None and row.endswith(text) for row in said)


def _negotiation(row: Json, now: float, said: Collection[str | None]) -> Iterator[str]:
    arrow = "->" if row["role"] == "initiator" else "<-"
    reached = f"came as far as {row['reached']}" if row["reached"] else "the peer said nothing"
    yield from _paragraph(
        f"last negotiation as {row['role']}: {_moment(row['began_at'], now)}, IKEv{row['ike_version']}, "
        f"{row['local']} {arrow} {row['remote']}, {row['outcome']}, {reached}")
    yield from _failure(row["failure"], said)
    yield from _compared(row["phase1"], "phase 1", row["role"])
    yield from _identifiers(row["identifiers"])
    if row["credential"]:
        yield from _item("credential", row["credential"])
    for child in row["children"]:
        yield from _child(child, now, said)


def _child(row: Json, now: float, said: Collection[str | None]) -> Iterator[str]:
    subject = f"tunnel {row['tunnel']}" if row["tunnel"] else "no tunnel"
    yield from _paragraph(f"{subject}, as {row['role']}: {_moment(row['at'], now)}", indent=2)
    yield from _failure(row["failure"], said)
    yield from _compared(row["phase2"], "phase 2", row["role"])
    theirs, ours = row["selectors"]["theirs"], row["selectors"]["ours"]
    yield from _beside("selectors", row["role"], [theirs] if theirs else [], ours)


def _failure(failure: Json | None, said: Collection[str | None]) -> Iterator[str]:
    """What was ``said`` before is not said again."""
    if failure is not None:
        message = "for what is said above" if failure["message"] in said else failure["message"]
        yield from _item("failed", message + (f" ({failure['notify']})" if failure["notify"] else ""))


def _compared(compared: Json, label: str, role: str) -> Iterator[str]:
    theirs, ours = ([f"{row['label']}: {row['offers']}" for row in compared[end]] for end in ("theirs", "ours"))
    yield from _beside(label, role, theirs, ours)
    if compared["result"]:
        yield from _item("", compared["result"])


def _identifiers(row: Json) -> Iterator[str]:
    for label, theirs, does, ours, we in (("identifier", row["presented"], "presents", row["expected"], "expect"),
                                          ("", row["asked"], "expects", row["ours"], "present")):
        if theirs:
            yield from _item(label, f"the peer {does} {theirs}" + (f", we {we} {ours}" if ours else ""))


def _beside(label: str, role: str, theirs: list[str], ours: list[str]) -> Iterator[str]:
    """Two columns: the peer's and ours."""
    if not theirs and not ours:
        return
    width = (_WIDTH - _COLUMN - 2) // 2
    heads = ("the peer offers", "we have") if role == "responder" else ("the peer answers", "we offer")
    columns = [[head, *(line for text in texts or ["nothing"] for line in _wrap(text, width, "", "  "))]
               for head, texts in zip(heads, (theirs, ours), strict=True)]
    for number, (left, right) in enumerate(zip_longest(*columns, fillvalue="")):
        yield f"{_labelled('' if number else label)}{left:{width}}  {right}".rstrip()


def _item(label: str, text: str) -> list[str]:
    return _wrap(text, _WIDTH, _labelled(label), " " * _COLUMN)


def _labelled(label: str) -> str:
    return f"    {label}".ljust(_COLUMN)


def _paragraph(text: str, indent: int = 0) -> list[str]:
    return _wrap(text, _WIDTH, " " * indent, " " * (indent + 2))


def _wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    """A group stays with its number."""
    lines = textwrap.wrap(text.replace("group ", "group\xa0"), width, initial_indent=first, subsequent_indent=rest,
                          break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _moment(moment: float, now: float) -> str:
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M:%S} ({_ago(now - moment)} ago)"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
