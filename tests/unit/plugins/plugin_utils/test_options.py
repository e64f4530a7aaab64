# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks on the controller are given: named in words where it does not fit, and hosts by their groups."""

import pytest
from ansible.errors import AnsibleError
from ansible_collections.tandem.vpn.plugins.plugin_utils import options

GROUPS = {"all": ["hq", "branch", "lab"], "gateways": ["hq", "branch"], "ungrouped": ["lab"], "empty": [],
          "lab": ["branch"]}
HOSTS = {"hq", "branch", "lab", "localhost"}
MARKER = "marker-that-must-appear-nowhere"


@pytest.mark.parametrize(("wanted", "hosts"), [
    (["gateways"], ["hq", "branch"]),
    (["all"], ["hq", "branch", "lab"]),
    (["branch", "hq", "branch", "gateways"], ["hq", "branch"]),
    (["lab"], ["branch", "lab"]),  # the name of a host and of a group is both
    (["localhost", "hq"], ["hq", "localhost"]),  # which need not be in the inventory
    (["empty"], []),
    ([], []),
])
def test_a_group_stands_for_its_hosts_and_each_is_there_once_in_the_inventorys_order(wanted, hosts):
    assert options.hosts(wanted, GROUPS, HOSTS) == hosts


def test_every_unknown_host_is_named_with_what_is_nearest():
    with pytest.raises(AnsibleError) as caught:
        options.hosts(["hq", "gatways", "nosuch"], GROUPS, HOSTS)
    assert str(caught.value) == (
        "hosts[1] is 'gatways': the inventory has no host and no group of that name. Did you mean gateways? Write "
        "gateways.\n"
        "hosts[2] is 'nosuch': the inventory has no host and no group of that name. Write one of all, gateways, "
        "ungrouped, empty, lab, hq, branch.")


SPEC = {
    "sides": {"type": "dict", "no_log": True, "by_name": ("hosts", "declarations")},
    "plain": {"type": "dict"},
    "hosts": {"type": "list", "elements": "str"},
    "final": {"type": "bool", "default": True},
    "site": {"type": "str"},
    "form": {"type": "str", "choices": ["text", "json"]},
    "dest": {"type": "path", "required": True},
    "reports": {"type": "list", "elements": "dict", "options": {"path": {"type": "path", "required": True}}},
}


@pytest.mark.parametrize("given", [
    {"sides": {}}, {"sides": '{"hq": {}}'}, {"sides": "hq=x"}, {"sides": None}, {"hosts": ["hq", 5]}, {"hosts": "hq,x"},
    {"hosts": 5}, {"hosts": []}, {"final": "y"}, {"final": 0}, {"final": False}, {"site": 5}, {"dest": "~/x"},
    {"reports": []}, {"reports": [{"path": "x"}]}, {"reports": ["path=x"]}, {"form": "text"},
])
def test_what_fits_is_left_to_ansible(given):
    options.check({"dest": "x"} | given, SPEC)


@pytest.mark.parametrize(("given", "message"), [
    ({"plain": MARKER}, "plain is text: a mapping of fields is needed here. Write it as fields with values."),
    ({"plain": [MARKER]}, "plain is a list: a mapping of fields is needed here. Write it as fields with values."),
    ({"sides": MARKER}, "sides is text: a mapping of hosts' names to their declarations is needed here. Write it "
                        "as names with declarations."),
    ({"sides": [MARKER]}, "sides is a list: a mapping of hosts' names to their declarations is needed here. Write "
                          "it as names with declarations."),
    ({"hosts": {"hq": 1}}, "hosts is a mapping: a list is needed here. Write it as a list."),
    ({"hosts": True}, "hosts is yes or no: a list is needed here. Write it as a list."),
    ({"hosts": ["hq", None]}, "hosts[1] is empty: a value is needed here. Write one, or remove it."),
    ({"hosts": [["hq"]]}, "hosts[0] is a list: text is needed here. Write it as text, in quotes."),
    ({"hosts": ""}, "hosts[0] is empty: text is needed here. Write a value."),
    ({"final": 5}, "final is 5: it is neither yes nor no. Write true or false."),
    ({"final": ["x"]}, "final is a list: it is neither yes nor no. Write true or false."),
    ({"site": True}, "site is yes or no: text is needed here. Write it as text, in quotes."),
    ({"site": {"name": "hq"}}, "site is a mapping: text is needed here. Write it as text, in quotes."),
    ({"form": "tex"}, "form is 'tex': it is none of text, json. Did you mean text? Write text."),
    ({"form": 5}, "form is 5: it is none of text, json. Write one of text, json."),
    ({"hots": MARKER}, "hots is unknown: the fields here are sides, plain, hosts, final, site, form, dest, reports. "
                       "Did you mean hosts? Write hosts or remove it."),
    ({"reports": [{"path": "x", MARKER: 1}]}, f"reports[0].{MARKER} is unknown: the fields here are path. Remove "
                                              f"'{MARKER}'."),
    ({"dest": ""}, "dest is empty: text is needed here. Write a value."),
    ({"dest": None}, "dest is missing: this field is required. Set dest."),
    ({"reports": "x"}, "reports[0] is text: a mapping of fields is needed here. Write it as fields with values."),
    ({"reports": [None]}, "reports[0] is empty: a value is needed here. Write one, or remove it."),
    ({"reports": [{}]}, "reports[0].path is missing: this field is required. Set path."),
    ({"reports": [{"path": ["x"]}]},
     "reports[0].path is a list: text is needed here. Write it as text, in quotes."),
])
def test_what_does_not_fit_is_said_in_words_that_name_the_option(given, message):
    with pytest.raises(AnsibleError) as caught:
        options.check({"dest": "x"} | given, SPEC)
    assert str(caught.value) == message


def test_all_that_does_not_fit_is_said_at_once():
    with pytest.raises(AnsibleError) as caught:
        options.check({"hosts": {}, "final": 5}, SPEC)
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == ["hosts", "final", "dest"]
