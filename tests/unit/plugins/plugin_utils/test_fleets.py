# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables as every release of ansible-core gives them."""

from collections import UserString

import pytest
from ansible.errors import AnsibleError
from ansible_collections.tandem.vpn.plugins.plugin_utils.fleets import Variables


class Encrypted(UserString):
    """What a value is that ansible-vault encrypted, before ansible-core 2.19."""

    __ENCRYPTED__ = True


class Remembering(dict):
    """A mapping that knows its place, as ansible-core reads one."""


def test_what_is_encrypted_inside_a_variable_is_text_and_the_rest_is_untouched():
    inside, beside = Remembering(psk=Encrypted("a key")), Remembering(name="hq")
    inside.ansible_pos = ("group_vars/all.yml", 3, 1)
    given = {"ipsec_gateways": [{"credential": inside}, beside]}
    value = Variables("hq", given, given.__getitem__)["ipsec_gateways"]
    assert value == [{"credential": {"psk": "a key"}}, {"name": "hq"}]
    assert type(value[0]["credential"]["psk"]) is str
    assert value[0]["credential"].ansible_pos == ("group_vars/all.yml", 3, 1) and value[1] is beside
    assert isinstance(inside["psk"], Encrypted)


def test_a_variable_that_cannot_be_templated_names_host_and_variable():
    variables = Variables("hq", {"ipsec_fleet": None}, {}.__getitem__)
    with pytest.raises(AnsibleError, match="hq: ipsec_fleet cannot be templated"):
        variables["ipsec_fleet"]
    assert variables.get("ipsec_psk_file") is None
