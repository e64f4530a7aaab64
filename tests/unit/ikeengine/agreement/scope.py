# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the comparison of validation and reality leaves out: where the two differ."""

from __future__ import annotations

from collections.abc import Mapping

TOO_STRICT: Mapping[str, str] = {
    "another sa life": "IKEv2 negotiates no lifetimes (RFC 7296 §2.8), and IKEv1 takes the shorter one",
    "another key expiration": "IKEv2 negotiates no lifetimes (RFC 7296 §2.8), and IKEv1 takes the shorter one",
    "nat traversal at one end": "the two agree to do without, and nothing is amiss where no NAT lies between",
    "keep alive at one end": "one of ours asks only a peer that shows that it answers",
    "text and its octets in hexadecimal": "both ends hold the same octets; the next edit of either key parts them",
    "another direction": "the wire knows no directions: each end drops by itself what may not begin there",
    "sites of one name": "a site's name never leaves it; findings could not tell the two apart",
    "two peers of one identifier": "peers at different static addresses are told apart by these, too; one that moves "
                                   "is not",
    "pairs in another order": "each end goes by its own order when it begins, and is followed; but then they do not "
                              "prefer the same path",
    "routes dealt out otherwise": "IKE knows one SA for each route and no tunnels; what a tunnel's routes have in "
                                  "common is compared tunnel by tunnel",
}
"""Faults that validation calls errors and the wire cannot show, each with the reason."""

TOO_MILD: Mapping[str, str] = {
    "neither end knows of the other": "nothing says that the two are meant for each other: both draw the warning that "
                                      "their far end is declared nowhere",
}
"""Faults that validation calls no errors though nothing comes up, each with the reason."""


BETWEEN_TWO_MAKES = frozenset({"keep-alive-between-makes"})
"""What cannot be broken where both ends are ours."""
