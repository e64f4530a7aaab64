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
mount -t proc proc /proc
mount -t tmpfs layers /mnt
mkdir -p /mnt/upper /mnt/work /mnt/root /mnt/modules/lib/modules
ln -s "$MODULES" "/mnt/modules/lib/modules/$(uname -r)"
modprobe -d /mnt/modules overlay
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root || exit
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
# Not tmp: the checkout may be in there.
for folder in run dev/shm; do mount -t tmpfs tmpfs $folder; done
chmod 1777 dev/shm
mkdir -p run/results run/netns lib/modules
ln -s "$MODULES" "lib/modules/$(uname -r)"
mount -t hostfs -o "$FOLDER/results" hostfs run/results
cp "$FOLDER/script" run/script
mkdir .lower
pivot_root . .lower
umount -l /.lower
rmdir /.lower
cd "$WORK" || cd /
ip link set lo up
for module in esp4 ah4 xfrm_user xfrm4_tunnel gcm cbc ctr authenc seqiv echainiv hmac sha256_generic \
    sha512_generic tun veth; do
    modprobe "$module" || echo "no module $module"
done
RESULTS=/run/results bash /run/script > /run/results/output 2>&1
echo $? > /run/results/exit_status
sync
echo o > /proc/sysrq-trigger
sleep 60
