# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/language.md says what the reader reads: every field, every value, every default."""

import re
from pathlib import Path

import pytest
import yaml
from ikeengine.ike.context import Settings
from ikeengine.ike.pace import Pace
from ikeengine.vpn import algorithms, declaration, model, rules

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


def gateway_with(section: str, field: str, value: int) -> model.Gateway:
    (gateway,) = declaration.read({"gateways": [{
        "name": "b", "credential": {"method": "psk"}, "ike_version": 1, section: {"enabled": True, field: value},
        "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.2"}}]}]},
        site_name="hq").gateways
    return gateway


@pytest.mark.parametrize("section, field, low, high, said", [
    ("nat_traversal", "keep_alive", 1, 3600, "1 s to 1 h"),
    ("dead_peer_detection", "idle", 1, 86400, "1 s to 24 h"),
    ("dead_peer_detection", "retries", 1, 100, "1 to 100"),
    ("ike_keep_alive", "interval", 1, 3600, "1 s to 1 h"),
    ("ike_keep_alive", "failures", 1, 100, "1 to 100"),
])
def test_the_ranges_of_a_gateways_numbers_are_in_its_table(section: str, field: str, low: int, high: int,
                                                           said: str) -> None:
    (row,) = [line for line in SECTIONS["Gateway"].splitlines() if line.startswith(f"| `{section}` |")]
    assert f"`{field}`, {said}" in row
    for value in (low, high):
        assert gateway_with(section, field, value)
    for value in (low - 1, high + 1):
        with pytest.raises(declaration.DeclarationError, match=rf"{section}\.{field}"):
            gateway_with(section, field, value)


def test_how_soon_a_dead_peer_is_noticed_is_what_the_daemon_does() -> None:
    said = re.search(r"By default that is about (\d+) s.*?`idle: (\d+)s, retries: (\d+)`\s+(\d+) s.*?"
                     r"`idle: (\d+)s, retries: (\d+)`\s+([\d.]+) s", SECTIONS["Gateway"], re.DOTALL)
    assert said is not None
    usual = model.DeadPeerDetection()
    for detection, seconds in ((usual, said[1]), (model.DeadPeerDetection(int(said[2]), int(said[3])), said[4]),
                               (model.DeadPeerDetection(int(said[5]), int(said[6])), said[7])):
        assert noticed_after(detection) == pytest.approx(float(seconds), abs=0.5 if "." not in seconds else 0.05)


def noticed_after(detection: model.DeadPeerDetection) -> float:
    """Seconds from the last sign of life, on average: the silence, and the pauses after each question."""
    settings = Settings()
    pace = Pace.of_detection(settings, detection)
    pauses = [pace.first]
    for _repetition in range(pace.tries):
        pauses.append(min(pauses[-1] * settings.retransmit_factor, pace.longest))
    return detection.idle + sum(pauses)


def test_the_pause_before_an_earlier_endpoint_pair_is_tried_again_is_half_a_minute() -> None:
    text = " ".join(SECTIONS["Gateway"].split())
    assert "tried again every half minute" in text and "up to half an hour" in text
    assert (Settings().failback_interval, Settings().failback_longest) == (30, 1800)


def test_the_names_that_no_interface_has_are_named() -> None:
    text = " ".join(SECTIONS["Tunnel"].split())
    said = re.search(r"at most (\d+) characters, .*? is none of ((?:`[^`]+`,? ?)+)", text)
    assert said is not None
    names = re.findall(r"`([^`]+)`", said[2])
    longest = int(said[1])
    for name in (*names, "a" * (longest + 1)):
        assert rule_of_interface(name) == (f"Linux takes names of 1 to {longest} characters, and not "
                                           f"{', '.join(names[:-1])} or {names[-1]}")
    assert rule_of_interface("a" * longest) is None


def rule_of_interface(name: str) -> str | None:
    side = declaration.read({
        "gateways": [{"name": "b", "credential": {"method": "psk"},
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.2"}}]}],
        "tunnels": [{"name": "t", "gateway": "b", "interface": {"name": name}}]}, site_name="hq")
    return next((finding.rule for finding in rules.by_itself(side) if finding.code == "interface-name"), None)
