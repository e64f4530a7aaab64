# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations as operators write them: what is read, what is refused and in which words, and the way back."""

import base64
import copy
import json
import random

import pytest
from ikeengine.vpn import declaration, report, rules
from ikeengine.vpn.model import CredentialMethod, Direction, IkeVersion, Mode, Ppk, Start

MARKER = "marker-that-must-appear-nowhere"


def pem(label: str, octets: bytes = bytes(200)) -> str:
    """A PEM block around a DER SEQUENCE: what the declaration looks at, and nothing that X.509 would know."""
    body = base64.encodebytes(b"\x30\x81" + bytes([len(octets)]) + octets).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


CERTIFICATE = {"method": "certificate", "certificate": pem("CERTIFICATE"), "private_key": pem("PRIVATE KEY"),
               "ca": [pem("CERTIFICATE", bytes(150)) + pem("CERTIFICATE", bytes(151))],
               "chain": pem("CERTIFICATE", bytes(152)), "crl": [pem("X509 CRL")]}


def refused(data, **options):
    with pytest.raises(declaration.DeclarationError) as caught:
        declaration.read(data, **options)
    return [finding.message for finding in caught.value.findings]


def test_the_shortest_declaration_gets_all_defaults():
    side = declaration.read({"gateways": [{"name": "b", "credential": {"method": "psk", "psk": "k"}, "endpoints": [
        {"local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}]}],
        "tunnels": [{"name": "lan", "gateway": "b", "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.7"}]}]},
        site_name="hq")
    (gateway,), (tunnel,) = side.gateways, side.tunnels
    (transform,), (proposal,) = gateway.transforms, tunnel.proposals
    assert (side.name, side.managed, side.platform.is_linux) == ("hq", True, True)
    assert (gateway.version, gateway.start, str(gateway.endpoints[0].local.identity)) == (
        IkeVersion.V2, Start.BOOT, "192.0.2.1")
    assert (transform.authentication.name, transform.encryption.name) == ("SHA2-256", "AES-256")
    assert (transform.sa_life, transform.key_group.number) == (86400, 14)
    assert (proposal.protocol.name, proposal.authentication.name, proposal.encryption.name,
            proposal.expiration.seconds, proposal.expiration.kilobytes) == ("ESP", "SHA2-256", "AES-256", 28800, None)
    assert (tunnel.pfs.number, tunnel.dataplane.value) == (14, "auto")
    assert str(tunnel.routes[0]) == "10.1.0.0/24 <-> 10.2.0.7"


def test_strings_as_ansible_gives_them(hq):
    plain = declaration.read(hq)
    hq["gateways"][0].update(ike_version="2", start="Boot", nat_traversal={"enabled": "yes", "keep_alive": "20"},
                             dead_peer_detection={"enabled": "True", "idle": "20s", "retries": "5"}, mode=None)
    hq["transforms"][0].update(key_group="group 14", sa_life="1440 minutes", encryption="aes256",
                               authentication="sha256")
    hq["tunnels"][0]["routes"][0]["direction"] = "BOTH"
    assert declaration.read(hq) == plain


def test_what_the_next_ike_version_needs_is_read(hq):
    hq["gateways"][0].update(ike_version=1, mode="aggressive", credential=CERTIFICATE,
                             ike_keep_alive={"enabled": True, "interval": "30s"})
    hq["gateways"][0]["endpoints"][0]["remote"] = {
        "address": "dynamic", "identifier": {"type": "domain-information", "value": "branch@example.net"}}
    hq["proposals"][0].update(protocol="AH", encryption="none")
    side = declaration.read(hq)
    gateway = side.gateways[0]
    assert (gateway.mode, gateway.credential.method) == (Mode.AGGRESSIVE, CredentialMethod.CERTIFICATE)
    assert (gateway.endpoints[0].remote.address, gateway.keep_alive.interval) == (None, 30)
    assert side.tunnels[0].proposals[0].encryption is None
    written, secrets = declaration.write(side)
    assert declaration.read(written, secrets=secrets) == side


def test_aes_gcm_needs_no_authentication_in_phase2_and_keeps_it_in_phase1(hq):
    hq["proposals"][0] = {"name": "p2", "encryption": "AES-GCM-256"}
    hq["transforms"][0].update(encryption="AES-GCM-256")
    side = declaration.read(hq)
    assert side.tunnels[0].proposals[0].authentication is None
    assert side.gateways[0].transforms[0].authentication.name == "SHA2-256"


def test_canonical_form_holds_every_default_and_no_secret(hq):
    written, secrets = declaration.write(declaration.read(hq))
    assert written["gateways"][0] == {
        "name": "branch", "ike_version": 2, "credential": {"method": "psk"},
        "endpoints": [{
            "local": {"address": "192.0.2.1", "identifier": {"type": "domain-name", "value": "hq.example"}},
            "remote": {"address": "198.51.100.1", "identifier": {"type": "domain-name", "value": "branch.example"}}}],
        "transforms": ["p1"], "nat_traversal": {"enabled": True, "keep_alive": "20s"},
        "dead_peer_detection": {"enabled": True, "idle": "20s", "retries": 5}, "start": "boot"}
    assert written["tunnels"][0] == {
        "name": "lan", "gateway": "branch", "proposals": ["p2"], "pfs": {"enabled": True, "key_group": 14},
        "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24", "direction": "both"}], "sa_pairs": "per-route",
        "dataplane": "auto"}
    key = hq["gateways"][0]["credential"]["psk"]
    assert secrets == {"version": 1, "gateways": {"branch": {"method": "psk", "psk": key}}}
    assert key not in json.dumps(written)


def test_the_identifier_of_an_endpoint_behind_a_nat_is_the_address_that_peers_reach_for(hq):
    ends = hq["gateways"][0]["endpoints"][0]
    ends["local"] = {"address": "10.0.0.1", "public_address": "192.0.2.1"}
    local = declaration.read(hq).gateways[0].endpoints[0].local
    assert (str(local.address), str(local.reached), local.identity.value) == ("10.0.0.1", "192.0.2.1", "192.0.2.1")
    assert declaration.read(declaration.write(declaration.read(hq))[0]).gateways[0].endpoints[0].local == local
    ends["remote"] |= {"public_address": "192.0.2.9"}
    with pytest.raises(declaration.DeclarationError, match=r"endpoints\[0\]\.remote\.public_address is unknown"):
        declaration.read(hq)


@pytest.mark.parametrize("credential", [{"method": "psk", "psk": "schlüssel mit umlaut"},
                                        {"method": "hex-psk", "psk": "0xC0FFEE00"}, CERTIFICATE,
                                        {"method": "psk", "psk": "new", "also_accepted": ["old", "schlüssel"]},
                                        {"method": "hex-psk", "psk": "c0ffee", "also_accepted": ["0xC0:FFEE:00"]},
                                        {"method": "psk", "psk": "key", "ppk": {"id": "qkd 1"}, "ppk_key": "schlüssel"},
                                        {**CERTIFICATE, "ppk": {"id": "a", "required": False}, "ppk_key": "0xC0:FFEE"}])
def test_read_is_the_inverse_of_write(hq, credential):
    hq["gateways"][0].update(credential=credential, nat_traversal={"enabled": False},
                             dead_peer_detection={"enabled": False})
    hq["tunnels"][0].update(pfs={"enabled": False}, dataplane="userspace",
                            interface={"name": "vpn0", "addresses": ["169.254.0.1/30"], "metric": 5})
    hq["tunnels"][0]["routes"] += [{"local": "10.1.5.1-10.1.5.9", "remote": "2001:db8::/64",
                                    "direction": "remote-to-local"}]
    hq["transforms"].append({"name": "unused", "key_group": 31})
    side = declaration.read(hq)
    written, secrets = declaration.write(side)
    again = declaration.read(json.loads(json.dumps(written)), secrets=json.loads(json.dumps(secrets)))
    assert again == side
    assert declaration.write(again) == (written, secrets)
    assert [transform["name"] for transform in written["transforms"]] == ["p1", "unused"]
    assert side.tunnels[0].routes[1].direction is Direction.REMOTE_TO_LOCAL


def test_a_certificate_comes_with_its_authorities_chain_and_revocation_lists(hq):
    hq["gateways"][0]["credential"] = CERTIFICATE
    credential = declaration.read(hq).gateways[0].credential
    assert [len(credential.ca), len(credential.chain), len(credential.crl)] == [2, 1, 1]
    written, secrets = declaration.write(declaration.read(hq))
    assert "PRIVATE KEY" not in json.dumps(written)
    assert secrets["gateways"]["branch"]["method"] == "certificate"
    assert "".join(secrets["gateways"]["branch"]["private_key"].split()) == "".join(pem("PRIVATE KEY").split())


@pytest.mark.parametrize("field, text, message", [
    ("certificate", "MIIC", "certificate is not valid: it holds no PEM block of type CERTIFICATE"),
    ("certificate", pem("CERTIFICATE") * 2, "certificate is not valid: it holds 2 PEM blocks, and one is needed here"),
    ("certificate", pem("CERTIFICATE").replace("AAAA", "AA", 1), "certificate is not valid: its PEM block is not"),
    ("ca", [pem("X509 CRL")], "ca is not valid: it holds a PEM block of type X509 CRL, not CERTIFICATE"),
    ("private_key", pem("CERTIFICATE"), "private_key is not valid: it holds a PEM block of type CERTIFICATE, not"),
    ("private_key", pem("ENCRYPTED PRIVATE KEY"), "private_key is not valid: the private key has a passphrase"),
    ("psk", MARKER, "psk is set: method certificate has no psk. Remove psk, or change the method"),
    ("also_accepted", [MARKER], "also_accepted is set: method certificate accepts whom its authorities vouch for."),
])
def test_a_broken_certificate_is_refused_and_never_quoted(hq, field, text, message):
    hq["gateways"][0]["credential"] = CERTIFICATE | {field: text}
    (said,) = refused(hq)
    assert said.startswith(f"hq: gateways[branch].credential.{message}")
    assert MARKER not in said and "AAAA" not in said


def test_the_private_key_may_come_with_the_secrets(hq):
    hq["gateways"][0]["credential"] = {key: value for key, value in CERTIFICATE.items() if key != "private_key"}
    assert refused(hq, secrets={"gateways": {}}) == [
        "hq: gateways[branch].credential.private_key is missing: a gateway with method certificate needs its key. "
        "Set private_key."]
    kept = {"branch": {"method": "certificate", "private_key": CERTIFICATE["private_key"]}}
    assert declaration.read(hq, secrets={"gateways": kept}).gateways[0].credential.secret is not None


def test_hybrid_key_exchange_in_both_phases(hq):
    hq["transforms"][0].update(key_group=31, additional_key_exchange="ml-kem-768")
    hq["tunnels"][0]["pfs"] = {"key_group": "x25519", "additional_key_exchange": "ML-KEM-1024"}
    side = declaration.read(hq)
    assert side.gateways[0].transforms[0].additional_key_exchange.ikev2_id == 36
    assert (side.tunnels[0].pfs.number, side.tunnels[0].additional_key_exchange.ikev2_id) == (31, 37)
    written, secrets = declaration.write(side)
    assert written["transforms"][0]["additional_key_exchange"] == "ML-KEM-768"
    assert declaration.read(written, secrets=secrets) == side
    hq["tunnels"][0]["pfs"]["enabled"] = False
    assert declaration.read(hq).tunnels[0].additional_key_exchange is None


def test_dynamic_ikev2_peers_share_their_transforms(hq):
    hq["transforms"].append({"name": "shared", "key_group": 19})
    hq["shared_transforms"] = ["shared"]
    hq["gateways"][0].pop("transforms")
    assert [item.name for item in declaration.read(hq).gateways[0].transforms] == ["default"]
    hq["gateways"][0]["endpoints"][0]["remote"]["address"] = "dynamic"
    side = declaration.read(hq)
    assert [item.name for item in side.gateways[0].transforms] == ["shared"]
    assert declaration.read(declaration.write(side)[0]).shared_transforms == side.shared_transforms
    hq["gateways"][0]["transforms"] = ["p1"]
    assert [item.name for item in declaration.read(hq).gateways[0].transforms] == ["p1"]


def test_a_route_based_tunnel_needs_no_routes(hq):
    del hq["tunnels"][0]["routes"]
    assert refused(hq) == ["hq: tunnels[lan].routes is missing: this field is required. Set routes."]
    hq["tunnels"][0]["interface"] = {"name": "vpn0", "addresses": ["169.254.0.1/30", "fd00::1/126"], "metric": 20}
    side = declaration.read(hq)
    assert (side.tunnels[0].routes, side.tunnels[0].interface.metric) == ((), 20)
    written, secrets = declaration.write(side)
    assert declaration.read(written, secrets=secrets) == side


@pytest.mark.parametrize("word, name", [("AES (256-bit)", "AES-256"), ("AES-GCM (128-bit)", "AES-GCM-128"),
                                        ("chacha20poly1305", "ChaCha20-Poly1305"), ("3des", "3DES")])
def test_encryptions_by_the_words_of_other_products(hq, word, name):
    hq["proposals"][0].update(encryption=word)
    assert declaration.read(hq).tunnels[0].proposals[0].encryption.name == name


@pytest.mark.parametrize("word, number", [("Diffie-Hellman Group 14", 14), ("x448", 32), ("modp3072", 15), (21, 21)])
def test_key_groups_by_the_words_of_other_products(hq, word, number):
    hq["transforms"][0].update(key_group=word)
    assert declaration.read(hq).gateways[0].transforms[0].key_group.number == number


def test_what_is_built_in_is_written_as_long_as_it_is_used(hq):
    hq["tunnels"][0].pop("proposals")
    written, _secrets = declaration.write(declaration.read(hq))
    assert [item["name"] for item in written["proposals"]] == ["p2", "default"]
    written["tunnels"][0]["proposals"] = ["p2"]
    assert [item["name"] for item in declaration.write(declaration.read(written))[0]["proposals"]] == ["p2"]


def test_keys_are_octets(hq):
    for word in ("0xC0ffee", "0XC0FFEE", "c0:ff:ee", "C0 FF EE", "0xc0:ff:ee", " c0ffee "):
        hq["gateways"][0]["credential"] = {"method": "hex-psk", "psk": word}
        assert declaration.read(hq).gateways[0].credential.secret.octets == b"\xc0\xff\xee"
    hq["gateways"][0]["credential"] = {"method": "psk", "psk": "ü"}
    assert declaration.read(hq).gateways[0].credential.secret.octets == b"\xc3\xbc"


@pytest.mark.parametrize("word", ["c0:ff:e", "c:0f:fe", "c0-ff", "c0::ff", ":c0ff", "c0ff:", "0x", "0x:c0",
                                  "secret", "0x0xc0"])
def test_what_is_no_hexadecimal_key(hq, word):
    hq["gateways"][0]["credential"] = {"method": "hex-psk", "psk": word}
    (said,) = refused(hq)
    assert said.startswith("hq: gateways[branch].credential.psk is ") and word not in said


def test_without_secrets_a_key_is_unknown_and_with_secrets_it_must_be_there(hq):
    written, secrets = declaration.write(declaration.read(hq))
    assert declaration.read(written).gateways[0].credential.secret is None
    del secrets["gateways"]["branch"]
    assert refused(written, secrets=secrets) == [
        "hq: gateways[branch].credential.psk is missing: a gateway with method psk needs its key. Set psk."]
    secrets["gateways"]["branch"] = {"method": "hex-psk", "psk": "ab"}
    assert refused(written, secrets=secrets) == [
        "hq: gateways[branch].credential.psk is missing: the method is psk, and the key that is kept is one of "
        "hex-psk. Set psk, or the method to hex-psk."]


def test_other_accepted_keys_belong_to_the_key_that_they_stand_beside(hq):
    """What is kept of them goes with the key that is kept: a new key has those that are given with it."""
    credential = hq["gateways"][0]["credential"]
    credential |= {"psk": "old", "also_accepted": ["older"]}
    written, secrets = declaration.write(declaration.read(hq))
    kept = declaration.read(written, secrets=secrets).gateways[0].credential
    assert [key.octets for key in kept.accepted] == [b"old", b"older"]
    for given, accepted in (({"psk": "new"}, [b"new"]), ({"also_accepted": ["new"]}, [b"old", b"new"]),
                            ({"psk": "new", "also_accepted": ["old"]}, [b"new", b"old"]), ({}, [b"old", b"older"])):
        written["gateways"][0]["credential"] = {"method": "psk", **given}
        read = declaration.read(written, secrets=secrets).gateways[0].credential
        assert [key.octets for key in read.accepted] == accepted


@pytest.mark.parametrize("keys, said", [
    ([MARKER] * 8, "also_accepted has 8: at most 7 keys are accepted beside a gateway's own. Remove those that"),
    ([MARKER, ""], "also_accepted[1] is empty: a pre-shared key has at least one character. Set the key that both"),
    (MARKER, "also_accepted is text: a list is needed here. Write it as a list."),
])
def test_other_accepted_keys_are_a_short_list_and_never_quoted(hq, keys, said):
    hq["gateways"][0]["credential"] |= {"also_accepted": keys}
    (found,) = refused(hq)
    assert found.startswith(f"hq: gateways[branch].credential.{said}") and MARKER not in found


def test_a_post_quantum_key_stands_apart_as_the_other_does(hq):
    hq["gateways"][0]["credential"] |= {"ppk": {"id": "qkd-1", "required": "no"}, "ppk_key": MARKER}
    side = declaration.read(hq)
    ppk = side.gateways[0].credential.ppk
    assert (ppk.id, ppk.required, ppk.secret.octets) == ("qkd-1", False, MARKER.encode())
    assert MARKER not in repr(side) + str(side)
    written, secrets = declaration.write(side)
    assert written["gateways"][0]["credential"] == {"method": "psk", "ppk": {"id": "qkd-1", "required": False}}
    assert secrets["gateways"]["branch"]["ppk_key"] == f"0x{MARKER.encode().hex()}"
    assert declaration.read(written).gateways[0].credential.ppk == Ppk("qkd-1", False)
    del secrets["gateways"]["branch"]["ppk_key"]
    assert refused(written, secrets=secrets) == [
        "hq: gateways[branch].credential.ppk_key is missing: a gateway with ppk needs its key. Set ppk_key."]


@pytest.mark.parametrize(("given", "said"), [
    ({"ppk": {"id": "a"}, "ppk_key": "0xabc"}, "ppk_key is not: after 0x stands an even number of hexadecimal digits. "
                                               "Write it so."),
    ({"ppk": {"id": "a"}, "ppk_key": ""}, "ppk_key is empty: a pre-shared key has at least one character. Set the key "
                                          "that both ends share."),
    ({"ppk": {}, "ppk_key": MARKER}, "ppk.id is missing: this field is required. Set id."),
    ({"ppk": {"id": "a" * 256}}, "ppk.id is not valid: an identity is printable and has at most 255 octets. Choose "
                                 "such a name."),
    ({"ppk_key": MARKER}, "ppk_key is set: both ends know a post-quantum pre-shared key by an identity. Set ppk.id, or "
                          "remove ppk_key."),
])
def test_what_is_no_post_quantum_key(hq, given, said):
    hq["gateways"][0]["credential"] |= given
    assert refused(hq) == [f"hq: gateways[branch].credential.{said}"]


def test_digest_ignores_the_order_of_fields_and_nothing_else(hq):
    written, _ = declaration.write(declaration.read(hq))
    turned = dict(reversed(written.items()))
    assert declaration.digest(turned) == declaration.digest(written)
    hq["tunnels"][0]["pfs"] = {"key_group": 19}
    assert declaration.digest(declaration.write(declaration.read(hq))[0]) != declaration.digest(written)
    assert len(declaration.digest(written)) == 64


def test_all_errors_are_named_at_once(hq):
    hq["gateways"][0].update(start="bot", endpionts=[], transforms=["p12"])
    hq["gateways"][0]["endpoints"][0]["local"]["address"] = "192.0.2.300"
    hq["gateways"][0]["credential"]["psk"] = ""
    hq["tunnels"][0]["gateway"] = "brunch"
    hq["tunnels"][0]["routes"] = [{"local": "10.1.0.1/24"}, "10.1.0.0/24"]
    assert refused(hq) == [
        "hq: gateways[branch].endpionts is unknown: the fields here are name, ike_version, mode, credential, "
        "endpoints, transforms, nat_traversal, dead_peer_detection, ike_keep_alive, start. Did you mean endpoints? "
        "Write endpoints or remove it.",
        "hq: gateways[branch].credential.psk is empty: a pre-shared key has at least one character. Set the key that "
        "both ends share.",
        "hq: gateways[branch].endpoints[0].local.address is '192.0.2.300': it is no IPv4 or IPv6 address. Write the "
        "gateway's address, or dynamic.",
        "hq: gateways[branch].transforms[0] is 'p12': no transform of that name is declared. Did you mean p1? "
        "Write it, or declare p12.",
        "hq: gateways[branch].start is 'bot': it is none of boot, traffic, answer. Write boot.",
        "hq: tunnels[lan].gateway is 'brunch': no gateway of that name is declared. Did you mean branch? Write it, or "
        "declare brunch.",
        "hq: tunnels[lan].routes[0].local is '10.1.0.1/24': 10.1.0.1/24 has host bits set; the network is 10.1.0.0/24. "
        "Write a host, a network or a range, such as 10.1.0.0/24.",
        "hq: tunnels[lan].routes[0].remote is missing: this field is required. Set remote.",
        "hq: tunnels[lan].routes[1] is text: a mapping of fields is needed here. Write it as fields with values.",
    ]


@pytest.mark.parametrize(("path", "value", "message"), [
    (("site", "platform"), "linus", "site.platform is 'linus': a platform is linux or an appliance's model"),
    (("site", "firmware"), "12.1", "site.firmware is 12.1: only appliances have a firmware version"),
    (("site", "name"), "h q", "site.name is 'h q': a name has 1 to 64 of the characters"),
    (("version",), 2, "version is 2: it is not between 1 and 1"),
    (("transforms", 0, "encryption"), "AES-265",
     "transforms[p1].encryption is 'AES-265': it is no encryption algorithm. Write AES-256"),
    (("transforms", 0, "key_group"), True, "transforms[p1].key_group is True: it is no key group. Write one of 14, 15"),
    (("transforms", 0, "sa_life"), "24 parsecs",
     "transforms[p1].sa_life is '24 parsecs': 'parsecs' is no unit of time"),
    (("transforms", 0, "sa_life"), 0, "transforms[p1].sa_life is 0: it is not between 10s and 8760h"),
    (("proposals", 0, "force_key_expiration", "traffic"), "a lot",
     "proposals[p2].force_key_expiration.traffic is 'a lot': it is no amount of traffic"),
    (("gateways", 0, "endpoints"), [], "gateways[branch].endpoints is empty: at least one is required"),
    (("gateways", 0, "endpoints"), "192.0.2.1", "gateways[branch].endpoints is text: a list is needed here"),
    (("gateways", 0, "dead_peer_detection"), False, "gateways[branch].dead_peer_detection is yes or no: a mapping of"),
    (("gateways", 0, "nat_traversal"), {"enabled": "perhaps"},
     "gateways[branch].nat_traversal.enabled is 'perhaps': it is neither yes nor no"),
    (("gateways", 0, "endpoints", 0, "remote"), {"address": "dynamic"},
     "gateways[branch].endpoints[0].remote.identifier.type is missing"),
    (("gateways", 0, "endpoints", 0, "local", "identifier", "value"), "192.0.2.1",
     "gateways[branch].endpoints[0].local.identifier.value is '192.0.2.1': an address is an identifier of type"),
    (("tunnels", 0, "routes", 0, "local"), "10.1.0.9-10.1.0.1",
     "tunnels[lan].routes[0].local is '10.1.0.9-10.1.0.1': 10.1.0.9 comes after 10.1.0.1"),
    (("tunnels", 0, "routes", 0, "local"), "fe80::1%eth0", "tunnels[lan].routes[0].local is 'fe80::1%eth0': an address "
                                                           "with a scope means nothing to the peer"),
    (("tunnels", 0, "proposals"), [], "tunnels[lan].proposals is empty: at least one is required"),
    (("tunels",), [], "tunels is unknown: the fields here are version, site, policy, transforms, shared_transforms, "
                      "proposals, gateways, tunnels. Did you mean tunnels?"),
    (("policy",), "strickt", "policy is 'strickt': it is none of standard, strict. Write strict."),
    (("shared_transforms",), ["x"], "shared_transforms[0] is 'x': no transform of that name is declared. Write one of "
                                    "default, p1, or declare x."),
    (("gateways", 0, "transforms"), ["p9x"], "gateways[branch].transforms[0] is 'p9x': no transform of that name is "
                                             "declared. Write one of default, p1, or declare p9x."),
    (("tunnels", 0, "gateway"), "paris", "tunnels[lan].gateway is 'paris': no gateway of that name is declared. Write "
                                         "branch, or declare paris."),
    (("transforms", 0, "additional_key_exchange"), "ML-KEM-512",
     "transforms[p1].additional_key_exchange is 'ML-KEM-512': it is no additional key exchange. Write ML-KEM-1024."),
    (("gateways", 0, "credential", "certificate"), "MIIC",
     "gateways[branch].credential.certificate is set: method psk has no certificate. Remove certificate, or"),
])
def test_each_misfit_names_field_value_rule_and_fix(hq, path, value, message):
    at = hq
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert any(line.removeprefix("hq: ").startswith(message) for line in refused(hq)), refused(hq)


WEAK_GROUPS = "or, though weak, one of 1, 2, 5."
WEAK_ENCRYPTIONS = "or, though weak, one of DES, 3DES."


@pytest.mark.parametrize(("place", "value", "fix"), [
    ("tunnels.0.pfs.key_group", 22, f"Write one of 14, 15, 16, 19, 20, 21, 31, 32, {WEAK_GROUPS}"),
    ("tunnels.0.pfs.key_group", 3, f"Write one of 14, 15, 16, 19, 20, 21, 31, 32, {WEAK_GROUPS}"),
    ("transforms.0.key_group", "group 24", f"Write one of 14, 15, 16, 19, 20, 21, 31, 32, {WEAK_GROUPS}"),
    ("transforms.0.key_group", "modp1042", f"Write one of 14, 15, 16, 19, 20, 21, 31, 32, {WEAK_GROUPS}"),
    ("transforms.0.encryption", "AES-265", "Write AES-256."),
    ("transforms.0.encryption", "DES3", "Write one of AES-128, AES-192, AES-256, AES-GCM-128, AES-GCM-192, "
                                        f"AES-GCM-256, ChaCha20-Poly1305, {WEAK_ENCRYPTIONS}"),
    ("proposals.0.authentication", "SHA", "Write one of SHA2-256, SHA2-384, SHA2-512, or, though weak, one of MD5, "
                                          "SHA1."),
    ("proposals.0.authentication", "SHA2-265", "Write SHA2-256."),
])
def test_what_is_weak_is_never_what_somebody_is_told_to_write(hq, place, value, fix):
    *way, last = place.split(".")
    at = hq
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    at[last] = value
    [message] = refused(hq)
    assert message.endswith(f". {fix}"), message


def test_of_many_that_are_declared_the_first_are_named(hq):
    hq["transforms"] += [{"name": f"other{number}"} for number in range(12)]
    hq["gateways"][0]["transforms"] = ["x"]
    [message] = refused(hq)
    assert message.endswith("Write one of default, p1, other0, other1, other2, other3, other4, other5, other6, other7, "
                            "..., or declare x.")


def test_a_name_stands_only_once(hq):
    hq["tunnels"].append(copy.deepcopy(hq["tunnels"][0]))
    assert refused(hq) == [
        "hq: tunnels[lan] is declared twice: names are unique in their list. Rename one of the two."]


@pytest.mark.parametrize(("place", "path"), [
    (("gateways", 0, "transforms"), "gateways[branch].transforms"),
    (("tunnels", 0, "proposals"), "tunnels[lan].proposals"),
    (("shared_transforms",), "shared_transforms")])
def test_what_a_list_refers_to_stands_there_once(hq, place, path):
    *way, last = place
    at = hq
    for step in way:
        at = at[step]
    name = "p2" if last == "proposals" else "p1"
    at[last] = [name, "default", name]
    assert refused(hq) == [f"hq: {path}[2] is '{name}': each stands there once. Remove one of the two."]


@pytest.mark.parametrize("credential", [
    MARKER, [MARKER], {"method": MARKER}, {"method": "psk", "psk": [MARKER]},
    {"method": "psk", "psk": {MARKER: MARKER}},
    {"method": "psk", f"psk:{MARKER}": None}, {"method": "psk", "pks": MARKER}, {MARKER: "psk"},
    {"method": "hex-psk", "psk": MARKER}, {"method": "certificate", "psk": MARKER},
    {"method": "psk", "psk": f"{MARKER}\udc80"}, {"method": {"psk": MARKER}},
    {"method": "psk", "ppk": MARKER}, {"method": "psk", "ppk": {"id": "a", "key": MARKER}, "ppk_key": "0x"},
    {"method": "psk", "ppk": {"id": "a", "required": MARKER}}, {"method": "psk", "ppk_key": MARKER},
    {"method": "psk", "ppk": {"id": "a"}, "ppk_key": [MARKER]},
    {"method": "psk", "ppk": {"id": "a"}, "ppk_key": f"0x{MARKER}"},
])
def test_no_refusal_ever_quotes_a_secret(hq, credential):
    hq["gateways"][0]["credential"] = credential
    with pytest.raises(declaration.DeclarationError) as caught:
        declaration.read(hq)
    findings = caught.value.findings
    judgement = report.Judgement(findings, 1, None)
    for text in (str(caught.value), repr(caught.value), repr(findings),
                 *(report.render(form, judgement) for form in report.FORMATS)):
        assert MARKER not in text


@pytest.mark.parametrize("key", [f"psk:{MARKER}", f"psk {MARKER}", f"psk={MARKER}", f"{MARKER}:psk", (MARKER,), 31337])
@pytest.mark.parametrize("place", [(), ("site",), ("transforms", 0), ("gateways", 0), ("gateways", 0, "endpoints", 0),
                                   ("tunnels", 0), ("tunnels", 0, "routes", 0)])
def test_what_does_not_look_like_a_field_is_not_quoted(hq, place, key):
    at = hq
    for step in place:
        at = at[step]
    at[key] = None
    (said,) = refused(hq)
    assert f"has an unknown field, number {len(at)}: the fields here are " in said
    assert MARKER not in said and "31337" not in said


@pytest.mark.parametrize(("place", "key", "fix"), [
    ("gateways", f"psk:{MARKER}", "Remove the field that is none of them, or put a space after its colon."),
    ("gateways", "ike_version:2", "Did you mean ike_version? Write ike_version, or put a space after its colon."),
    ("gateways", "ike version", "Did you mean ike_version? Write ike_version."),
    ("transforms", "encripton", "Did you mean encryption? Write encryption or remove it."),
    ("transforms", "colour", "Remove 'colour'."),
])
def test_what_is_no_field_draws_the_nearest_one(hq, place, key, fix):
    hq[place][0][key] = None
    (said,) = refused(hq)
    assert said.endswith(fix)


@pytest.mark.parametrize("word", ["preshared_key", "pre_shared_key", "pre-shared-key", "presharedkey", "PreSharedKey",
                                  "shared_secret", "key", "secret", "pks"])
def test_a_pre_shared_key_by_another_name_draws_its_own(hq, word):
    hq["gateways"][0]["credential"] = {"method": "psk", word: MARKER}
    (said,) = refused(hq)
    assert said.endswith("Did you mean psk? Write psk.")


@pytest.mark.parametrize("kept", [MARKER, {"method": "psk", "psk": 5, MARKER: MARKER}, {"method": MARKER}])
def test_no_refusal_of_the_secrets_file_quotes_one(hq, kept):
    written, secrets = declaration.write(declaration.read(hq))
    secrets["gateways"]["branch"] = kept
    assert MARKER not in "".join(refused(written, secrets=secrets))


@pytest.mark.parametrize("method", ["psk", "hex-psk"])
def test_no_value_and_no_finding_shows_a_secret(hq, branch, method):
    key = MARKER if method == "psk" else MARKER.encode().hex()
    hq["gateways"][0]["credential"] = {"method": method, "psk": key}
    side = declaration.read(hq)
    validation = rules.validate([side, declaration.read(branch)])
    assert validation.errors
    judgement = report.Judgement(validation.findings, 2, validation.pairs)
    shown = "".join((repr(side), str(side), repr(validation), json.dumps(declaration.write(side)[0]),
                     *(report.render(form, judgement) for form in report.FORMATS)))
    for form in (MARKER, MARKER.encode().hex(), repr(MARKER.encode())):
        assert form not in shown


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_what_is_no_mapping_is_refused(data):
    assert "a mapping of fields is needed here" in refused(data)[0]


ODD = (None, True, 0, -1, 10**30, 1.5, float("nan"), "", "dynamic", "none", [], {}, [[]], {1: 2}, {None: None}, (1,),
       b"x", "\x00", "\ud800", "10.0.0.0/8-", "::/0", "a@b", "CN=", object(), "AH", "certificate", 1, "1")


def places(data):
    """Every container and key of nested plain data."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def test_whatever_stands_anywhere_is_read_and_survives_or_is_refused(hq):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(1500):
        data = copy.deepcopy(hq)
        container, key = draw.choice(list(places(data)))
        container[key] = copy.copy(draw.choice(ODD))
        try:
            side = declaration.read(data)
        except declaration.DeclarationError as error:
            assert error.findings
            continue
        written, secrets = declaration.write(side)
        known = all(gateway.credential.secret for gateway in side.gateways)
        assert declaration.read(written, secrets=secrets if known else None) == side
        rules.validate([side])
