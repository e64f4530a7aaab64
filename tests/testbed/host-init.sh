#!/bin/sh
# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The first steps of a host's PID 1: build its root, enter it, become its init.
# usage: host-init.sh FOLDER CGROUP NAME systemd|sshd
# FOLDER holds ssh_host_ed25519_key and authorized_keys, an empty folder mnt, and receives the file pid.
set -eu
folder=$1 cgroup=$2 name=$3 init=$4

if [ "${IN_CGROUP:-no}" = no ]; then
    # /proc is still the machine's, so this is the host's PID as the machine sees it.
    read -r pid _ < /proc/self/stat
    echo "$pid" > "$folder/pid.new"
    mv "$folder/pid.new" "$folder/pid"
    echo 0 > "$cgroup/cgroup.procs"
    IN_CGROUP=yes exec unshare --cgroup -- /bin/sh "$0" "$@"
fi

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 022
mount -t tmpfs -o mode=755 host "$folder/mnt"
cd "$folder/mnt"
mkdir layers root
mount -t tmpfs -o mode=755 root root

# Of the machine, a host has the packages and nothing else: no home, no /opt, no /srv, no checkout.
layer() {
    [ -d "/$1" ] || return 0
    work=layers/$(echo "$1" | tr / -)
    mkdir -p "root/$1" "$work/upper" "$work/work"
    mount -t overlay -o "lowerdir=/$1,upperdir=$work/upper,workdir=$work/work" overlay "root/$1"
}
for part in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$part" ]; then cp -d "/$part" root/; else layer $part; fi
done
for part in usr etc var/lib/dpkg var/lib/apt var/cache/apt var/cache/debconf; do layer $part; done

cd root
mkdir -p boot dev home media mnt opt proc root run srv sys tmp var/backups var/cache var/lib var/local var/log \
    var/mail var/opt var/spool var/tmp
chmod 700 root
chmod 1777 tmp var/tmp
ln -s /run var/run
ln -s /run/lock var/lock
mount -t tmpfs -o mode=755 local usr/local
mkdir -p usr/local/bin usr/local/etc usr/local/lib usr/local/sbin usr/local/share

# Not the machine's secrets, mounts and services, nor a daemon that it may itself run.
rm -rf etc/fstab etc/ikeengine etc/ipsec.secrets etc/pip.conf etc/apt/auth.conf etc/apt/auth.conf.d \
    etc/ssh etc/ssl/private etc/swanctl/private etc/systemd/system etc/sysctl.d etc/cron.d
for file in passwd group shadow gshadow; do sed -i '/^ikeengine:/d' etc/$file; done
sed -i 's/^\([^:]*\):[^:]*:/\1:*:/' etc/shadow
echo "$name" > etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > etc/hosts
rm -f etc/resolv.conf
: > etc/resolv.conf
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
echo "$name" > /proc/sys/kernel/hostname

mkdir -p etc/ssh root/.ssh
chmod 700 root/.ssh
cp "$folder/authorized_keys" root/.ssh/
cp "$folder/ssh_host_ed25519_key" etc/ssh/
chmod 600 root/.ssh/authorized_keys etc/ssh/ssh_host_ed25519_key
cat > etc/ssh/sshd_config <<'SSHD'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
MaxSessions 100
SetEnv LANG=C.UTF-8
Subsystem sftp internal-sftp
SSHD

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm dev/net
for device in null zero full random urandom tty; do
    : > dev/$device
    mount --bind /dev/$device dev/$device
done
# As the kernel makes it: no udev runs in here to open it to others than root.
mknod -m 600 dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

if [ "$init" = systemd ]; then
    # What would reach for the machine's own hardware, kernel or clock, or set up networks that stand already.
    mkdir -p etc/systemd/system/multi-user.target.wants
    for unit in getty.target systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
        systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-logind.service \
        systemd-networkd.service systemd-resolved.service systemd-timesyncd.service; do
        ln -s /dev/null etc/systemd/system/$unit
    done
    ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
    ln -s /lib/systemd/system/ssh.service etc/systemd/system/multi-user.target.wants/ssh.service
else
    mkdir -p run/sshd
fi

mkdir .machine
pivot_root . .machine
cd /
umount -l /.machine
# systemd hands a service its credentials by a mount that has to reach the service's own namespace.
mount --make-rshared /
rmdir /.machine

case $init in
systemd) exec env -i container=testbed PATH="$PATH" LANG=C.UTF-8 /lib/systemd/systemd ;;
# sshd reaps whatever is orphaned, which is all that an init owes to a host without one.
sshd) exec env -i PATH="$PATH" LANG=C.UTF-8 /usr/sbin/sshd -D -e ;;
esac
