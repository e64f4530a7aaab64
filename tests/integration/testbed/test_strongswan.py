# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference peer: two of them reach each other and say what they hold."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.command import CommandFailed
from tests.testbed.network import Namespace, ip
from tests.testbed.strongswan import KERNEL, Charon

pytestmark = pytest.mark.interop

CONFIGURATION = """
connections {{
  peers {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256-sha256-modp2048
    local {{
      auth = psk
      id = {local}
    }}
    remote {{
      auth = psk
      id = {remote}
    }}
    children {{
      lan {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = aes128-sha256
      }}
    }}
  }}
}}
secrets {{
  ike-peers {{
    secret = {psk}
  }}
}}
"""


@pytest.fixture
def pair(able: None) -> Iterator[tuple[Namespace, Namespace]]:
    left, right = (Namespace(f"tss{os.getpid()}-{side}") for side in ("l", "r"))
    try:
        for namespace in (left, right):
            namespace.create()
        ip(f"link add wan netns {left.name} type veth peer name wan netns {right.name}")
        left.ip("address add 192.0.2.1/24 dev wan", "link set wan up", "address add 10.77.1.1/32 dev lo")
        right.ip("address add 192.0.2.2/24 dev wan", "link set wan up", "address add 10.77.2.1/32 dev lo")
        yield left, right
    finally:
        left.delete()
        right.delete()


def configurations(left_psk: str, right_psk: str) -> tuple[str, str]:
    ends = ("192.0.2.1", "192.0.2.2"), ("10.77.1.1/32", "10.77.2.1/32")
    (left, right), (left_ts, right_ts) = ends
    return (
        CONFIGURATION.format(local=left, remote=right, local_ts=left_ts, remote_ts=right_ts, psk=left_psk),
        CONFIGURATION.format(local=right, remote=left, local_ts=right_ts, remote_ts=left_ts, psk=right_psk),
    )


def test_two_charons_carry_pings_rekey_and_part(pair: tuple[Namespace, Namespace], short_path: Path) -> None:
    with Charon(pair[0], short_path / "l") as left, Charon(pair[1], short_path / "r") as right:
        for charon, configuration in zip((left, right), configurations("the-same-key", "the-same-key"), strict=True):
            charon.load(configuration)
        left.initiate("lan")
        ping = ["ping", "-c", "3", "-i", "0.05", "-I", "10.77.1.1", "10.77.2.1"]
        assert "3 received" in pair[0].run(ping).stdout

        (near,), (far,) = left.list_sas(), right.list_sas()
        (mine,), (theirs,) = near["child-sas"].values(), far["child-sas"].values()
        assert (near["name"], near["state"], near["version"]) == ("peers", "ESTABLISHED", "2")
        assert (mine["spi-in"], mine["spi-out"]) == (theirs["spi-out"], theirs["spi-in"])
        assert (mine["local-ts"], mine["remote-ts"]) == (["10.77.1.1/32"], ["10.77.2.1/32"])
        assert (mine["packets-in"], mine["packets-out"], mine["encap"]) == ("3", "3", "yes")

        right.rekey(child="lan")
        assert "3 received" in pair[0].run(ping).stdout
        left.terminate(ike="peers")
        assert (left.list_sas(), right.list_sas()) == ([], [])
    assert "deleting IKE_SA" in left.log


def test_a_refusal_comes_with_its_reason(pair: tuple[Namespace, Namespace], short_path: Path) -> None:
    with Charon(pair[0], short_path / "l") as left, Charon(pair[1], short_path / "r") as right:
        for charon, configuration in zip((left, right), configurations("one-key", "another-key"), strict=True):
            charon.load(configuration)
        with pytest.raises(CommandFailed, match="AUTHENTICATION_FAILED"):
            left.initiate("lan")


def test_a_data_plane_is_chosen_by_name(pair: tuple[Namespace, Namespace], short_path: Path) -> None:
    with Charon(pair[0], short_path / "l", kernel=KERNEL) as left:
        assert "kernel-libipsec" not in left.log.split("loaded plugins:")[1].splitlines()[0]
    with Charon(pair[0], short_path / "l") as left:
        assert "kernel-libipsec" in left.log.split("loaded plugins:")[-1].splitlines()[0]
