# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on a host, and what the control protocol takes: what daemon and ikectl must agree on."""

DIRECTORY = "/etc/ikeengine"
DECLARATION = "declaration.json"
SECRETS = "secrets.json"
RUNTIME_DIRECTORY = "/run/ikeengine"
CONTROL_SOCKET = "control.sock"
CONTROL_VERSION = 1
LONGEST_TIMEOUT = 3600.0
"""Seconds that up and rekey may be told to wait."""
