# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole fleet in one definition: its sites and how they are joined, and from it both ends of every link.

Each end's gateway and tunnel are called as the peer's site. What the two ends must agree on is said once, for the
fleet, for a link or in an override, and goes to both; what belongs to one end may be said of a site.
"""

from __future__ import annotations

from .expansion import key_names, side, sides
from .language import read
from .model import Fleet, Link, Site, pair_name

__all__ = ["Fleet", "Link", "Site", "key_names", "pair_name", "read", "side", "sides"]
