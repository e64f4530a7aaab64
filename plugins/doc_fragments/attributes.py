# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules promise."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - Python 3.11 or later on the host
"""

    CONVERGING = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Says what would change and changes nothing.
  diff_mode:
    support: full
    description: Shows each field that differs. Of a key only that it differs.
  idempotent:
    support: full
    description: A second run with the same options changes nothing.
"""

    LOOKING = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
"""

    CONTROLLER = r"""
options: {}
attributes:
  action:
    support: full
    description: Runs on the controller.
"""
