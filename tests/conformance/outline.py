# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of the conformance cases, and the table of docs/conformance.md made from them.

They follow the "IPv6 Ready Logo Phase-2 Conformance Test Specification IKEv2": node (EN an end node, SGW a security
gateway), role of the node under test (I initiator, R responder), then section, group, subgroup and item. ``python -m
tests.conformance.outline`` prints the table.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Items whose number and title stand in published copies of the specification and of its self test 1.0.3, or in
#: reports about them, for end nodes. That gateways have them alike is inferred from the record of its changes.
PUBLISHED = {
    "I.1.1.1.1": "Sending IKE_SA_INIT request",
    "I.1.1.1.2": "Sending IKE_AUTH request",
    "I.1.1.1.3": "Use of CHILD_SA",
    "I.1.1.2.1": "Retransmission of IKE_SA_INIT request",
    "I.1.1.2.2": "Stop of retransmission of IKE_SA_INIT request",
    "I.1.1.2.3": "Retransmission of IKE_AUTH request",
    "I.1.1.2.4": "Stop of retransmission of IKE_AUTH request",
    "I.1.1.3.3": "Close Connection when repeated attempts fail",
    "I.1.1.3.4": "Close Connection when receiving INITIAL_CONTACT",
    "I.1.1.3.5": "Sending Liveness check",
    "I.1.1.3.6": "Sending Delete Payload for IKE_SA",
    "I.1.1.3.7": "Sending Delete Payload for CHILD_SA",
    "I.1.1.3.8": "Sending Liveness check with unprotected messages",
    "I.1.1.4.1": "Unrecognized payload types and critical bit is not set",
    "I.1.1.4.2": "Unrecognized payload types and critical bit is set",
    "I.1.1.5.1": "Retrying IKE_SA_INIT request with a Notify payload of type COOKIE",
    "I.1.1.5.2": "Interaction of COOKIE and INVALID_KE_PAYLOAD",
    "I.1.1.5.3": "Interaction of COOKIE and INVALID_KE_PAYLOAD with unoptimized Responder",
    "I.1.1.6.3": "Sending Multiple Transforms for IKE_SA",
    "I.1.1.6.4": "Sending Multiple Proposals for IKE_SA",
    "I.1.1.6.11": "Receipt of INVALID_KE_PAYLOAD in Initial Exchange",
    "I.1.1.7.1": "Narrowing the range of members of the set of traffic selectors",
    "I.1.1.11.2": "Non zero RESERVED fields in IKE_AUTH response",
    "I.1.1.11.3": "Version bit is set",
    "I.1.1.11.5": "Unrecognized Notify Message Type of Status",
    "I.1.2.6.5": "Simultaneous IKE_SA Rekeying",
    "I.1.2.6.9": "Rekeying a New CHILD_SA",
    "I.1.2.6.11": "Rekeying a CHILD_SA while rekeying an IKE_SA",
    "I.1.2.6.12": "Rekeying an IKE_SA with half-closed CHILD_SAs",
    "I.1.2.6.15": "Rekeying an IKE_SA while Closing an IKE_SA",
    "I.1.3.2.1": "Retransmission of INFORMATIONAL request",
    "I.1.3.2.2": "Stop of retransmission of INFORMATIONAL request",
    "R.1.1.2.1": "Receipt of retransmitted IKE_SA_INIT request",
    "R.1.1.2.2": "Receipt of retransmitted IKE_AUTH request",
    "R.1.1.3.4": "Receiving Liveness check",
    "R.1.1.4.1": "Receipt of a higher minor version number",
    "R.1.1.4.2": "Receipt of a higher major version number",
    "R.1.1.4.4": "Unrecognized payload types and critical bit is set",
    "R.1.1.4.5": "Invalid Order Payloads",
    "R.1.1.6.7": "Sending INVALID_KE_PAYLOAD",
    "R.1.1.7.3": "Narrowing multiple traffic selector",
    "R.1.1.8.1": "INVALID_IKE_SPI",
    "R.1.1.11.5": "Unrecognized Notify Message Type",
    "R.1.2.1.1": "Receipt of CREATE_CHILD_SA request",
    "R.1.2.2.1": "Receipt of retransmitted CREATE_CHILD_SA request",
    "R.1.2.6.1": "Sending CREATE_CHILD_SA response",
    "R.1.2.8.1": "AUTHENTICATION_FAILED",
    "R.1.3.2.1": "Receipt of retransmitted INFORMATIONAL request",
    "R.1.3.3.1": "Non RESERVED fields in INFORMATIONAL request",
}
_NUMBER = re.compile(r"(EN|SGW|\{EN,SGW\}|IKEv1|MOBIKE)\.([IR](?:\.\d+){0,4})(-[a-z]+)?")
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """``subject`` is what is checked; ``rfc`` the section of RFC 7296, unless it names another."""

    number: str
    subject: str
    rfc: str
    test: str

    @property
    def title(self) -> str | None:
        """The outline's own, None for a case of ours."""
        match = _NUMBER.fullmatch(self.number)
        assert match is not None, self.number
        return None if match[3] else PUBLISHED[match[2]]

    @property
    def of(self) -> str:
        """``IKEv1`` or ``MOBIKE``, of which no outline is published; empty for IKEv2."""
        first = self.number.partition(".")[0]
        return first if first in {"IKEv1", "MOBIKE"} else ""

    @property
    def key(self) -> tuple[str, list[int], int, str]:
        match = _NUMBER.fullmatch(self.number)
        assert match is not None, self.number
        role, *section = match[2].split(".")
        letters = match[3] or ""
        return role, [int(part) for part in section], len(letters), letters


def case(number: str, subject: str, rfc: str) -> pytest.MarkDecorator:
    """Mark a test as a case of the outline. A number that ends in a letter is ours: the outline's group is known, and
    whether it has an item for this, and which, could not be verified."""
    return pytest.mark.conformance(number, subject, rfc)


def cases() -> Iterator[Case]:
    """All, in the order of their numbers."""
    found = []
    for path in sorted(_HERE.glob("test_*.py")):
        module = importlib.import_module(f"tests.conformance.{path.stem}")
        for name, value in vars(module).items():
            found += [Case(*mark.args, f"{path.name}: {name}") for mark in getattr(value, "pytestmark", ())
                      if mark.name == "conformance"]
    yield from sorted(found, key=lambda row: row.key)


def table() -> str:
    """The tables of docs/conformance.md, from its first row on."""
    rows = ["| Number | Checked | RFC 7296 | In the outline | Test |", "|---|---|---|---|---|"]
    rows += [f"| {row.number} | {row.subject} | {row.rfc} | {row.title or 'item not verified'} | `{row.test}` |"
             for row in cases() if not row.of]
    for name, rfc in (("MOBIKE", "RFC 4555"), ("IKEv1", "RFC")):
        rows += ["", f"## {name}", "", f"Of {name} no such outline is published; the numbers are ours.", "",
                 f"| Number | Checked | {rfc} | Test |", "|---|---|---|---|"]
        rows += [f"| {row.number} | {row.subject} | {row.rfc} | `{row.test}` |" for row in cases() if row.of == name]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
