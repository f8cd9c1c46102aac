#!/bin/bash
# The first process of a private host: init of its own PID namespace, in its own mount and UTS namespaces, so that when
# it ends the kernel ends everything that was started here: libvirtd, virtlogd and every QEMU, however they daemonised.
#
#   host.sh temporary|attached|detached DIRECTORY HOSTNAME [OPTION OF LIBVIRTD]
#
# DIRECTORY (on the real file system, so that the outside can look) becomes this host's /etc/libvirt, /run,
# /var/lib/libvirt, /var/cache/libvirt and /var/log/libvirt. An attached host ends when its standard input does, that is
# with the process that started it, whatever way that one ends; a temporary one also takes its DIRECTORY with it; a
# detached host lasts until it is killed.
set -euo pipefail
mode=$1 directory=$2 name=$3 option=${4:-}

hostname "$name"
mount -t proc proc /proc
for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mkdir -p "$directory/${pair%%:*}" "${pair#*:}"
    mount --bind "$directory/${pair%%:*}" "${pair#*:}"
done

# A /dev without kvm: libvirt, which looks as another user than QEMU runs as, would throw its capability cache away
# at each start of a guest. The ptys are the machine's, so that an agent outside can open one by its path.
mkdir -p "$directory/dev"
mount -t tmpfs -o mode=0755,nosuid tmpfs "$directory/dev"
for device in null zero full random urandom tty; do
    touch "$directory/dev/$device"
    mount --bind "/dev/$device" "$directory/dev/$device"
done
mkdir "$directory/dev/pts" "$directory/dev/shm" "$directory/dev/net"
mount --bind /dev/pts "$directory/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$directory/dev/shm"
ln -s pts/ptmx "$directory/dev/ptmx"
ln -s /proc/self/fd "$directory/dev/fd"
mount --move "$directory/dev" /dev

# Last, because DIRECTORY may itself be below /run.
# libvirt locks a pty that it opens in /var/lock.
mkdir -p "$directory/run/lock"
mount --bind "$directory/run" /run

timeout 60 virtlogd --daemon --pid-file "$directory/virtlogd.pid"
timeout 60 libvirtd --daemon ${option:+"$option"} --pid-file "$directory/libvirtd.pid"
echo ready

# As init this shell also reaps what was orphaned, whenever a child ends.
if [ "$mode" = detached ]; then
    exec </dev/null >/dev/null
    while :; do
        sleep 86400 &
        wait "$!" || true
    done
fi
while read -r _; do :; done
if [ "$mode" = temporary ]; then
    kill -KILL -1
    rm -rf "$directory"
fi
