# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/language.md says what the reader reads: every field, every value, every default."""

import re
from pathlib import Path

import pytest
import yaml
from ikeengine.vpn import algorithms, declaration, model

PAGE = (Path(__file__).parents[3] / "docs" / "language.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
UNKNOWN = "a-field-that-nobody-declared"


def documented(text: str) -> set[str]:
    """The first column of a section's tables."""
    return set(re.findall(r"^\| `([a-z_0-9]+)` \|", text, re.MULTILINE))


def known(where: str, data: dict[str, object]) -> set[str]:
    """What the reader says that the fields of a mapping are."""
    with pytest.raises(declaration.DeclarationError) as caught:
        declaration.read(data, site_name="hq")
    rules = [finding.rule for finding in caught.value.findings if finding.field.endswith((where, UNKNOWN))
             and finding.code == "declaration-unknown-field"]
    return set(rules[0].removeprefix("the fields here are ").split(", "))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_a_declaration_that_reads_back(block: str) -> None:
    side = declaration.read(yaml.safe_load(block), site_name="hq")
    written, secrets = declaration.write(side)
    assert side.gateways
    assert declaration.read(written, secrets=secrets) == side


@pytest.mark.parametrize("section, data, beside", [
    ("Top level", {UNKNOWN: 1}, {"version"}),
    ("Site", {"site": {UNKNOWN: 1}}, set()),
    ("Transform (Phase 1)", {"transforms": [{UNKNOWN: 1}]}, set()),
    ("Proposal (Phase 2)", {"proposals": [{UNKNOWN: 1}]}, set()),
    ("Tunnel", {"tunnels": [{UNKNOWN: 1}]}, set()),
])
def test_every_field_is_in_its_table(section: str, data: dict[str, object], beside: set[str]) -> None:
    assert documented(SECTIONS[section]) | beside == known(UNKNOWN, data)


def test_every_field_of_gateways_and_credentials_is_in_its_table() -> None:
    gateway, credential = SECTIONS["Gateway"].split("| Credential |")
    assert documented(gateway) == known(UNKNOWN, {"gateways": [{UNKNOWN: 1}]})
    assert documented(credential) == known("credential", {"gateways": [{"credential": {UNKNOWN: 1}}]})


def test_every_value_is_named() -> None:
    words = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
    expected = {row.name for table in (algorithms.ENCRYPTIONS, algorithms.AUTHENTICATIONS,
                                       algorithms.KEY_ENCAPSULATIONS) for row in table}
    expected |= {str(row.number) for row in algorithms.KEY_GROUPS} | {protocol.name for protocol in model.Protocol}
    for kind in (model.Mode, model.CredentialMethod, model.IdentityKind, model.Start, model.Direction,
                 model.DataPlaneChoice, model.Policy):
        expected |= {member.value for member in kind}
    assert expected - words == set()


def test_the_defaults_are_those_of_the_shortest_declaration() -> None:
    side = declaration.read({
        "transforms": [{"name": "p1"}], "proposals": [{"name": "p2"}],
        "gateways": [{"name": "b", "credential": {"method": "psk"}, "transforms": ["p1"],
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.2"}}]}],
        "tunnels": [{"name": "t", "gateway": "b", "proposals": ["p2"],
                     "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}]}]}, site_name="hq")
    written, _secrets = declaration.write(side)

    def default(section: str, field: str) -> str:
        (row,) = [line for line in SECTIONS[section].splitlines() if line.startswith(f"| `{field}` |")]
        return row.rstrip(" |").rpartition("| ")[2]

    (transform,), (proposal,) = written["transforms"], written["proposals"]
    for field in ("authentication", "encryption", "sa_life", "key_group"):
        assert default("Transform (Phase 1)", field) == f"`{transform[field]}`"
    for field in ("protocol", "authentication"):
        assert default("Proposal (Phase 2)", field) == f"`{proposal[field]}`"
    assert proposal["force_key_expiration"] == {"time": "8h"}
    (gateway,), (tunnel,) = written["gateways"], written["tunnels"]
    assert default("Gateway", "ike_version") == f"`{gateway['ike_version']}`"
    assert default("Gateway", "start") == f"`{gateway['start']}`"
    assert gateway["nat_traversal"] == {"enabled": True, "keep_alive": "20s"}
    assert gateway["dead_peer_detection"] == {"enabled": True, "idle": "20s", "retries": 5}
    assert default("Tunnel", "dataplane") == f"`{tunnel['dataplane']}`"
    assert tunnel["pfs"] == {"enabled": True, "key_group": 14}
