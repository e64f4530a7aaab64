# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of ISAKMP and of its IPsec domain of interpretation: RFC 2407, RFC 2408, RFC 2409 and IANA's registries.

Algorithms are not here: the table of algorithms has their numbers.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

IPSEC_DOI = 1
KNOWN_DOIS = (0, IPSEC_DOI)
"""0 is ISAKMP's own, for what concerns no other protocol (RFC 2408 §3.14)."""
SITUATION_IDENTITY_ONLY = 1


class PayloadType(IntEnum):
    """RFC 2408 §3.1, RFC 3947 §3.2; the drafts before it had numbers of their own, as fragments still have."""

    NONE = 0
    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KE = 4
    ID = 5
    CERT = 6
    CERTREQ = 7
    HASH = 8
    SIG = 9
    NONCE = 10
    NOTIFY = 11
    DELETE = 12
    VENDOR_ID = 13
    NAT_D = 20
    NAT_OA = 21
    NAT_D_DRAFT = 130
    NAT_OA_DRAFT = 131
    FRAGMENT = 132


class ExchangeType(IntEnum):
    """RFC 2408 §3.1, RFC 2409 appendix A. Main Mode is the Identity Protection exchange."""

    MAIN = 2
    AGGRESSIVE = 4
    INFORMATIONAL = 5
    QUICK = 32


class HeaderFlag(IntFlag):
    """RFC 2408 §3.1."""

    ENCRYPTION = 0x01
    COMMIT = 0x02
    AUTHENTICATION_ONLY = 0x04


class ProtocolId(IntEnum):
    """RFC 2407 §4.4.1. AH and ESP have the numbers of IKEv2."""

    ISAKMP = 1
    AH = 2
    ESP = 3


class IkeAttribute(IntEnum):
    """Of a Phase 1 transform (RFC 2409 appendix A)."""

    ENCRYPTION = 1
    HASH = 2
    AUTHENTICATION_METHOD = 3
    GROUP = 4
    GROUP_TYPE = 5
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    PRF = 13
    KEY_LENGTH = 14


class IpsecAttribute(IntEnum):
    """Of a Phase 2 transform (RFC 2407 §4.5)."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP = 3
    ENCAPSULATION_MODE = 4
    AUTHENTICATION = 5
    KEY_LENGTH = 6


class LifeType(IntEnum):
    """The same in both phases."""

    SECONDS = 1
    KILOBYTES = 2


class AuthenticationMethod(IntEnum):
    """RFC 2409 appendix A, RFC 4754 §4."""

    PRE_SHARED_KEY = 1
    RSA_SIGNATURE = 3
    ECDSA_SHA2_256_P256 = 9
    ECDSA_SHA2_384_P384 = 10
    ECDSA_SHA2_512_P521 = 11


class EncapsulationMode(IntEnum):
    """RFC 2407 §4.5, RFC 3947 §5.1; the last is what its drafts had."""

    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TUNNEL_DRAFT = 61443


KEY_IKE = 1
"""The only transform of Phase 1 (RFC 2407 §4.4.2)."""


class IdType(IntEnum):
    """RFC 2407 §4.6.2.1."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11


class CertificateEncoding(IntEnum):
    """RFC 2408 §3.9, those that we take."""

    PKCS7_WRAPPED_X509 = 1
    X509_SIGNATURE = 4
    CERTIFICATE_REVOCATION_LIST = 7


class NotifyType(IntEnum):
    """RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.2; below 16384 they report errors.

    KEEP_ALIVE, its answer and DELETED are of the private range, between two ends that showed our vendor ids.
    """

    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30

    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137
    KEEP_ALIVE = 37411
    KEEP_ALIVE_ACK = 37412
    DELETED = 37413
