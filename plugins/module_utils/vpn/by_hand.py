# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon finds changed by hand, in a sentence, at its host and on the controller."""

from __future__ import annotations

from collections.abc import Mapping


def sentence(departure: Mapping[str, str], *, mended: bool = False) -> str:
    """``mended``: it was like that, and is as it is to be now."""
    what, expected, found = (departure[key] for key in ("what", "expected", "found"))
    verb = "was" if mended else "is"
    if expected == "there" or found == "not there":
        return f"{what} {verb} {found}"
    if found == "there":
        return f"{what} {verb} there, and {verb} not declared"
    return f"{what}: {found}, {'now' if mended else 'and is to be'} {expected}"
