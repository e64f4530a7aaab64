# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement of ipsec_validate as a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils import validation

DOCUMENTATION = r"""
name: ipsec_findings
short_description: What is wrong with the two ends of IPsec tunnels
version_added: 0.1.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Holds all sides against each other, as M(tandem.vpn.ipsec_validate) does, inside an expression.
  - Errors come first.
options:
  _input:
    description: Declarations by host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Expect no error in what a pipeline generated
  ansible.builtin.assert:
    that: sides | tandem.vpn.ipsec_findings | selectattr('severity', 'equalto', 'error') | length == 0
"""

RETURN = r"""
_value:
  description: Findings with C(code), C(severity), C(message), C(where), C(field), C(left), C(right), C(rule), C(fix),
    C(sites) and C(paths).
  type: list
  elements: dict
"""


def ipsec_findings(declarations: object) -> list[dict[str, object]]:
    """Raises AnsibleFilterError where the input is no mapping of declarations."""
    if not isinstance(declarations, Mapping):
        raise AnsibleFilterError("ipsec_findings takes a mapping of declarations by host")
    return [finding.as_dict() for finding in validation.judge(declarations).findings]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ipsec_findings": ipsec_findings}
