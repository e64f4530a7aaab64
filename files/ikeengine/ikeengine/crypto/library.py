# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the releases of ``cryptography`` that we run with (38 of Debian 12, and the pinned one)."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm as BackendLacks

try:
    from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
except ImportError:
    #: RSA signatures of bare octets (from release 47 on).
    NoDigestInfo = None  # type: ignore[assignment,misc]

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

# Newer releases announce on import that finite-field groups will go one day: news for us, not for our users.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric.dh import DHParameterNumbers, DHParameters, DHPublicNumbers


def unix_time(holder: object, attribute: str) -> float | None:
    """A time of a certificate or a revocation list; older releases give it without its zone, which is UTC."""
    newer = f"{attribute}_utc"
    time: datetime | None = getattr(holder, newer if hasattr(holder, newer) else attribute)
    return None if time is None else time.replace(tzinfo=UTC).timestamp()


MLKEM_PRIVATE_KEYS: dict[str, type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]] = {}
MLKEM_PUBLIC_KEYS: dict[str, type[mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey]] = {}
"""By the names of our table; empty where the release is older than ML-KEM."""

try:
    from cryptography.hazmat.primitives.asymmetric import mlkem
except ImportError:
    pass
else:
    MLKEM_PRIVATE_KEYS |= {"ML-KEM-768": mlkem.MLKEM768PrivateKey, "ML-KEM-1024": mlkem.MLKEM1024PrivateKey}
    MLKEM_PUBLIC_KEYS |= {"ML-KEM-768": mlkem.MLKEM768PublicKey, "ML-KEM-1024": mlkem.MLKEM1024PublicKey}

__all__ = ["MLKEM_PRIVATE_KEYS", "MLKEM_PUBLIC_KEYS", "BackendLacks", "DHParameterNumbers", "DHParameters",
           "DHPublicNumbers", "NoDigestInfo", "TripleDES", "unix_time"]
