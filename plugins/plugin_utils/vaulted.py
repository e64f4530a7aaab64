# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of which ansible-vault encrypted some."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any


def decrypted(value: Any) -> Any:
    """The value with text where ansible-vault encrypted some of it: before ansible-core 2.19 that is another type."""
    if getattr(value, "__ENCRYPTED__", False):
        return str(value)
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    changed = {key: plain for key, part in items if (plain := decrypted(part)) is not part}
    if not changed:
        return value
    value = copy(value)  # of its own kind, which remembers where it was written
    for key, plain in changed.items():
        value[key] = plain
    return value
