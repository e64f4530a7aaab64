# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of ipsec_validate as a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleFilterError

from ..module_utils.vpn.report import FORMATS, render
from ..plugin_utils import options, validation
from ..plugin_utils.origins import Origins

DOCUMENTATION = r"""
name: ipsec_report
short_description: A report on the two ends of IPsec tunnels
version_added: 0.2.0
author:
  - The tandem.vpn authors (@tandem)
description:
  - Holds all sides against each other, as M(tandem.vpn.ipsec_validate) does, and returns its report as text.
positional: _input, format
options:
  _input:
    description: Declarations by host.
    type: dict
    required: true
  format:
    description: As O(tandem.vpn.ipsec_validate#module:reports[].format).
    type: str
    choices: [text, json, markdown, sarif]
    default: text
"""

EXAMPLES = r"""
- name: Show what a merge request would show
  ansible.builtin.debug:
    msg: "{{ sides | tandem.vpn.ipsec_report('markdown') }}"

- name: Show what a log would show
  ansible.builtin.debug:
    msg: "{{ sides | tandem.vpn.ipsec_report(format='text') }}"
"""

RETURN = r"""
_value:
  description: The report.
  type: str
"""


def ipsec_report(declarations: object, format: str = "text") -> str:
    """Raises AnsibleFilterError where the input is no mapping of declarations, or there is no such format."""
    if not isinstance(declarations, Mapping):
        raise AnsibleFilterError("ipsec_report takes a mapping of declarations by host")
    spec = {"format": {"type": "str", "choices": list(FORMATS), "required": True}}
    try:
        form = options.check({"format": format}, spec)["format"]
    except AnsibleError as error:
        raise AnsibleFilterError(str(error)) from None
    return render(form, validation.judge(declarations), Origins(declarations).locate)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ipsec_report": ipsec_report}
