#!/bin/bash
# Builds the Linux guest: Debian's cloud kernel, and an initramfs of busybox. `make guest` runs it; a second time is quick.
#
#   build.sh DIRECTORY      DIRECTORY/vmlinuz, DIRECTORY/initrd.img (both or, if something cannot be had, none that is new)
#
# KERNEL=FILE takes that kernel instead of Debian's: x86-64, with VGA and serial console and gzipped initramfs built in.
# SUDO is what `apt-get update` is run with, where no package lists are there yet.
set -euo pipefail

directory=${1:?usage: build.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
package=linux-image-cloud-amd64

cannot() {
    printf 'the Linux guest cannot be built: %s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

busybox=$(command -v busybox) ||
    cannot 'there is no busybox.' 'On Debian: apt-get install busybox-static'
if ! missing=$("$busybox" --list | sort | comm -13 - <(printf '%s\n' acpid cpio init poweroff reboot sh stty top vi | sort)) ||
    [ -n "$missing" ]; then
    cannot "$busybox lacks: ${missing//$'\n'/ }." 'Debian'\''s package busybox-static has them.'
fi
if ldd "$busybox" >/dev/null 2>&1; then
    cannot "$busybox is not static, so it runs nowhere else." 'On Debian: apt-get install busybox-static'
fi

# What the two files are made of: when it is as it was, they are too.
source=${KERNEL:-$package}
made_of=$({ cat "$here"/*; cat "$busybox"; echo "$source"; } | sha256sum)
if [ -s "$directory/vmlinuz" ] && [ -s "$directory/initrd.img" ] &&
    [ "$(cat "$directory/made-of" 2>/dev/null)" = "$made_of" ]; then
    exit 0
fi

# Everything is made aside, and put in place when it is whole.
mkdir -p "$directory"
exec 9>"$directory/lock"
flock 9
rm -rf "$directory"/new.*
work=$(mktemp -d "$directory/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

kernel_package() {
    # The package above names the one with the kernel in it.
    apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1 || true
}

download() {
    (cd "$work" && apt-get download -o APT::Sandbox::User=root -qq "$1") >"$work/apt.log" 2>&1
}

fetch_debian_kernel() {
    local name
    command -v apt-get >/dev/null ||
        cannot "its kernel is that of Debian's package $package, and there is no apt-get here." "${without[@]}"
    name=$(kernel_package)
    if [ -z "$name" ]; then
        echo 'Linux guest: fetching package lists (apt-get update)'
        ${SUDO:-} apt-get update -qq || true
        name=$(kernel_package)
    fi
    [ -n "$name" ] ||
        cannot "apt-get knows no package $package." \
            'Tried: apt-get update. Is there a network, and is this Debian on x86-64?' "${without[@]}"
    echo "Linux guest: fetching Debian's $name (about 27 MB)"
    if ! download "$name"; then
        # Lists that have grown old name files that are gone.
        ${SUDO:-} apt-get update -qq || true
        name=$(kernel_package)
        download "$name" ||
            cannot "the package $name cannot be fetched:" "$(tail -n 2 "$work/apt.log")" \
                'Is there a network? Then try again: make guest' "${without[@]}"
    fi
    dpkg-deb -x "$work"/linux-image-*.deb "$work/debian"
    cp "$work"/debian/boot/vmlinuz-* "$work/kernel/vmlinuz"
    # The power button and its events are modules there.
    cp "$work"/debian/lib/modules/*/kernel/drivers/{acpi/button,input/evdev}.ko "$work/kernel/"
}
without=('Or give it another kernel: make guest KERNEL=/boot/vmlinuz-VERSION'
    '(for x86-64, with VGA and serial console built in)')

# The kernel is kept apart, so that a change of the rest fetches nothing.
if [ "$(cat "$directory/kernel/source" 2>/dev/null)" != "$source" ]; then
    mkdir "$work/kernel"
    if [ -n "${KERNEL:-}" ]; then
        cp "$KERNEL" "$work/kernel/vmlinuz" || cannot "$KERNEL cannot be read."
    else
        fetch_debian_kernel
    fi
    echo "$source" >"$work/kernel/source"
    rm -rf "$directory/kernel"
    mv "$work/kernel" "$directory/kernel"
fi

echo 'Linux guest: packing its initramfs'
root=$work/root
mkdir -p "$root"/{bin,dev,etc/acpi/PWRF,lib,proc,root,run,sys,tmp}
cp "$busybox" "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
install -m 755 "$here/console" "$root/etc/console"
install -m 644 "$here/inittab" "$here/motd" "$here/profile" "$root/etc/"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
# What the guest does when libvirt presses its power button.
printf '#!/bin/sh\nexec poweroff\n' >"$root/etc/acpi/PWRF/00000080"
chmod 755 "$root/etc/acpi/PWRF/00000080"
for module in "$directory"/kernel/*.ko; do
    if [ -f "$module" ]; then cp "$module" "$root/lib/"; fi
done
(cd "$root" && find . | sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) | gzip -9n >"$work/initrd.img"
cp "$directory/kernel/vmlinuz" "$work/vmlinuz"
chmod 644 "$work/vmlinuz" "$work/initrd.img"

rm -f "$directory/made-of"
mv "$work/vmlinuz" "$work/initrd.img" "$directory/"
echo "$made_of" >"$work/made-of"
mv "$work/made-of" "$directory/"
echo "Linux guest: ready in $directory"
