#!/bin/sh
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PID 1 of the virtual machine of qemu. Its root is this machine's, read-only, with a layer in memory over it.
# shellcheck disable=SC2153
# The kernel hands MODULES and WORK (the working directory) over in the environment; 9p shares `folder` (script,
# results/).
PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PATH HOME LANG
# shellcheck source=tests/testbed/machine.sh
. "$WORK/tests/testbed/machine.sh"
furnish /
ln -sfn "$MODULES" "/lib/modules/$(uname -r)"
mkdir -p /run/folder
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 folder /run/folder
mount --bind /run/folder/results /run/results
cp /run/folder/script /run/script
run_script
echo b > /proc/sysrq-trigger
sleep 60
