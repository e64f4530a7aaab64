# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, kernels and peers on one Debian machine, for the demo, the tests and molecule.

Standard library only: it also has to run before any virtual environment exists.

==============  ==================================================================================
requirements    what the machine must offer, said before anything is changed
network         network namespaces and their links
host            a whole host: systemd (or sshd) as PID 1 over the machine's own packages
topology        beds of hosts and networks; the site-to-site bed
capture         what really travelled over a link, counted
strongswan      the reference peer, one daemon per namespace
uml             a second kernel, with ESP, in User-Mode Linux
demo            what ``make demo`` runs
==============  ==================================================================================
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / "build" / "testbed"
