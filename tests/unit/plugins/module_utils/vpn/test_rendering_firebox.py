# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to enter in a Firebox, in the words and the order of its pages."""

import pytest
from ikeengine.vpn import algorithms, declaration, model
from ikeengine.vpn.rendering import firebox

from .test_declaration import CERTIFICATE


@pytest.fixture
def box(hq):
    hq["site"] = {"name": "hq", "platform": "Firebox T45", "firmware": "12.10"}
    return hq


def sheet(data):
    return firebox.render(declaration.read(data)).files["firebox.md"]


def test_a_gateway_and_its_tunnel_field_by_field(box):
    assert sheet(box) == """\
# hq: what to enter

Every value is one of the Firebox's own fields, in the order of its pages. Keys stand in a file of their own.

## VPN > Branch Office VPN > Gateways: branch

### General Settings

| Field | Value |
|---|---|
| Gateway Name | branch |
| Address Family | IPv4 Addresses |
| Credential Method | Use Pre-Shared Key, String-Based (in firebox-keys.txt) |
| Gateway Endpoint: Local Gateway, External Interface, Interface IP Address | 192.0.2.1 |
| Gateway Endpoint: Local Gateway, Specify the gateway ID for tunnel authentication | By Domain Name: hq.example |
| Gateway Endpoint: Remote Gateway, Static IP Address | 198.51.100.1 |
| Gateway Endpoint: Remote Gateway, Specify the gateway ID for tunnel authentication | By Domain Name: branch.example |
| Start Phase 1 tunnel when Firebox starts | selected |

### Phase 1 Settings

| Field | Value |
|---|---|
| Version | IKEv2 |
| NAT Traversal, Keep-alive Interval | 20 seconds |
| Dead Peer Detection, Type | Traffic-Based |
| Dead Peer Detection, Traffic idle timeout | 20 seconds |
| Dead Peer Detection, Max retries | 5 |
| Transform Settings 1, Authentication | SHA2-256 |
| Transform Settings 1, Encryption | AES (256-bit) |
| Transform Settings 1, SA Life | 24 hours |
| Transform Settings 1, Key Group | Diffie-Hellman Group 14 |

## VPN > Branch Office VPN > Tunnels: lan

### Addresses

| Field | Value |
|---|---|
| Name | lan |
| Gateway | branch |

| Local IP | Remote IP | Direction |
|---|---|---|
| Network IPv4: 10.1.0.0/24 | Network IPv4: 10.2.0.0/24 | bi-directional (<===>) |

### Phase 2 Settings

| Field | Value |
|---|---|
| Enable Perfect Forward Secrecy | selected |
| Perfect Forward Secrecy, Diffie-Hellman group | Diffie-Hellman Group 14 |
| IPSec Proposals 1, Name | p2 |
| IPSec Proposals 1, Type | ESP (Encapsulating Security Payload) |
| IPSec Proposals 1, Authentication | SHA2-256 |
| IPSec Proposals 1, Encryption | AES (256-bit) |
| IPSec Proposals 1, Force Key Expiration, Time | 8 hours |
| IPSec Proposals 1, Force Key Expiration, Traffic | 128000 kilobytes |
"""


def test_the_key_is_in_a_file_of_its_own(box):
    psk = box["gateways"][0]["credential"]["psk"]
    rendering = firebox.render(declaration.read(box))
    assert rendering.secrets == {"firebox-keys.txt": f"branch: {psk}\n"}
    assert psk not in str(rendering.files) + repr(rendering)
    box["gateways"][0]["credential"] = {"method": "hex-psk", "psk": "0xC0FFEE"}
    assert firebox.render(declaration.read(box)).secrets == {"firebox-keys.txt": "branch: c0ffee\n"}


def test_ikev1_has_its_own_fields(box):
    box["gateways"][0].update(
        ike_version=1, mode="main-fallback-aggressive", start="traffic", nat_traversal={"enabled": False},
        ike_keep_alive={"enabled": True}, dead_peer_detection={"enabled": False})
    text = sheet(box)
    for row in ("| Version | IKEv1 |", "| Mode | Main fallback to Aggressive |", "| NAT Traversal | cleared |",
                "| IKE Keep-alive | selected |", "| IKE Keep-alive, Message Interval | 30 seconds |",
                "| IKE Keep-alive, Max failures | 5 |", "| Dead Peer Detection (RFC3706) | cleared |",
                "| Start Phase 1 tunnel when Firebox starts | cleared |"):
        assert row in text
    assert "Traffic idle timeout" not in text


def test_several_endpoint_pairs_are_numbered_and_a_dynamic_peer_shares_its_transforms(box):
    user = {"type": "domain-information", "value": "gw@branch.example"}
    box["gateways"][0]["endpoints"] = [
        {"local": {"address": "192.0.2.1"}, "remote": {"address": "dynamic", "identifier": user}},
        {"local": {"address": "192.0.2.129"}, "remote": {"address": "dynamic", "identifier": user}}]
    text = sheet(box)
    assert text.index("## VPN > IKEv2 Shared Settings") < text.index("## VPN > Branch Office VPN")
    assert text.count("Keep-alive Interval") == text.count("Diffie-Hellman Group 14 |\n\n## VPN > Branch") == 1
    for row in ("| Gateway Endpoint 2: Local Gateway, External Interface, Interface IP Address | 192.0.2.129 |",
                "| Gateway Endpoint 1: Remote Gateway, Dynamic IP Address | selected |",
                "| By User ID on Domain: gw@branch.example |",
                "| NAT Traversal, Transform Settings | the IKEv2 Shared Settings |"):
        assert row in text


def test_routes_of_every_kind_and_direction(box):
    box["tunnels"][0]["routes"] = [
        {"local": "10.1.0.1", "remote": "10.2.0.5-10.2.0.9", "direction": "local-to-remote"},
        {"local": "fd00:1::/64", "remote": "fd00:2::/64", "direction": "remote-to-local"}]
    text = sheet(box)
    assert "| Host IPv4: 10.1.0.1 | Host Range IPv4: 10.2.0.5-10.2.0.9 | Local to Remote (===>) |" in text
    assert "| Network IPv6: fd00:1::/64 | Network IPv6: fd00:2::/64 | Remote to Local (<===) |" in text


def test_a_virtual_interface_has_pages_of_its_own(box):
    box["tunnels"][0]["interface"] = {"name": "bvpn1", "addresses": ["169.254.0.1/30"], "metric": 7}
    text = sheet(box)
    for row in ("## VPN > BOVPN Virtual Interfaces: bvpn1", "| Interface Name | bvpn1 |",
                "| Network IPv4: 10.2.0.0/24 | 7 |",
                "| Assign virtual interface IP addresses, Local IP address | 169.254.0.1 |",
                "| Assign virtual interface IP addresses, Peer IP address or netmask | 255.255.255.252 |"):
        assert row in text
    order = [text.index(f"### {tab}") for tab in ("Gateway Settings", "VPN Routes", "Phase 1 Settings",
                                                  "Phase 2 Settings")]
    assert order == sorted(order)
    assert "Branch Office VPN" not in text and "Gateway Name" not in text


def test_a_gateway_with_tunnels_of_both_kinds_has_pages_of_both(box):
    box["tunnels"].append({"name": "routed", "gateway": "branch", "interface": {"name": "bvpn1"}})
    text = sheet(box)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## VPN > Branch Office VPN > Gateways: branch", "## VPN > Branch Office VPN > Tunnels: lan",
        "## VPN > BOVPN Virtual Interfaces: bvpn1"]
    assert text.count("### Phase 1 Settings") == 2 and "Route To" not in text


def test_certificates_are_files_to_import(box):
    box["gateways"][0]["credential"] = CERTIFICATE
    rendering = firebox.render(declaration.read(box))
    assert sorted(rendering.files) == [
        "certificates/branch-ca-1.pem", "certificates/branch-ca-2.pem", "certificates/branch-chain-1.pem",
        "certificates/branch-crl-1.pem", "certificates/branch.pem", "firebox.md"]
    assert list(rendering.secrets) == ["private/branch.pem"]
    assert ("| Credential Method | Use IPSec Firebox Certificate (import certificates/branch.pem, "
            in rendering.files["firebox.md"])
    assert "PRIVATE KEY" not in str(rendering.files)


def test_a_key_that_cannot_be_typed_is_named_and_shown_by_its_octets(box):
    psk = "two lines\nof a key that is long"
    box["gateways"][0]["credential"]["psk"] = psk
    rendering = firebox.render(declaration.read(box))
    assert rendering.secrets == {
        "firebox-keys.txt": f"branch: cannot be typed; its octets are 0x{psk.encode().hex()}\n"}
    assert "| no such setting | a string-based key with line breaks or control characters" in rendering.files[
        "firebox.md"]


@pytest.mark.parametrize(("seconds", "words"), [
    (86400, "24 hours"), (5400, "90 minutes"), (60, "1 minutes"), (90, "no such setting: 90 seconds")])
def test_times_in_the_units_that_the_pages_have(seconds, words):
    assert firebox.duration(seconds) == words


def test_what_fireware_has_no_field_for_is_named(box):
    box["transforms"][0].update(key_group=31, additional_key_exchange="ML-KEM-768", encryption="ChaCha20-Poly1305")
    box["tunnels"][0]["pfs"] = {"key_group": 16}
    box["gateways"][0]["start"] = "answer"
    text = sheet(box)
    assert "| no such setting | additional key exchange ML-KEM-768 |" in text
    assert "| no such setting | to answer and never to initiate |" in text
    assert "Encryption | no such setting: ChaCha20-Poly1305 |" in text
    assert "Key Group | no such setting: Diffie-Hellman Group 31 |" in text
    assert "group | no such setting: Diffie-Hellman Group 16 |" in text


def test_every_value_has_its_words():
    assert set(firebox.CREDENTIAL) == set(model.CredentialMethod) and set(firebox.MODE) == set(model.Mode)
    assert set(firebox.IDENTITY) == set(model.IdentityKind) and set(firebox.DIRECTION) == set(model.Direction)
    words = [firebox.encryption(row) for row in algorithms.ENCRYPTIONS]
    assert words == ["DES", "3DES", "AES (128-bit)", "AES (192-bit)", "AES (256-bit)", "AES-GCM (128-bit)",
                     "AES-GCM (192-bit)", "AES-GCM (256-bit)", "no such setting: ChaCha20-Poly1305"]
    for row, word in zip(algorithms.ENCRYPTIONS, words, strict=True):
        assert algorithms.encryption(word.removeprefix("no such setting: ")) is row
    assert [row.number for row in algorithms.KEY_GROUPS if "no such" in firebox.group(row)] == [16, 31, 32]
