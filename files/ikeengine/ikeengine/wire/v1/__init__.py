# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 on the wire (RFC 2407, RFC 2408, RFC 2409, RFC 3947): ISAKMP messages and payloads, one file each."""
