# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on post-quantum pre-shared keys."""

from .case import IKEV1, KEY, REMOVED, Case

HQ, BRANCH = "hq gateways.0.credential", "branch gateways.0.credential"
BOTH = {"both gateways.0.credential.ppk": {"id": "qkd-1"}, "both gateways.0.credential.ppk_key": KEY}
OPTIONAL = {**BOTH, "both gateways.0.credential.ppk": {"id": "qkd-1", "required": False}}

CASES = (
    Case("ppk-needs-ikev2", {**BOTH, **IKEV1},
         "gateway hq/branch: post-quantum pre-shared key: hq has one: IKEv1 mixes its pre-shared key into all others "
         "already. Set gateways[branch].ike_version to 2 at both ends, with no mode, or remove "
         "gateways[branch].credential.ppk.",
         "gateways[branch].credential.ppk", "", (BOTH,)),
    Case("ppk-missing", {**BOTH, f"{HQ}.ppk_key": REMOVED},
         "gateway hq/branch: post-quantum pre-shared key: hq declares qkd-1 without its key: an identity only names a "
         "key. Set gateways[branch].credential.ppk_key.",
         "gateways[branch].credential.ppk_key", "", (BOTH,)),
    Case("ppk-short", {**BOTH, f"{HQ}.ppk_key": "0x" + "ab" * 31},
         "gateway hq/branch: post-quantum pre-shared key: hq's has fewer than 32 octets: a quantum computer halves the "
         "bits that guessing a key takes. Set a random key of 32 octets or more.",
         "gateways[branch].credential.ppk_key", "", (BOTH, {**BOTH, f"{HQ}.ppk_key": "0x" + "ab" * 32})),
    Case("appliance-ppk", {**BOTH, "hq site": {"name": "hq", "platform": "Firebox T45"}},
         "gateway hq/branch: post-quantum pre-shared key: it is qkd-1, hq's platform is Firebox T45: Fireware does not "
         "have it. Remove gateways[branch].credential.ppk at both ends.",
         "gateways[branch].credential.ppk", "site.platform",
         ({"hq site": {"name": "hq", "platform": "Firebox T45"}},
          {**BOTH, "hq site": {"name": "hq", "platform": "ISR 4331"}})),
    Case("ppk-identity-differs", {f"{HQ}.ppk": {"id": "qkd-1"}, f"{HQ}.ppk_key": KEY},
         "gateway hq<->branch: post-quantum pre-shared key: hq requires qkd-1, branch has none: who requires it takes "
         "no peer without the same one; the peers would answer AUTHENTICATION_FAILED. Set the same ppk.id and ppk_key "
         "in gateways[branch].credential of hq and gateways[hq].credential of branch, or remove ppk from both.",
         "gateways[branch].credential.ppk", "gateways[hq].credential.ppk",
         (BOTH, {f"{HQ}.ppk": {"id": "qkd-1", "required": False}, f"{HQ}.ppk_key": KEY})),
    Case("ppk-identity-differs", {**OPTIONAL, f"{BRANCH}.ppk": {"id": "qkd-2", "required": True}},
         "gateway hq<->branch: post-quantum pre-shared key: hq has qkd-1, branch requires qkd-2: who requires it takes "
         "no peer without the same one; the peers would answer AUTHENTICATION_FAILED. Set the same ppk.id and ppk_key "
         "in gateways[branch].credential of hq and gateways[hq].credential of branch, or remove ppk from both.",
         "gateways[branch].credential.ppk", "gateways[hq].credential.ppk",
         ({**OPTIONAL, f"{BRANCH}.ppk.required": True}, {**OPTIONAL, f"{BRANCH}.ppk.id": "qkd-2"},
          {**BOTH, **IKEV1, f"{BRANCH}.ppk.id": "qkd-2"})),
    Case("ppk-unused", {f"{HQ}.ppk": {"id": "qkd-1", "required": False}, f"{HQ}.ppk_key": KEY},
         "gateway hq<->branch: post-quantum pre-shared key: hq has qkd-1, branch has none: the tunnels come up without "
         "it, open to a quantum computer that comes later. Set the same ppk.id and ppk_key in "
         "gateways[branch].credential of hq and gateways[hq].credential of branch, or remove ppk from both.",
         "gateways[branch].credential.ppk", "gateways[hq].credential.ppk",
         (OPTIONAL, {f"{HQ}.ppk": {"id": "qkd-1"}, f"{HQ}.ppk_key": KEY})),
    Case("ppk-differs", {**OPTIONAL, f"{BRANCH}.ppk_key": "another-planted-marker-of-more-than-32-octets"},
         "gateway hq<->branch: post-quantum pre-shared key: hq has one under qkd-1, branch has another: the keys must "
         "be equal; the peers would answer AUTHENTICATION_FAILED. Set the same ppk_key in gateways[branch].credential "
         "of hq and gateways[hq].credential of branch.",
         "gateways[branch].credential.ppk_key", "gateways[hq].credential.ppk_key",
         (OPTIONAL, {**OPTIONAL, f"{BRANCH}.ppk_key": "0x" + KEY.encode().hex()},
          {**OPTIONAL, f"{BRANCH}.ppk_key": "another-planted-marker-of-more-than-32-octets", f"{BRANCH}.ppk.id": "x"})),
)
