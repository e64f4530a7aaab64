#!/bin/sh
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Install what is missing of the packages that the given lists name, and start none of their services.
# usage: install-system-packages.sh LIST...
set -eu
missing=
packages=$(sed 's/#.*//' "$@")
for package in $packages; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "Installing:$missing"

# What the machine itself runs is not changed: the daemons of these packages only run in test beds.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=120 update
# shellcheck disable=SC2086
apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing
for package in $missing; do
    case $package in
    openssh-server) systemctl disable --quiet ssh.service ;;
    charon-systemd) systemctl disable --quiet strongswan.service ;;
    bird2) systemctl disable --quiet bird.service ;;
    esac
done
