# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end that dies without a word and starts again: how soon the tunnel is up, whoever begins it (RFC 6290)."""

from __future__ import annotations

import itertools
from ipaddress import ip_address

import pytest
from ikeengine import hints
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.model import IkeVersion

from tests.support import certificates, ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, PSK, TRANSFORM, agree, pair

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]
DOWN = 1.2
"""Seconds for which the killed end does not run."""


def _up(version, killed="answer", other="boot", seed=0, **changes):
    network, one, two = pair(version.hq(start=other, **changes), version.branch(start=killed, **changes), seed=seed)
    network.start()
    network.traffic()
    network.run(30)
    agree(one, two, routes=1)
    return network, one


def _kill(network, version, down=DOWN, start="answer", address=BRANCH, **changes):
    """Nobody is there for so long; then an end that knows nothing. Gives it, started."""
    del network.ends[address]
    network.run(down)
    declared = version.branch if address == BRANCH else version.hq
    end = network.ends[address] = network.end(declared(start=start, **changes))
    end.manager.start(network.now)
    end.manager.greet(network.now, ())
    return end


def _seconds_until_up(network, one, two, limit=60):
    began = network.now
    while network.now < began + limit:
        network.run(0.01)
        # Both send to what the other receives on.
        if two.sending and one.sending and all(row.spi_out in two.inbound for row in one.sending.values()) and all(
                row.spi_out in one.inbound for row in two.sending.values()):
            return network.now - began
    raise AssertionError(f"not up after {limit} seconds")


@pytest.mark.parametrize(("killed", "other"), [
    starts for starts in itertools.product(("boot", "traffic", "answer"), repeat=2) if starts != ("answer", "answer")])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_tunnel_is_up_within_five_seconds_of_the_kill(version, killed, other):
    network, one = _up(version, killed, other)
    two = _kill(network, version, start=killed)
    if "boot" not in (killed, other):
        network.run(2.5)
        network.traffic()
        after = DOWN + 2.5 + _seconds_until_up(network, one, two)
    else:
        after = DOWN + _seconds_until_up(network, one, two)
    print(f"killed {killed}, other {other}: up {after:.2f} s after the kill")
    assert after < 5
    network.run(15)
    agree(one, two, routes=1)
    assert len(one.manager.overview.gateways()[0].ike) == len(two.manager.overview.gateways()[0].ike) == 1


def test_a_token_proves_at_once_that_the_peer_lost_the_ike_sa():
    network, one = _up(virtual_network)
    two = _kill(network, virtual_network)
    assert _seconds_until_up(network, one, two) < 0.2
    assert one.closings == ["the peer has started anew and knows it no more"]


def test_so_does_one_that_was_made_with_certificates():
    root = certificates.issue("CN=root", authority=True)
    here, there = ({"credential": certificates.credential(
        certificates.issue(f"CN={address}", root, alternative=[address]), root)} for address in (HQ, BRANCH))
    network, one, _two = pair(virtual_network.hq(gateway=here), virtual_network.branch(gateway=there, start="answer"))
    network.start()
    network.run(30)
    two = _kill(network, virtual_network, gateway=there)
    assert _seconds_until_up(network, one, two) < 0.2


def test_after_the_ike_sa_was_rekeyed_by_either_end_too():
    for rekeys in (HQ, BRANCH):
        network, one = _up(virtual_network)
        network.ends[rekeys].manager.rekey_ike("peer", network.now)
        network.run(5)
        two = _kill(network, virtual_network)
        assert _seconds_until_up(network, one, two) < 0.2


def test_a_peer_without_tokens_is_asked_and_not_for_long():
    network, one = _up(virtual_network)
    for session in one.manager._sessions:
        session.crash_token = b""
    two = _kill(network, virtual_network)
    assert 1.2 < _seconds_until_up(network, one, two) < 2.5
    assert "silent" in one.closings[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_of_a_peer_at_an_unknown_address_make_it_ask(version):
    """Nobody can be greeted whose address is not declared: what it sends shows that it has an SA that we lost."""
    network, one = _up(version, other="boot")
    two = _kill(network, version)
    network.tamper = lambda datagram: None if datagram.data[:16] == bytes(16) and lose else datagram
    lose = True
    network.run(5)
    lose = False
    assert one.closings == []
    spi = next(iter(one.outbound)).to_bytes(4, "big")
    local, remote = SocketAddress(ip_address(BRANCH), 500), SocketAddress(ip_address(HQ), 500)
    two.manager.receive_unknown(spi, local, remote, network.now)
    assert _seconds_until_up(network, one, two) < 3
    sent = len(network.sent)
    two.manager.receive_unknown(spi, local, remote, network.now)  # there is an IKE SA again
    network.run(1)
    assert len(network.sent) == sent


@pytest.mark.parametrize("down", [3, 20, 300])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_was_told_that_we_go_is_back_within_five_seconds_of_our_return(version, down):
    network, one = _up(version)
    network.ends[BRANCH].manager.shutdown(network.now)
    network.run(0.5)
    assert not one.inbound
    two = _kill(network, version, down=down)
    seconds = _seconds_until_up(network, one, two)
    print(f"{down} s away: up {seconds:.2f} s after the start")
    assert seconds < 5


# ---------------------------------------------------------------------------------------------- what anybody can say

def _hint(version, spi=hints.NO_SPI):
    return Datagram(SocketAddress(ip_address(HQ), 500), SocketAddress(ip_address(BRANCH), 500),
                    hints.invalid_spi(version, spi, lambda size: bytes(size)))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_proves_nothing_ends_nothing_and_makes_us_ask_seldom(version):
    network, one = _up(version)
    kept, sent = dict(one.inbound), len(network.sent)
    number = IkeVersion.V1 if version is ikev1 else IkeVersion.V2
    for _second in range(60):
        one.manager.receive(_hint(number), network.now)
        one.manager.receive(_hint(number, b"none"), network.now)  # of no SA of ours
        network.run(1)
    assert one.inbound == kept
    assert len(network.sent) - sent <= 2 * 6 + 2


def test_an_ike_sa_that_lives_is_never_said_to_be_unknown():
    """Whatever is wrong with the message: a token of ours for it would be its end (RFC 6290 §9.2)."""
    network, _one = _up(virtual_network)
    two = network.ends[BRANCH]
    ike = two.manager.overview.gateways()[0].ike[0]
    protected = b"\x2e\x20"
    for spis, flags in itertools.product([(ike.spi_i, ike.spi_r), (ike.spi_r, ike.spi_i), (b"elsewher", ike.spi_r)],
                                         (0x00, 0x08)):
        data = b"".join((*spis, protected, b"\x25", bytes([flags]), bytes(4), (28 + 40).to_bytes(4, "big"),
                         b"\x00\x00\x00\x28", bytes(36)))
        two.manager.receive(Datagram(SocketAddress(ip_address(BRANCH), 500), SocketAddress(ip_address(HQ), 500), data),
                            network.now)
    assert two.manager.datagrams_to_send() == []


def _tokens(end, local, remote, spi_i, spi_r):
    data = b"".join((spi_i, spi_r, b"\x2e\x20\x25\x08", bytes(4), (28 + 40).to_bytes(4, "big"), b"\x00\x00\x00\x28",
                     bytes(36)))
    end.manager.receive(Datagram(SocketAddress(ip_address(local), 500), SocketAddress(ip_address(remote), 500), data),
                        1e6)
    return [datagram.data[44:] for datagram in end.manager.datagrams_to_send()]


def test_another_end_with_the_same_key_cannot_be_asked_for_our_token():
    """Nor can we at another address of ours."""
    network, one = _up(virtual_network)
    ike = one.manager.overview.gateways()[0].ike[0]
    token = one.manager._sessions.established("peer")[0].crash_token
    assert len(token) == 32
    spis = ike.spi_i, ike.spi_r
    same = _tokens(network.end(virtual_network.branch()), BRANCH, HQ, *spis)
    assert same == [token]
    elsewhere = network.end(virtual_network.side("other", "203.0.113.9", HQ, routes=(("10.2.0.0/24", "10.1.0.0/24"),)))
    anywhere = network.end(virtual_network.branch(gateway={"endpoints": [
        {"local": {"address": "dynamic", "identifier": {"type": "ip-address", "value": BRANCH}},
         "remote": {"address": HQ}}]}))
    assert len(_tokens(elsewhere, "203.0.113.9", HQ, *spis)) == 1
    assert token not in b"".join(_tokens(elsewhere, "203.0.113.9", HQ, *spis))
    assert token not in b"".join(_tokens(anywhere, "203.0.113.9", HQ, *spis))
    assert token in b"".join(_tokens(anywhere, BRANCH, HQ, *spis))
    assert token not in b"".join(_tokens(network.end(virtual_network.branch(psk=PSK + "1")), BRANCH, HQ, *spis))
    assert _tokens(network.end(virtual_network.branch()), BRANCH, "203.0.113.9", *spis) == []  # a stranger


def test_answers_to_messages_of_unknown_ike_sas_are_bounded():
    network, _one = _up(virtual_network, transforms=(TRANSFORM,))
    end = network.end(virtual_network.branch())
    answers = sum(len(_tokens(end, BRANCH, HQ, number.to_bytes(8, "big"), bytes(7) + b"\x01"))
                  for number in range(1, 1000))
    assert answers == 100
