# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Additional key exchanges with ML-KEM: IKE_INTERMEDIATE before IKE_AUTH (RFC 9242, RFC 9370 §2.2.2), IKE_FOLLOWUP_KE
after CREATE_CHILD_SA (§2.2.4), in peace and where both ends begin at once."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from ikeengine.crypto.authentication import IntAuth
from ikeengine.ike.context import Settings
from ikeengine.ike.events import ChildRemoved
from ikeengine.ikev2 import child_negotiation, ike_sa_init, rekey_ike
from ikeengine.ikev2.ike_auth import IkeAuth
from ikeengine.ikev2.intermediate import IkeIntermediate
from ikeengine.security_association import Datagram
from ikeengine.vpn.algorithms import key_encapsulation
from ikeengine.wire.constants import ExchangeType, NotifyType
from ikeengine.wire.header import decode_header
from ikeengine.wire.message import decode_message, encode_message
from ikeengine.wire.notify import Notify

from tests.support.virtual_network import ROUTES, TRANSFORM, Faults, agree, branch, hq, pair

KEMS = pytest.mark.parametrize("kem", ["ML-KEM-768", "ML-KEM-1024"])
HYBRID = {**TRANSFORM, "name": "hybrid", "additional_key_exchange": "ML-KEM-768"}
PFS = {"enabled": True, "key_group": 31, "additional_key_exchange": "ML-KEM-768"}
BOTH = {"transforms": (HYBRID,), "pfs": PFS}


def exchanges(network, since: int = 0) -> list[int]:
    """Those of all requests that were sent, fragments of one message and retransmissions counted once."""
    seen = dict.fromkeys((datagram.data[:28][:20], decode_header(datagram.data).message_id, datagram.local)
                         for _time, datagram in network.sent[since:] if len(datagram.data) > 1
                         and not decode_header(datagram.data).is_response)
    return [row[0][18] for row in seen]


def up(*, left=None, right=None, **options):
    network, one, other = pair(hq(**{**BOTH, **(left or {})}), branch(start="answer", **{**BOTH, **(right or {})}),
                               **options)
    network.start()
    network.run(1)
    agree(one, other, routes=len((left or {}).get("routes", ROUTES)))
    return network, one, other


@KEMS
@pytest.mark.parametrize("encryption", ["AES-256", "AES-GCM-256"])
@pytest.mark.parametrize("largest", [1280, 576, 160])
def test_the_first_ike_sa(kem, encryption, largest):
    options = {"transforms": ({**HYBRID, "encryption": encryption, "additional_key_exchange": kem},)}
    network, one, other = pair(hq(**options), branch(start="answer", **options),
                               settings=Settings(largest_datagram=largest))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert exchanges(network) == [ExchangeType.IKE_SA_INIT, ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH]
    for end in (one, other):
        assert end.manager.overview.gateways()[0].ike[0].suite == f"{encryption}/SHA2-256/group 31/{kem}"
        assert end.reasons == []
        assert not end.manager.counters


@KEMS
def test_a_child_sa_is_rekeyed_with_both_key_exchanges(kem):
    network, one, other = up(left={"pfs": {**PFS, "additional_key_exchange": kem}},
                             right={"pfs": {**PFS, "additional_key_exchange": kem}})
    for end, far in ((one, other), (other, one)):
        before, since = set(end.inbound), len(network.sent)
        end.manager.rekey_child("lan", network.now)
        network.run(1)
        agree(one, other, routes=1)
        assert not set(end.inbound) & before
        assert exchanges(network, since)[:2] == [ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE]
        assert far.reasons == end.reasons == []


def test_an_ike_sa_is_rekeyed_with_both_key_exchanges():
    network, one, other = up()
    for end in (one, other):
        before, since = one.manager.overview.gateways()[0].ike[0].spi_i, len(network.sent)
        end.manager.rekey_ike("peer", network.now)
        network.run(1)
        agree(one, other, routes=1)
        assert exchanges(network, since)[:2] == [ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE]
        (ike,), (theirs,) = one.manager.overview.gateways()[0].ike, other.manager.overview.gateways()[0].ike
        assert ike.spi_i == theirs.spi_i != before
        assert ike.suite == theirs.suite == "AES-256/SHA2-256/group 31/ML-KEM-768"
        one.manager.rekey_child("lan", network.now)
        network.run(1)
        agree(one, other, routes=1)


def test_further_routes_take_the_additional_key_exchange_from_their_first_child_sa_on():
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(3))
    network, _one, _other = up(left={"routes": routes}, right={"routes": routes})
    assert exchanges(network)[3:] == [ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE] * 2


def test_the_keys_depend_on_the_additional_secret(monkeypatch):
    seen = []

    def spy(module, name):
        original = getattr(module, name)

        def wrapped(*arguments):
            seen.append((name, arguments[-1]))
            return original(*arguments)

        monkeypatch.setattr(module, name, wrapped)

    network, one, other = up()
    spy(child_negotiation, "child_keys")
    spy(rekey_ike, "rekeyed_skeyseed")
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    one.manager.rekey_ike("peer", network.now)
    network.run(1)
    agree(one, other, routes=1)
    assert [name for name, _secret in seen] == ["child_keys", "child_keys", "rekeyed_skeyseed", "rekeyed_skeyseed"]
    secrets = [secret for _name, secret in seen]
    assert all(len(secret) == 32 for secret in secrets)
    assert secrets[0] == secrets[1] != secrets[2] == secrets[3]


# ------------------------------------------------------------------------------------------------ mismatches

def test_a_peer_without_it_is_refused_with_the_reason():
    network, one, other = pair(hq(transforms=(HYBRID,)), branch(start="answer"))
    network.start()
    network.run(1)
    assert not one.inbound and not other.inbound
    assert any("additional key exchange" in reason and "ML-KEM-768" in reason for reason in other.reasons)
    assert any("NO_PROPOSAL_CHOSEN" in reason and "group 31/ML-KEM-768" in reason for reason in one.reasons)


def test_a_peer_that_wants_it_is_refused_with_the_reason():
    network, one, other = pair(hq(), branch(start="answer", transforms=(HYBRID,)))
    network.start()
    network.run(1)
    assert not one.inbound and not other.inbound
    assert any("additional key exchange" in reason and "ML-KEM-768" in reason for reason in other.reasons)


def test_the_other_parameter_set_is_refused_with_both_named():
    other_one = {**HYBRID, "additional_key_exchange": "ML-KEM-1024"}
    network, one, other = pair(hq(transforms=(HYBRID,)), branch(start="answer", transforms=(other_one,)))
    network.start()
    network.run(1)
    assert not one.inbound
    assert any("ML-KEM-768" in reason and "ML-KEM-1024" in reason for reason in other.reasons)


def test_a_peer_that_has_both_takes_what_is_offered_first():
    plain = {**TRANSFORM, "name": "plain"}
    for transforms, suite in (((HYBRID, plain), "group 31/ML-KEM-768"), ((plain, HYBRID), "group 31")):
        network, one, other = pair(hq(transforms=transforms), branch(start="answer", transforms=(plain, HYBRID)))
        network.start()
        network.run(1)
        agree(one, other, routes=1)
        assert one.manager.overview.gateways()[0].ike[0].suite == f"AES-256/SHA2-256/{suite}"


def test_pfs_that_differs_in_it_shows_at_the_first_rekey():
    network, one, other = up(right={"pfs": {"enabled": True, "key_group": 31}})
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    assert any("additional key exchange" in reason and "ML-KEM-768" in reason for reason in other.reasons)
    assert any("PFS group 31 with ML-KEM-768" in reason for reason in one.reasons)
    agree(one, other, routes=1)


def test_an_offer_without_the_exchange_that_carries_it_is_refused():
    network, one, other = pair(hq(transforms=(HYBRID,)), branch(start="answer", transforms=(HYBRID,)))

    def strip(datagram: Datagram) -> Datagram:
        message = decode_message(datagram.data)
        header = message.header
        if header.exchange != ExchangeType.IKE_SA_INIT or header.is_response:
            return datagram
        kept = [row for row in message.payloads
                if not (isinstance(row, Notify) and row.notify_type == NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)]
        return Datagram(datagram.local, datagram.remote, encode_message(
            spi_i=header.spi_i, spi_r=header.spi_r, exchange=header.exchange, flags=header.flags,
            message_id=header.message_id, payloads=kept))

    network.tamper = strip
    network.start()
    network.run(1)
    assert not one.inbound
    assert any("IKE_INTERMEDIATE" in reason for reason in other.reasons)


# ------------------------------------------------------------------------------------------------ what AUTH covers

@pytest.mark.parametrize("which", ["add_request", "add_response"])
def test_auth_covers_what_was_said_before_it(monkeypatch, which):
    """An end that saw other octets in IKE_INTERMEDIATE than were sent is not let in."""
    original, calls = getattr(IntAuth, which), itertools.count()

    def other_octets(self, sk_p, message):
        original(self, sk_p, message + (b"x" if next(calls) == 0 else b""))

    monkeypatch.setattr(IntAuth, which, other_octets)
    network, one, other = pair(hq(**BOTH), branch(start="answer", **BOTH))
    network.start()
    network.run(0.3)
    assert not one.inbound and not other.inbound
    assert any("another pre-shared key" in reason for reason in one.reasons + other.reasons)


def test_ike_auth_without_the_exchange_before_it_is_refused(monkeypatch):
    monkeypatch.setattr(ike_sa_init, "IkeIntermediate", lambda kem: IkeAuth())
    network, one, other = pair(hq(**BOTH), branch(start="answer", **BOTH))
    network.start()
    network.run(0.3)
    assert not one.inbound and not other.inbound
    assert any("left out IKE_INTERMEDIATE" in reason for reason in other.reasons)


def test_ike_intermediate_that_nobody_agreed_on_is_refused(monkeypatch):
    monkeypatch.setattr(ike_sa_init, "IkeAuth", lambda: IkeIntermediate(key_encapsulation("ML-KEM-768")))
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(0.3)
    assert not one.inbound and not other.inbound
    assert any("not agreed on" in reason for reason in other.reasons)


# ------------------------------------------------------------------------------------------------ bad days

FAULTS = {"drop": Faults(drop=0.2), "duplicate": Faults(duplicate=0.4), "reorder": Faults(reorder=0.5),
          "corrupt": Faults(corrupt=0.2), "all": Faults(0.15, 0.2, 0.3, 0.1)}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("faults", FAULTS)
def test_a_bad_network(faults, seed):
    row = FAULTS[faults]
    network, one, other = pair(hq(**BOTH), branch(start="answer", **BOTH), seed=seed,
                               faults=Faults(row.drop, row.duplicate, row.reorder, row.corrupt, until=1060.0))
    network.start()
    network.run(20)
    if one.inbound:
        one.manager.rekey_child("lan", network.now)
    network.run(20)
    with contextlib.suppress(LookupError):
        other.manager.rekey_ike("peer", network.now)
    network.run(150)
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(30))
def test_child_rekeys_that_cross_leave_one(seed):
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = up(left={"routes": routes}, right={"routes": routes}, seed=seed)
    network.faults = Faults(reorder=0.5, drop=0.05 if seed % 2 else 0.0, until=network.now + 5)
    before = set(one.inbound)
    one.manager.rekey_child("lan", network.now)
    network.run(network.random.random() * 0.05)
    other.manager.rekey_child("lan", network.now)
    network.run(40)
    agree(one, other, routes=2)
    assert not set(one.inbound) & before
    removed = one.count(ChildRemoved)
    network.run(20)
    assert one.count(ChildRemoved) == removed, "at rest"


@pytest.mark.parametrize("seed", range(30))
def test_ike_rekeys_that_cross_leave_one(seed):
    network, one, other = up(seed=seed)
    network.faults = Faults(reorder=0.5, drop=0.05 if seed % 2 else 0.0, until=network.now + 5)
    before = one.manager.overview.gateways()[0].ike[0].spi_i
    one.manager.rekey_ike("peer", network.now)
    network.run(network.random.random() * 0.05)
    other.manager.rekey_ike("peer", network.now)
    network.run(60)
    agree(one, other, routes=1)
    (ike,), (theirs,) = one.manager.overview.gateways()[0].ike, other.manager.overview.gateways()[0].ike
    assert ike.spi_i == theirs.spi_i != before
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(30))
def test_a_child_s_rekey_that_crosses_the_ike_sa_s(seed):
    network, one, other = up(seed=seed)
    network.faults = Faults(reorder=0.5, until=network.now + 5)
    one.manager.rekey_child("lan", network.now)
    network.run(network.random.random() * 0.05)
    other.manager.rekey_ike("peer", network.now)
    network.run(60)
    agree(one, other, routes=1)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1


def test_a_follow_up_that_nobody_waits_for_is_told_so():
    """The responder has forgotten: the rekey is tried again from its beginning."""
    network, one, other = up()
    forgotten = []

    def forget(datagram: Datagram) -> Datagram:
        header = decode_header(datagram.data)
        if header.exchange == ExchangeType.CREATE_CHILD_SA and header.is_response and not forgotten:
            forgotten.append(header)
            for session in other.manager._sessions:
                session.awaited = None
        return datagram

    (before,) = one.inbound
    network.tamper = forget
    one.come_due(network.now)
    network.run(0.5)
    assert any("STATE_NOT_FOUND" in reason for reason in one.reasons)
    assert set(one.inbound) == {before}
    network.run(15)
    agree(one, other, routes=1)
    assert before not in one.inbound


def test_what_waits_for_a_follow_up_too_long_is_given_up():
    network, one, other = up(settings=Settings(half_open_timeout=8.0))
    held = []

    def hold(datagram: Datagram) -> Datagram | None:
        header = decode_header(datagram.data) if len(datagram.data) > 1 else None
        if header is not None and header.exchange == ExchangeType.IKE_FOLLOWUP_KE and network.now < 1010:
            held.append(datagram)
            return None
        return datagram

    network.tamper = hold
    one.manager.rekey_child("lan", network.now)
    network.run(60)
    assert held
    assert any("STATE_NOT_FOUND" in reason for reason in one.reasons)
    agree(one, other, routes=1)
