#!/bin/sh
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PID 1 of the User-Mode Linux machine. Its root is this machine's, read-only, with a layer in memory over it.
# shellcheck disable=SC2153
# The kernel hands FOLDER (script, results/), MODULES and WORK (the working directory) over in the environment.
PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PATH HOME LANG
# shellcheck source=tests/testbed/machine.sh
. "$WORK/tests/testbed/machine.sh"
mount -t proc proc /proc
mount -t tmpfs layers /mnt
mkdir -p /mnt/upper /mnt/work /mnt/root /mnt/modules/lib/modules
ln -s "$MODULES" "/mnt/modules/lib/modules/$(uname -r)"
modprobe -d /mnt/modules overlay
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
furnish /mnt/root
ln -s "$MODULES" "lib/modules/$(uname -r)"
mount -t hostfs -o "$FOLDER/results" hostfs run/results
cp "$FOLDER/script" run/script
mkdir .lower
pivot_root . .lower
umount -l /.lower
rmdir /.lower
run_script
echo o > /proc/sysrq-trigger
sleep 60
