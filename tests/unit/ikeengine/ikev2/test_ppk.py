# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum pre-shared keys (RFC 8784) between two daemons: used, left out where both allow it, refused else."""

from __future__ import annotations

import pytest
from ikeengine.crypto import key_derivation
from ikeengine.ikev2 import ppk as ppk_exchange
from ikeengine.security_association import Datagram
from ikeengine.wire.constants import ExchangeType, NotifyType
from ikeengine.wire.message import decode_message, encode_message
from ikeengine.wire.notify import Notify

from tests.support.virtual_network import PSK, TRANSFORM, Faults, agree, branch, hq, pair

KEY = "0x" + "5a" * 32
HYBRID = {**TRANSFORM, "additional_key_exchange": "ML-KEM-768"}


def ppk(identity: str | None = "qkd-1", *, key: str = KEY, required: bool = True) -> dict:
    """A gateway's credential with such a key; without an identity there is none."""
    if identity is None:
        return {}
    return {"gateway": {"credential": {"method": "psk", "psk": PSK, "ppk": {"id": identity, "required": required},
                                       "ppk_key": key}}}


def met(left: dict, right: dict, **options):
    network, one, other = pair(hq(**left), branch(start="answer", **right), **options)
    network.start()
    network.run(1)
    return network, one, other


def suites(*ends) -> set[str]:
    return {row.suite for end in ends for row in end.manager.overview.gateways()[0].ike}


@pytest.mark.parametrize("required", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("transform", [TRANSFORM, HYBRID], ids=["classical", "hybrid"])
def test_a_key_that_both_have_is_used(required, transform):
    left, right = (ppk(required=end) | {"transforms": (transform,)} for end in required)
    network, one, other = met(left, right)
    agree(one, other, routes=1)
    (suite,) = suites(one, other)
    assert suite.endswith("/PPK")
    for order in (lambda: one.manager.rekey_ike("peer", network.now),
                  lambda: other.manager.rekey_child("lan", network.now),
                  lambda: other.manager.rekey_ike("peer", network.now)):
        order()
        network.run(1)
        agree(one, other, routes=1)
        assert suites(one, other) == {suite}
    assert one.reasons == other.reasons == []


def test_it_is_in_the_keys(monkeypatch):
    """Ends that disagree on nothing but the mixing share no keys."""
    original, calls = key_derivation.prf_plus, []

    def spy(algorithm, key, seed, size):
        calls.append(key)
        return original(algorithm, key, seed, size)

    monkeypatch.setattr(key_derivation, "prf_plus", spy)
    met(ppk(), ppk())
    assert calls.count(bytes.fromhex(KEY[2:])) == 6  # SK_d, SK_pi and SK_pr at both ends


@pytest.mark.parametrize(("left", "right"), [
    (ppk(required=False), ppk(None)), (ppk(None), ppk(required=False)),
    (ppk("qkd-1", required=False), ppk("qkd-2", required=False)),
], ids=["initiator has one", "responder has one", "another each"])
def test_a_key_that_only_one_has_is_left_out_where_none_requires_it(left, right):
    network, one, other = met(left, right)
    agree(one, other, routes=1)
    assert suites(one, other) == {"AES-256/SHA2-256/group 31"}
    assert one.reasons == other.reasons == []
    one.manager.rekey_ike("peer", network.now)
    network.run(1)
    agree(one, other, routes=1)


@pytest.mark.parametrize(("left", "right", "said"), [
    (ppk(), ppk(None), "has none, we require qkd-1"),
    (ppk(None), ppk(), "has none, we require qkd-1"),
    (ppk("qkd-1"), ppk("qkd-2"), "names qkd-1, we require qkd-2"),
    (ppk("qkd-1"), ppk("qkd-2", required=False), "names qkd-1, we have qkd-2"),
    (ppk("qkd-1", required=False), ppk("qkd-2"), "names qkd-1, we require qkd-2"),
], ids=str)
def test_an_end_that_requires_it_takes_no_peer_without(left, right, said):
    _network, one, other = met(left, right)
    assert not one.inbound and not other.inbound
    sentence = next(row for row in one.reasons + other.reasons if said in row)
    assert "post-quantum pre-shared key: the peer" in sentence and "AUTHENTICATION_FAILED" in sentence
    assert not one.manager.overview.gateways()[0].ike or one.manager.overview.gateways()[0].state != "established"


def test_what_a_peer_names_drives_no_terminal(monkeypatch):
    plain = ppk_exchange.named
    monkeypatch.setattr(ppk_exchange, "named", lambda key: (
        Notify(NotifyType.PPK_IDENTITY, b"\x02\x1b[2J\n\xff") if key.id == "qkd-1" else plain(key)))
    _network, _one, other = met(ppk("qkd-1"), ppk("qkd-2"))
    assert r"names \x1b[2J\n" in other.reasons[0] and other.reasons[0].isprintable()


@pytest.mark.parametrize("required", [True, False])
def test_another_key_under_the_same_identity_fails(required):
    _network, one, other = met(ppk(required=required), ppk(key="0x" + "a5" * 32, required=required))
    assert not one.inbound and not other.inbound
    assert any("AUTHENTICATION_FAILED" in reason and "post-quantum" in reason for reason in one.reasons)


def test_a_man_in_the_middle_cannot_take_it_away():
    """Neither does an end that requires it go on, nor does one that does not believe what the other never said."""
    for required in (True, False):
        network, one, other = pair(hq(**ppk(required=required)), branch(start="answer", **ppk(required=required)))

        def strip(datagram: Datagram) -> Datagram:
            message = decode_message(datagram.data)
            header = message.header
            if header.exchange != ExchangeType.IKE_SA_INIT:
                return datagram
            kept = [row for row in message.payloads
                    if not (isinstance(row, Notify) and row.notify_type == NotifyType.USE_PPK)]
            return Datagram(datagram.local, datagram.remote, encode_message(
                spi_i=header.spi_i, spi_r=header.spi_r, exchange=header.exchange, flags=header.flags,
                message_id=header.message_id, payloads=kept))

        network.tamper = strip
        network.start()
        network.run(0.3)
        assert not one.inbound and not other.inbound


@pytest.mark.parametrize("seed", range(10))
def test_a_bad_network(seed):
    network, one, other = met(ppk(), ppk(required=False), seed=seed, faults=Faults(0.2, 0.2, 0.3, 0.1, until=1030.0))
    network.run(120)
    agree(one, other, routes=1)
    assert suites(one, other) == {"AES-256/SHA2-256/group 31/PPK"}


def test_no_text_shows_the_key():
    _network, one, other = met(ppk(), ppk())
    for end in (one, other):
        text = repr(end.events) + repr(end.manager.overview.gateways()) + repr(end.manager.overview.tunnels())
        assert KEY[2:] not in text and "5a" * 8 not in text
