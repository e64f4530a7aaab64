# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the releases of ``cryptography`` that we run with (38 of Debian 12, and the pinned one)."""

from __future__ import annotations

import warnings

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

# Newer releases announce on import that finite-field groups will go one day: news for us, not for our users.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric.dh import DHParameterNumbers, DHParameters, DHPublicNumbers

__all__ = ["DHParameterNumbers", "DHParameters", "DHPublicNumbers", "TripleDES"]
