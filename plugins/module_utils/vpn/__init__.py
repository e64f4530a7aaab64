# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domain: what operators declare, and the rules that hold between two ends.

Pure: no Ansible, no I/O, no clock. The daemon ships a copy of this package as ``ikeengine.vpn``.
"""
