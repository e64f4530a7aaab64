#!/bin/sh
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What the inits of all virtual machines do.
# shellcheck disable=SC2034,SC2153
# The kernel hands WORK (the working directory) over in the environment.

# Where in a root that is to be everything of a running system belongs.
furnish() {
    cd "$1" || exit
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t devtmpfs devtmpfs dev
    mkdir -p dev/pts dev/shm
    mount -t devpts devpts dev/pts
    # Not tmp: the checkout may be in there.
    for folder in run dev/shm; do mount -t tmpfs tmpfs $folder; done
    chmod 1777 dev/shm
    mkdir -p run/results run/netns lib/modules
}

# Run /run/script with the modules that it may need, and keep how it went.
run_script() {
    cd "$WORK" || cd /
    ip link set lo up
    for module in esp4 ah4 xfrm_user xfrm4_tunnel gcm cbc ctr authenc seqiv echainiv hmac sha256_generic \
        sha512_generic tun veth; do
        modprobe "$module" || echo "no module $module"
    done
    RESULTS=/run/results bash /run/script > /run/results/output 2>&1
    echo $? > /run/results/exit_status
    sync
}
