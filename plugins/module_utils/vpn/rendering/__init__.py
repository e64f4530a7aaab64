# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody who configures a site by hand enters there: one file for each kind of peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rendering:
    """Files by their path below a folder. ``secrets`` are for the peer's own eyes and stay out of every text form."""

    files: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
