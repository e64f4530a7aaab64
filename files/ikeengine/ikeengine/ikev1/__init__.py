# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 (RFC 2407 to 2409) as sans-I/O sessions: datagrams and time go in, datagrams and events come out."""
