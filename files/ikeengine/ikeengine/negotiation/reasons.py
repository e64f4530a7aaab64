# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a negotiation failed, in words."""

from __future__ import annotations

from .matching import NoMatch


def no_common(phase: str, found: NoMatch) -> str:
    """A sentence that names the nearest pair and what differs in it."""
    near = found.nearest
    if near is None:
        return f"{phase}: no common transform: {'we have' if found.theirs else 'the peer offers'} none"
    differences = "; ".join(f"{row.kind}: the peer offers {' or '.join(row.theirs)}, we have {' or '.join(row.ours)}"
                            for row in near.differences)
    return (f"{phase}: no common transform; nearest are the peer's {near.theirs.label} and our {near.ours.label}: "
            f"{differences}")
