# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings hold only where key exchanges are the same each time."""

from __future__ import annotations

import pytest

from tests.support import key_pairs


@pytest.fixture(autouse=True, scope="module")
def same_key_pairs():
    with key_pairs.one_for_each_group():
        yield
