# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site as strongSwan has it. tests/interop has charon load it, and tunnels come up by it."""

import pytest
from ikeengine.vpn import algorithms, declaration, model
from ikeengine.vpn.rendering import swanctl

from .test_declaration import CERTIFICATE


def rendered(data, **secrets):
    return swanctl.render(declaration.read(data, **secrets))


def test_a_connection_and_a_child_with_all_that_was_declared(hq):
    assert rendered(hq).files == {"swanctl.conf": """\
# hq
include conf.d/*.conf
connections {
  branch {
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 198.51.100.1
    proposals = aes256-sha256-modp2048
    rekey_time = 77760s
    over_time = 8640s
    dpd_delay = 20s
    keyingtries = 0
    local {
      auth = psk
      id = fqdn:hq.example
    }
    remote {
      auth = psk
      id = fqdn:branch.example
    }
    children {
      lan {
        local_ts = 10.1.0.0/24
        remote_ts = 10.2.0.0/24
        reqid = 1
        esp_proposals = aes256-sha256-modp2048
        rekey_time = 25920s
        life_time = 28800s
        rekey_bytes = 117964800
        life_bytes = 131072000
        start_action = start
        dpd_action = restart
      }
    }
  }
}
"""}


def test_the_key_stands_apart_and_may_hold_anything(hq):
    psk = 'a "quote", a {brace}, a # and a\nline'
    hq["gateways"][0]["credential"]["psk"] = psk
    rendering = rendered(hq)
    assert rendering.secrets == {"conf.d/secrets.conf": f"""\
secrets {{
  ike-branch {{
    id-0 = fqdn:hq.example
    id-1 = fqdn:branch.example
    secret = 0x{psk.encode().hex()}
  }}
}}
"""}
    assert psk.encode().hex() not in str(rendering.files) + repr(rendering)


@pytest.mark.parametrize("required", [True, False])
def test_a_post_quantum_key_is_named_and_kept_apart(hq, required):
    hq["gateways"][0]["credential"] |= {"ppk": {"id": "qkd 1", "required": required}, "ppk_key": "0xc0ffee"}
    rendering = rendered(hq)
    lines = [line.strip() for line in rendering.files["swanctl.conf"].splitlines() if "ppk" in line]
    assert lines == ['ppk_id = "qkd 1"', f"ppk_required = {'yes' if required else 'no'}"]
    assert """\
  ppk-branch {
    id = "qkd 1"
    secret = 0xc0ffee
  }
""" in rendering.secrets["conf.d/secrets.conf"]
    assert "c0ffee" not in str(rendering.files) + repr(rendering)


def test_every_algorithm_has_its_word(hq):
    assert set(swanctl.ENCRYPTION) == {row.name for row in algorithms.ENCRYPTIONS}
    assert set(swanctl.AUTHENTICATION) == {row.name for row in algorithms.AUTHENTICATIONS}
    assert set(swanctl.KEY_ENCAPSULATION) == {row.name for row in algorithms.KEY_ENCAPSULATIONS}
    assert set(swanctl.START) == set(swanctl.DEAD) == set(model.Start)
    assert set(swanctl.IDENTITY) == set(model.IdentityKind)


@pytest.mark.parametrize(("phase1", "phase2", "pfs", "words"), [
    ({"encryption": "AES-GCM-256", "authentication": "SHA2-384", "key_group": 31,
      "additional_key_exchange": "ML-KEM-768"}, {"encryption": "AES-GCM-128"}, {"key_group": 20},
     ["proposals = aes256gcm16-prfsha384-curve25519-ke1_mlkem768", "esp_proposals = aes128gcm16-ecp384"]),
    ({"encryption": "3DES", "authentication": "MD5", "key_group": 2}, {"protocol": "AH", "authentication": "SHA1"},
     {"enabled": False}, ["proposals = 3des-md5-modp1024", "ah_proposals = sha1"]),
    ({"encryption": "ChaCha20-Poly1305"}, {"encryption": "ChaCha20-Poly1305"},
     {"key_group": 14, "additional_key_exchange": "ML-KEM-1024"},
     ["proposals = chacha20poly1305-prfsha256-modp2048", "esp_proposals = chacha20poly1305-modp2048-ke1_mlkem1024"]),
])
def test_proposals_in_strongswans_words(hq, phase1, phase2, pfs, words):
    hq["transforms"] = [{"name": "p1", **phase1}]
    hq["proposals"] = [{"name": "p2", **phase2}]
    hq["tunnels"][0]["pfs"] = pfs
    lines = rendered(hq).files["swanctl.conf"].split("\n")
    assert [line.strip() for line in lines if "proposals" in line] == words


USER = {"type": "domain-information", "value": "gw@branch.example"}


def connections(data):
    """The lines of each connection by its name."""
    found = {}
    for line in rendered(data).files["swanctl.conf"].split("connections {\n")[1].splitlines():
        if line.startswith("  ") and line[2] not in " }":
            lines = found[line.strip(" {")] = []
        elif line.startswith("   "):
            lines.append(line.strip())
    return found


def test_ikev1_with_a_dynamic_peer(hq):
    hq["gateways"][0].update(
        name="head.office", ike_version=1, mode="aggressive", nat_traversal={"keep_alive": "10s"},
        dead_peer_detection={"idle": "10s", "retries": 3},
        endpoints=[{"local": {"address": "192.0.2.1"}, "remote": {"address": "dynamic", "identifier": USER}}])
    hq["tunnels"][0].update(gateway="head.office", routes=[
        {"local": "10.1.0.0/24", "remote": "10.2.0.5-10.2.0.9"},
        {"local": "10.1.0.0/24", "remote": "10.3.0.1", "direction": "local-to-remote"}])
    text = rendered(hq).files["swanctl.conf"]
    for line in ("  head-office {", "version = 1", "aggressive = yes", "local_addrs = 192.0.2.1\n",
                 "remote_addrs = %any", "dpd_timeout = 40s", "id = email:gw@branch.example", "lan-1 {", "lan-2 {",
                 "remote_ts = 10.2.0.5-10.2.0.9", "remote_ts = 10.3.0.1", "reqid = 2",
                 "# no such setting here: gateway head.office: NAT keep-alive 10s is charon.keep_alive",
                 "# no such setting here: gateway head.office: to answer in Aggressive Mode with a pre-shared key, set "
                 "charon.i_dont_care_about_security_and_use_aggressive_mode_psk",
                 "# no such setting here: tunnel lan: the direction of 10.1.0.0/24 -> 10.3.0.1"):
        assert line in text


@pytest.mark.parametrize(("start", "words"), [
    ("boot", ["start_action = start", "dpd_action = restart"]),
    ("traffic", ["start_action = trap", "dpd_action = trap"]),
    ("answer", ["start_action = none", "dpd_action = clear"])])
def test_strongswan_begins_as_declared_and_never_towards_a_dynamic_peer(hq, start, words):
    """It cannot: "unable to resolve %any", "installing trap failed, remote address unknown"."""
    hq["gateways"][0]["start"] = start
    lines = connections(hq)["branch"]
    assert [line for line in lines if "_action" in line] == words
    assert ("keyingtries = 0" in lines) == (start == "boot")
    hq["gateways"][0]["endpoints"][0]["remote"] = {"address": "dynamic", "identifier": USER}
    lines = connections(hq)["branch"]
    assert [line for line in lines if "_action" in line] == ["start_action = none", "dpd_action = clear"]
    assert "keyingtries = 0" not in lines


def test_each_endpoint_pair_has_its_identities_and_the_first_initiates(hq):
    first = hq["gateways"][0]["endpoints"][0]
    hq["gateways"][0]["endpoints"] = [first, {
        "local": {"address": "192.0.2.129"}, "remote": {"address": "198.51.100.129", "identifier": USER}}]
    found = connections(hq)
    assert list(found) == ["branch", "branch-2"]
    told = ("local_addrs", "remote_addrs", "id ", "start", "reqid")
    assert [line for line in found["branch-2"] if line.startswith(told)] == [
        "local_addrs = 192.0.2.129", "remote_addrs = 198.51.100.129", "id = 192.0.2.129",
        "id = email:gw@branch.example", "reqid = 1", "start_action = none"]
    assert "start_action = start" in found["branch"] and "id = fqdn:hq.example" in found["branch"]
    rendering = rendered(hq)
    assert "# no such setting here: gateway branch: the failover to further endpoint pairs" in rendering.files[
        "swanctl.conf"]
    for identity in ("fqdn:hq.example", "fqdn:branch.example", "192.0.2.129", "email:gw@branch.example"):
        assert f" = {identity}\n" in rendering.secrets["conf.d/secrets.conf"]


def test_a_name_that_means_something_else_in_strongswans_files_is_changed(hq):
    hq["gateways"][0]["name"] = hq["tunnels"][0]["gateway"] = hq["tunnels"][0]["name"] = "include"
    found = connections(hq)
    assert list(found) == ["include-2"] and "include-2 {" in found["include-2"]


def test_lives_that_strongswan_has_once_are_named(hq):
    hq["transforms"].append({"name": "p1b", "sa_life": "8h"})
    hq["proposals"].append({"name": "p2b", "encryption": "AES-128"})
    hq["gateways"][0].update(transforms=["p1", "p1b"], dead_peer_detection={"retries": 3})
    hq["tunnels"][0]["proposals"] = ["p2", "p2b"]
    text = rendered(hq).files["swanctl.conf"]
    for line in ("gateway branch: an SA life for each transform; all have that of p1",
                 "gateway branch: Dead Peer Detection's 3 retries are charon.retransmit_tries",
                 "tunnel lan: a key expiration for each proposal; all have that of p2"):
        assert f"# no such setting here: {line}\n" in text


@pytest.mark.parametrize(("name", "word"), [
    ("CN=hq, O=Example", '"CN=hq, O=Example"'), (r"CN=hq, O=Ex\, Inc.", '"/CN=hq/O=Ex, Inc."'),
    (r"CN=a\2Cb,O=Example", '"/CN=a,b/O=Example"'), (r"/CN=a\+b/O=Example", '"/CN=a+b/O=Example"'),
    (r"O=B\C3\BCcher, CN=a\\, C=DE", '"/O=B\u00fccher/CN=a\\\\/C=DE"')])
def test_an_x500_name_with_escapes_is_written_without(hq, name, word):
    hq["gateways"][0]["endpoints"][0]["local"]["identifier"] = {"type": "x500-name", "value": name}
    assert f"id = {word}" in connections(hq)["branch"]


def test_certificates_are_files_of_their_own(hq):
    hq["gateways"][0]["credential"] = CERTIFICATE
    hq["gateways"][0]["endpoints"][0]["local"]["identifier"] = {"type": "x500-name", "value": "CN=hq, O=Example"}
    rendering = rendered(hq)
    text = rendering.files["swanctl.conf"]
    for line in ("auth = pubkey", "certs = branch.pem", "cacerts = branch-1.pem, branch-2.pem",
                 'id = "CN=hq, O=Example"'):
        assert line in text
    assert sorted(rendering.files) == ["swanctl.conf", "x509/branch-chain-1.pem", "x509/branch.pem",
                                       "x509ca/branch-1.pem", "x509ca/branch-2.pem", "x509crl/branch-1.pem"]
    assert list(rendering.secrets) == ["private/branch.pem"]


def test_a_route_based_tunnel_is_everything_on_an_interface(hq):
    del hq["tunnels"][0]["routes"]
    hq["tunnels"][0]["interface"] = {"name": "vpn0", "addresses": ["169.254.0.1/30"]}
    text = rendered(hq).files["swanctl.conf"]
    assert "local_ts = 0.0.0.0/0, ::/0" in text and "if_id_out = 1" in text
    assert "# tunnel lan: make an xfrm interface with the if_id of the child" in text


def test_routes_that_share_an_sa_pair_are_one_child_which_has_no_fixed_reqid(hq):
    """The peer may narrow it to several SAs."""
    tunnel = hq["tunnels"][0]
    tunnel["routes"] = [{"local": local, "remote": remote} for local in ("10.1.0.0/24", "10.1.1.0/24")
                        for remote in ("10.2.0.0/24", "10.2.1.0/24")]
    tunnel["sa_pairs"] = "per-tunnel"
    text = rendered(hq).files["swanctl.conf"]
    assert text.count("local_ts") == 1 and "reqid" not in text
    assert "local_ts = 10.1.0.0/24, 10.1.1.0/24\n" in text and "remote_ts = 10.2.0.0/24, 10.2.1.0/24\n" in text
    del tunnel["routes"][3]
    text = rendered(hq).files["swanctl.conf"]
    assert [line.strip() for line in text.splitlines() if "_ts" in line] == [
        "local_ts = 10.1.0.0/24", "remote_ts = 10.2.0.0/24, 10.2.1.0/24", "local_ts = 10.1.1.0/24",
        "remote_ts = 10.2.0.0/24"]
