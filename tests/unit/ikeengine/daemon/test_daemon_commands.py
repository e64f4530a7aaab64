# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator gets from the control socket's commands, with real sessions on both ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ikeengine.daemon.control import CommandError
from ikeengine.vpn.declaration import keyed_digest

Json = dict[str, Any]
# The pair, its declarations and secrets come from conftest.py; importlib mode keeps its classes out of reach.
Pair = Any


def test_status_shows_both_ends_with_crosswise_spis(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        hq, branch = await pair.hq.ask("status"), await pair.branch.ask("status")
        assert [gateway["state"] for gateway in hq["gateways"] + branch["gateways"]] == ["established"] * 2
        ike = hq["gateways"][0]["ike"][0]
        assert (ike["suite"], ike["initiator"], ike["remote_identity"]) == (
            "AES-256/SHA2-256/group 31", True, "198.51.100.1")
        assert ike["spi_i"] == branch["gateways"][0]["ike"][0]["spi_i"] and len(ike["spi_i"]) == 16
        [near] = (await pair.hq.tunnel())["routes"][0]["sas"]
        [far] = (await pair.branch.tunnel())["routes"][0]["sas"]
        assert (near["spi_in"], near["spi_out"]) == (far["spi_out"], far["spi_in"])
        assert (near["esp"], near["encapsulation"]) == ("ESP AES-256/SHA2-256", "udp")
        assert (near["local"], near["remote"]) == ("10.10.0.0/24", "10.20.0.0/24")
        assert (near["packets_in"], near["octets_out"]) == (1, 200)
        assert near["installed_at"] >= near["initiated_at"] > 1.6e9 and 20000 < near["rekey_in"] < 28800
        assert hq["daemon"]["declaration_digest"] and hq["daemon"]["version"]
        assert hq["counters"]["datagrams_dropped"]["malformed"] == 0

    pair.run(test)


def test_status_shows_who_has_the_same_keys_that_they_are_in_force(pair: Pair, secrets: Json) -> None:
    async def test() -> None:
        plain = await pair.hq.ask("status")
        assert "keys_digest" not in plain["daemon"]
        shown = [(await pair.hq.ask("status", challenge=challenge))["daemon"]["keys_digest"]
                 for challenge in ("c0ffee", "decade")]
        assert shown == [keyed_digest(secrets, bytes.fromhex(challenge)) for challenge in ("c0ffee", "decade")]
        assert shown[0] != shown[1]

    pair.run(test)


def test_explain_by_name_and_by_address(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        [named] = (await pair.hq.ask("explain", gateway="peer"))["explanations"]
        assert (named["gateway"], named["state"]) == ("peer", "established") and named["since"] > 1.6e9
        assert [row["role"] for row in named["negotiations"]] == ["initiator"]
        [met] = (await pair.hq.ask("explain", gateway="198.51.100.1"))["explanations"]
        assert met["declared"] == named["declared"]
        with pytest.raises(CommandError, match=r"declared with 203\.0\.113\.7, and nothing came from there"):
            await pair.hq.ask("explain", gateway="203.0.113.7")
        with pytest.raises(CommandError, match="no gateway 'pear' is declared; there are peer"):
            await pair.hq.ask("explain", gateway="pear")

    pair.run(test)


def test_abilities_name_what_each_data_plane_has(pair: Pair) -> None:
    async def test() -> None:
        assert await pair.hq.ask("abilities") == {"dataplanes": {"userspace": {
            "available": True, "missing": [], "protocols": ["ESP"], "encryptions": ["AES-256"],
            "authentications": ["SHA2-256"], "extended_sequence_numbers": False, "udp_encapsulation": True,
            "directional_routes": True, "interfaces": []}}}
        assert (await pair.hq.ask("status"))["dataplanes"] == {"userspace": {"available": True, "missing": []}}

    pair.run(test)


def test_up_says_why_the_peer_refuses(pair: Pair, declare: Callable[..., Json]) -> None:
    pair.branch_declares = declare("branch", start="answer")
    pair.branch_declares["transforms"][0]["encryption"] = "AES-128"

    async def test() -> None:
        with pytest.raises(CommandError, match="we offered AES-256/SHA2-256/group 31") as refused:
            await pair.hq.ask("up", gateway="peer", timeout=10)
        assert refused.value.code == "negotiation_failed"
        assert refused.value.details["notify"] == "NO_PROPOSAL_CHOSEN"

    pair.run(test)


def test_up_says_when_nobody_answers(pair: Pair) -> None:
    async def test() -> None:
        with pytest.raises(CommandError) as refused:
            await pair.hq.ask("up", tunnel="lan", timeout=0.05)
        assert (refused.value.code, str(refused.value)) == (
            "timeout", "tunnel lan is not up after 0.05 s; ikectl log may say why")

    pair.run(test, joined=False)


def test_up_of_a_gateway_without_tunnels_says_at_once_that_there_is_nothing_to_bring_up(pair: Pair) -> None:
    pair.hq_declares["tunnels"] = []

    async def test() -> None:
        await pair.hq.ask("down", gateway="peer")
        with pytest.raises(CommandError) as refused:
            await pair.hq.ask("up", gateway="peer", timeout=3600)
        assert (refused.value.code, str(refused.value)) == (
            "not_found", "no tunnel is declared under gateway peer, so there is nothing to bring up: declare one in "
                         "tunnels, with gateway: peer")
        [explained] = (await pair.hq.ask("explain", gateway="peer"))["explanations"]
        assert explained["summary"] == "no tunnel is declared under it, so there is nothing to bring up"

    pair.run(test)


def test_down_closes_both_ends_and_up_brings_them_back(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        assert await pair.hq.ask("down", gateway="peer") == {"closed": ["gateway peer", "tunnel lan"]}
        while pair.branch.plane.inbound or pair.hq.plane.inbound:
            await asyncio.sleep(0)
        assert (await pair.hq.tunnel())["state"] == "down"
        assert len(pair.hq.plane.protections) == 1  # nothing leaks while it is down
        assert await pair.hq.ask("down", gateway="peer") == {"closed": []}
        assert await pair.hq.ask("up", gateway="peer") == {"up": ["gateway peer"]}

    pair.run(test)


@pytest.mark.parametrize("what", [{"tunnel": "lan"}, {"gateway": "peer"}])
@pytest.mark.parametrize("end", ["hq", "branch"])
def test_rekey_waits_for_the_new_sa(pair: Pair, what: dict[str, str], end: str) -> None:
    def spis(status: Json) -> tuple[set[str], set[str]]:
        return ({ike["spi_i"] for gateway in status["gateways"] for ike in gateway["ike"]},
                {sa["spi_in"] for tunnel in status["tunnels"] for route in tunnel["routes"] for sa in route["sas"]})

    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        side = getattr(pair, end)
        before = spis(await side.ask("status"))
        [kind] = what
        assert await side.ask("rekey", **what) == {"rekeyed": [f"{kind} {what[kind]}"]}
        after = spis(await side.ask("status"))
        changed = 1 if kind == "tunnel" else 0
        assert before[changed].isdisjoint(after[changed]) and after[changed]
        assert before[1 - changed] == after[1 - changed]

    pair.run(test)


@pytest.mark.parametrize("end", ["hq", "branch"])
def test_reauthentication_makes_all_anew_beside_what_is_up(pair: Pair, end: str) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        side = getattr(pair, end)
        (before,) = (await side.ask("status"))["gateways"][0]["ike"]
        [old] = side.plane.inbound
        assert await side.ask("rekey", gateway="peer", reauthenticate=True) == {"rekeyed": ["gateway peer"]}
        (after,) = (await side.ask("status"))["gateways"][0]["ike"]
        assert before["spi_i"] != after["spi_i"] and after["initiator"] and old not in side.plane.inbound
        assert len(side.plane.inbound) == 1

    pair.run(test)


@pytest.mark.parametrize("end", ["hq", "branch"])
def test_a_pfs_group_that_differs_surfaces_in_rekey_at_once(pair: Pair, end: str) -> None:
    """The first SA pair of IKEv2 has none (RFC 7296 §1.2), so until then nothing shows. Whoever asks hears what we
    offered; whoever refuses knows both groups."""
    groups = {"hq": 31, "branch": 19}
    pair.branch_declares["tunnels"][0]["pfs"]["key_group"] = groups["branch"]

    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        side, other = (pair.hq, pair.branch) if end == "hq" else (pair.branch, pair.hq)
        asked, refuses = groups.pop(end), next(iter(groups.values()))
        [before] = side.plane.inbound
        with pytest.raises(CommandError) as refused:
            await side.ask("rekey", tunnel="lan")
        assert refused.value.code == "negotiation_failed"
        assert f"PFS group {asked}" in str(refused.value) and "NO_PROPOSAL_CHOSEN" in str(refused.value)
        [said] = [row.fields["reason"] for row in other.log.entries(100) if row.message == "negotiation failed"]
        assert f"has group {asked}, we have group {refuses}" in said and "tunnel lan" in said
        [explained] = (await other.ask("explain", gateway="peer"))["explanations"]
        failure = explained["negotiations"][0]["children"][0]["failure"]
        assert f"group {asked}" in failure["theirs"] and f"group {refuses}" in failure["ours"]
        assert list(side.plane.inbound) == [before]

    pair.run(test)


def test_rekey_of_what_is_down_says_so(pair: Pair) -> None:
    async def test() -> None:
        with pytest.raises(CommandError, match="tunnel lan is not up") as refused:
            await pair.hq.ask("rekey", tunnel="lan")
        assert refused.value.code == "not_up"

    pair.run(test, joined=False)


@pytest.mark.parametrize(("command", "arguments", "code", "message"), [
    ("up", {}, "bad_request", "up needs a gateway or a tunnel"),
    ("down", {"gateway": "pear"}, "not_found", "no gateway 'pear' is declared; there are peer"),
    ("rekey", {"gateway": "lan"}, "not_found",
     r"lan is a tunnel of gateway peer, not a gateway: name it as one \(--tunnel lan\)"),
    ("explain", {"gateway": "lan"}, "not_found",
     "lan is a tunnel of gateway peer, not a gateway: ikectl explain peer tells of both"),
    ("rekey", {"tunnel": "wan"}, "not_found", "no tunnel 'wan' is declared; there are lan"),
    ("up", {"gateway": "pear", "tunnel": "lan"}, "not_found", "tunnel lan belongs to gateway peer"),
    ("up", {"gateway": "peer", "timeout": "soon"}, "bad_request", "timeout is 'soon': it takes seconds"),
    ("up", {"gateway": "peer", "timeout": 0}, "bad_request", "timeout is 0: it takes seconds, more than 0 and at most"),
    ("log", {"lines": -1}, "bad_request", "lines is -1: it takes a whole number, 0 or more"),
    ("status", {"challenge": "not hex"}, "bad_request", "challenge is no hexadecimal text"),
    ("reload", {"declaration": []}, "bad_request", "reload takes two objects"),
    ("dance", {}, "unknown_command", "there is no command 'dance'; there are abilities, audit, down, explain"),
])
def test_what_cannot_be_done_is_said(pair: Pair, command: str, arguments: Json, code: str, message: str) -> None:
    async def test() -> None:
        with pytest.raises(CommandError, match=message) as refused:
            await pair.hq.ask(command, **arguments)
        assert refused.value.code == code

    pair.run(test, joined=False)


def test_a_reload_adds_a_route_and_leaves_the_others_sa_alone(pair: Pair, declare: Callable[..., Json],
                                                              secrets: Json) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        before = (await pair.hq.tunnel())["routes"][0]["sas"]
        digest = (await pair.hq.ask("status"))["daemon"]["declaration_digest"]
        await pair.branch.ask("reload", declaration=declare("branch", routes=2, start="answer"), secrets=secrets)
        changes = await pair.hq.ask("reload", declaration=declare("hq", routes=2), secrets=secrets)
        assert changes == {"added": [], "changed": ["tunnel lan"], "removed": [], "unchanged": ["gateway peer"]}
        await pair.hq.ask("up", tunnel="lan")
        after = (await pair.hq.tunnel())["routes"]
        assert after[0]["sas"] == before or after[0]["sas"][0]["spi_in"] == before[0]["spi_in"]
        assert len(after[1]["sas"]) == 1 and len(pair.hq.plane.protections) == 2
        assert (await pair.hq.ask("status"))["daemon"]["declaration_digest"] != digest
        assert ("remove", "lan") not in pair.hq.plane.calls

    pair.run(test)


def test_a_bad_declaration_names_every_finding_and_changes_nothing(pair: Pair, declare: Callable[..., Json],
                                                                   secrets: Json) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        before = await pair.hq.ask("status")
        bad = declare("hq", start="bot")
        bad["tunnels"][0]["routes"][0]["local"] = "10.10.0.1/24"
        with pytest.raises(CommandError) as refused:
            await pair.hq.ask("reload", declaration=bad, secrets=secrets)
        assert refused.value.code == "invalid_declaration"
        assert [finding["field"] for finding in refused.value.details["findings"]] == [
            "gateways[peer].start", "tunnels[lan].routes[0].local"]
        assert "correct horse" not in str(refused.value)
        after = await pair.hq.ask("status")
        assert after["daemon"] == before["daemon"] and after["gateways"][0]["state"] == "established"

    pair.run(test)


def test_a_tunnel_that_no_plane_can_carry_is_refused_with_the_old_in_force(pair: Pair, declare: Callable[..., Json],
                                                                           secrets: Json) -> None:
    async def test() -> None:
        wanted = declare("hq")
        wanted["tunnels"][0]["dataplane"] = "kernel"
        with pytest.raises(CommandError, match="dataplane: kernel cannot serve it here") as refused:
            await pair.hq.ask("reload", declaration=wanted, secrets=secrets)
        assert refused.value.code == "invalid_declaration" and refused.value.details["findings"]
        assert len(pair.hq.plane.protections) == 1

    pair.run(test, joined=False)


def test_flush_closes_everything_and_removes_every_policy(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        assert (await pair.hq.ask("flush"))["removed"] == ["gateway peer", "tunnel lan"]
        assert pair.hq.plane.protections == set()
        while pair.hq.plane.inbound or pair.branch.plane.inbound:
            await asyncio.sleep(0)
        assert (await pair.hq.ask("status"))["tunnels"] == []

    pair.run(test)


def test_where_nothing_is_declared_any_more_it_is_said_what_brings_all_back(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("flush")
        for command, arguments in (("up", {"gateway": "peer"}), ("rekey", {"tunnel": "lan"}),
                                   ("explain", {"gateway": "peer"})):
            with pytest.raises(CommandError) as refused:
                await pair.hq.ask(command, **arguments)
            [(kind, name)] = arguments.items()
            assert str(refused.value) == (f"no {kind} {name!r} is declared; nothing is declared: ikectl reload takes "
                                          "what this host's files declare")

    pair.run(test, joined=False)


def test_a_gateway_without_tunnels_is_not_nothing(pair: Pair, declare: Callable[..., Json], secrets: Json) -> None:
    async def test() -> None:
        await pair.hq.ask("reload", declaration=declare("hq") | {"tunnels": []}, secrets=secrets)
        with pytest.raises(CommandError, match=r"^no tunnel 'lan' is declared; there is none$"):
            await pair.hq.ask("up", tunnel="lan")

    pair.run(test, joined=False)


def test_the_log_tells_the_story_and_follows(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        entries = (await pair.hq.ask("log", lines=50))["entries"]
        assert [entry["message"] for entry in entries] == ["gateway established", "tunnel route up"]
        assert entries[1]["route"] == "10.10.0.0/24 <-> 10.20.0.0/24"
        stream = pair.hq.commands({"version": 1, "command": "log", "lines": 1, "follow": True})
        assert (await anext(stream))["entries"][0]["message"] == "tunnel route up"
        await pair.hq.ask("down", tunnel="lan")
        assert (await anext(stream))["entries"][0]["message"] == "SA removed"
        await stream.aclose()

    pair.run(test)
