# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our netlink messages are, octet for octet, those of ``ip xfrm`` given the same arguments."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from ikeengine.dataplane.limits import packet_limits
from ikeengine.dataplane.xfrm import messages, policies, states
from ikeengine.dataplane.xfrm.messages import XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK
from ikeengine.security_association import ChildSa, CoveredRoute, DirectionKeys, SocketAddress
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import Expiration, Protocol, Route
from ikeengine.vpn.selectors import Selector

from tests.unit.ikeengine.dataplane.xfrm import iproute2_octets as octets

HEADER = 16
UNBOUNDED = states.Limits((messages.XFRM_INF, messages.XFRM_INF), (messages.XFRM_INF, messages.XFRM_INF))


def end(text: str, port: int = 4500) -> SocketAddress:
    return SocketAddress(ip_address(text), port)


HQ, BRANCH = end("192.0.2.1"), end("198.51.100.1", 4501)
ROUTE = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.2.0.0/24"))
GCM = DirectionKeys(bytes(range(20)), b"")
CBC = DirectionKeys(bytes(range(16)), bytes(range(32)))


def covering(*routes: Route) -> tuple[CoveredRoute, ...]:
    return tuple(CoveredRoute(route, route, number) for number, route in enumerate(routes, 7))


def child(**changes: object) -> ChildSa:
    plain = ChildSa("lan", "branch", Protocol.ESP, algorithms.encryption("AES-GCM-128"), None, False, 0xC0FFEE01,
                    0xC0FFEE02, GCM, GCM, HQ, BRANCH, False, covering(ROUTE), Expiration(28800, None))
    return replace(plain, **changes)


def encoded(kind: int, values: dict, attributes: list = ()) -> bytes:
    message = messages.build(kind, values, attributes)
    message.encode()
    return bytes(message.data[HEADER:])


def test_inbound_state_with_gcm():
    installed = states.state(child(), True, HQ, BRANCH, UNBOUNDED)
    assert encoded(messages.XFRM_MSG_NEWSA, *installed) == octets.STATE_GCM_INBOUND


def test_outbound_state_with_cbc_in_udp_and_octet_limits():
    cbc = child(encryption=algorithms.encryption("AES-128"), authentication=algorithms.authentication("SHA2-256"),
                keys_out=CBC, udp_encapsulated=True)
    installed = states.state(cbc, False, HQ, BRANCH, states.Limits((100000, 131072000), UNBOUNDED.packets))
    assert encoded(messages.XFRM_MSG_NEWSA, *installed) == octets.STATE_CBC_ENCAPSULATED


def test_inbound_state_with_extended_sequence_numbers_between_ipv6_addresses():
    route = Route(Selector.parse("2001:db8:2::/48"), Selector.parse("2001:db8:1::/48"))
    six = child(spi_in=0xC0FFEE03, extended_sequence_numbers=True, routes=covering(route))
    installed = states.state(six, True, end("2001:db8::2"), end("2001:db8::1"), UNBOUNDED)
    assert encoded(messages.XFRM_MSG_NEWSA, *installed) == octets.STATE_GCM_ESN_V6


def test_state_of_ah():
    ah = child(protocol=Protocol.AH, encryption=None, authentication=algorithms.authentication("SHA2-256"),
               spi_out=0xC0FFEE04, keys_out=DirectionKeys(b"", bytes(range(32))))
    assert encoded(messages.XFRM_MSG_NEWSA, *states.state(ah, False, HQ, BRANCH, UNBOUNDED)) == octets.STATE_AH


def test_a_state_whose_inner_family_differs_says_so():
    route = Route(Selector.parse("2001:db8:1::/48"), Selector.parse("2001:db8:2::/48"))
    values, _ = states.state(child(routes=covering(route)), True, HQ, BRANCH, UNBOUNDED)
    assert (values["sel_family"], values["family"]) == (messages.family(ip_address("::")), 2)


def test_only_what_sends_is_limited_in_packets_and_a_leap_counts_as_packets():
    limits = states.Limits(UNBOUNDED.octets, packet_limits(extended=False))
    (soft, hard), packets = limits.packets, ("lft_soft_packet_limit", "lft_hard_packet_limit")
    assert hard == 2**32 - 1 and hard * 13 // 16 < soft <= hard - hard // 16
    outbound, _ = states.state(child(), False, HQ, BRANCH, limits)
    assert [outbound[name] for name in packets] == [soft, hard]
    inbound, _ = states.state(child(), True, HQ, BRANCH, limits)
    assert [inbound[name] for name in packets] == [messages.XFRM_INF] * 2
    assert limits.less(1 << 20).packets == (soft - (1 << 20), hard - (1 << 20))
    assert limits.less(1 << 32).packets == (1, 1), "0 would mean that the SA is over before its first packet"
    assert packet_limits(extended=True) == UNBOUNDED.packets == UNBOUNDED.less(1 << 20).packets


@pytest.mark.parametrize(("changes", "path"), [
    ({}, (end("192.0.2.1", 500), end("198.51.100.1", 500))), ({"udp_encapsulated": True}, (HQ, BRANCH)),
    ({"local": end("2001:db8::1"), "remote": end("2001:db8::2")}, (end("2001:db8::1", 500), end("2001:db8::2", 500)))])
def test_an_inbound_state_of_an_earlier_run_tells_where_its_peer_was(changes, path):
    class Listed(dict):
        def get_attr(self, name):
            return self["attributes"].get(name)

    pair = child(**changes)
    installed = [states.state(pair, inbound, pair.local, pair.remote, UNBOUNDED) for inbound in (True, False)]
    found = [states.path_of_inbound(Listed(values, attributes=dict(attributes))) for values, attributes in installed]
    assert found == [path, None]


def test_deleting_a_state():
    # iproute2 adds XFRMA_SRCADDR, by which the kernel would only look up states without an SPI.
    ours = encoded(messages.XFRM_MSG_DELSA, states.state_id(BRANCH.address, 0xC0FFEE02, Protocol.ESP))
    assert ours + bytes.fromhex("14000d00c0000201") + bytes(12) == octets.STATE_DELETE


def test_allocating_an_spi():
    values = {"info_id_daddr": HQ.address.packed, "info_id_proto": 50, "info_saddr": BRANCH.address.packed,
              "info_family": 2, "info_mode": messages.XFRM_MODE_TUNNEL, "min": states.SPI_MIN, "max": states.SPI_MAX}
    assert encoded(messages.XFRM_MSG_ALLOCSPI, values) == octets.ALLOCSPI


def key(source: str, destination: str, direction: int) -> policies.Key:
    return policies.Key(ip_network(source), ip_network(destination), direction)


def template(source: str, destination: str) -> policies.Template:
    return policies.Template(ip_address(source), ip_address(destination), Protocol.ESP, states.kernel_reqid(7))


@pytest.mark.parametrize(("kind", "policy", "captured"), [
    (messages.XFRM_MSG_NEWPOLICY,
     policies.policy(key("10.1.0.0/24", "10.2.0.0/24", messages.XFRM_POLICY_OUT), XFRM_POLICY_ALLOW,
                     template("192.0.2.1", "198.51.100.1")), octets.POLICY_OUT),
    (messages.XFRM_MSG_UPDPOLICY,
     policies.policy(key("2001:db8:2::/48", "2001:db8:1::/48", messages.XFRM_POLICY_FWD), XFRM_POLICY_ALLOW,
                     template("2001:db8::2", "2001:db8::1")), octets.POLICY_FWD_V6),
    (messages.XFRM_MSG_UPDPOLICY,
     policies.policy(key("10.2.0.0/24", "10.1.0.0/24", messages.XFRM_POLICY_IN), XFRM_POLICY_BLOCK),
     octets.POLICY_IN_BLOCK)])
def test_policies(kind, policy, captured):
    assert encoded(kind, *policy) == captured


def test_deleting_a_policy():
    named = key("10.1.0.0/24", "10.2.0.0/24", messages.XFRM_POLICY_OUT)
    assert encoded(messages.XFRM_MSG_DELPOLICY, named.fields) == octets.POLICY_DELETE


def test_a_range_becomes_policies_for_each_pair_of_prefixes():
    route = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.2.0.1-10.2.0.4"))
    found = list(policies.keys(route))
    assert len(found) == 3 * 3
    assert {str(each.destination) for each in found if each.direction == messages.XFRM_POLICY_OUT} == {
        "10.2.0.1/32", "10.2.0.2/31", "10.2.0.4/32"}


def test_longer_prefixes_come_first_and_every_priority_is_recognised():
    narrow, wide = key("10.1.0.0/24", "10.2.0.1/32", 1), key("10.1.0.0/24", "10.2.0.0/16", 1)
    on_device = replace(wide, ifindex=9)
    assert narrow.priority < on_device.priority < wide.priority
    extremes = [key("::/0", "::/0", 0), replace(key("::1/128", "::2/128", 0), ifindex=1)]
    assert all(policies.is_ours(each.priority) for each in extremes)
    assert not policies.is_ours(0) and not policies.is_ours(policies.PRIORITY_BASE + 1)


def test_a_moved_state_keeps_its_counters_and_never_reuses_a_number():
    replay = {"bmp_len": 4, "oseq": 0xFFFFFFFE, "seq": 5, "oseq_hi": 1, "seq_hi": 0, "replay_window": 128,
              "bmp": bytes(range(16))}
    values, attributes = states.state(child(extended_sequence_numbers=True), True, HQ, BRANCH, UNBOUNDED)
    values |= {"curlft_bytes": 8400, "curlft_packets": 100}
    request = messages.build(messages.XFRM_MSG_NEWSA, values, [*attributes[:-1], ("XFRMA_REPLAY_ESN_VAL", replay)])
    request.encode()
    installed = messages.parse(messages.XFRM_MSG_NEWSA, bytes(request.data))
    carried = dict(states.carried_over(installed, 1 << 20))
    assert (carried["XFRMA_LTIME_VAL"]["bytes"], carried["XFRMA_LTIME_VAL"]["packets"]) == (8400, 100)
    assert carried["XFRMA_REPLAY_ESN_VAL"] == replay | {"oseq": 0xFFFFE, "oseq_hi": 2}


def test_keys_appear_in_no_error():
    with pytest.raises(KeyError) as caught:
        messages.build(messages.XFRM_MSG_NEWSA, {"no_such_field": bytes(range(20))})
    assert "no such field" in str(caught.value) and "\\x" not in str(caught.value)


def test_a_state_that_carries_both_families_takes_either():
    six = Route(Selector.parse("2001:db8:1::/48"), Selector.parse("2001:db8:2::/48"))
    values, _ = states.state(child(routes=covering(ROUTE, six)), True, HQ, BRANCH, UNBOUNDED)
    assert (values["sel_family"], values["flags"]) == (0, messages.XFRM_STATE_AF_UNSPEC)


def test_ah_is_padded_to_8_octets_between_ipv6_addresses_only():
    ah = child(protocol=Protocol.AH, encryption=None, authentication=algorithms.authentication("SHA2-256"))
    flags = [states.state(ah, True, end(local), end(remote), UNBOUNDED)[0]["flags"]
             for local, remote in (("192.0.2.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::2"))]
    assert flags == [messages.XFRM_STATE_ALIGN4, 0]


def test_a_new_mapping_is_read():
    """struct xfrm_user_mapping, as linux/xfrm.h lays it out."""
    body = (ip_address("192.0.2.1").packed + bytes(12) + bytes.fromhex("c0ffee01") + b"\x02\x00" + b"\x32\x00"
            + (7).to_bytes(4, "little") + ip_address("198.51.100.1").packed + bytes(12)
            + ip_address("203.0.113.9").packed + bytes(12) + (4500).to_bytes(2, "big") + (61000).to_bytes(2, "big"))
    header = (HEADER + len(body)).to_bytes(4, "little") + messages.XFRM_MSG_MAPPING.to_bytes(2, "little") + bytes(10)
    message = messages.parse(messages.XFRM_MSG_MAPPING, header + body)
    assert message is not None and (message["id_spi"], message["new_sport"]) == (0xC0FFEE01, 61000)
    assert messages.address_of(message["new_saddr"], message["id_family"]) == ip_address("203.0.113.9")


def test_a_state_that_receives_in_udp_bounds_how_often_the_kernel_tells_of_a_mapping():
    bounded = [("XFRMA_MTIMER_THRESH", {"seconds": states.MAPPING_PAUSE})]
    for inbound in (True, False):
        _values, attributes = states.state(child(udp_encapsulated=True), inbound, HQ, BRANCH, UNBOUNDED)
        assert [row for row in attributes if row[0] == "XFRMA_MTIMER_THRESH"] == (bounded if inbound else [])
