#!/bin/sh
# Builds the tests' guest, a multiboot ELF that QEMU boots as a kernel: build.sh OUTPUT. Needs gcc, no 32-bit libraries.
set -eu
output=$1
cd "$(dirname "$0")"
exec "${CC:-gcc}" -m32 -Os -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -no-pie -fno-stack-protector \
    -mgeneral-regs-only -nostdlib -static \
    -Wl,-m,elf_i386,-T,guest.ld,--build-id=none,--no-warn-rwx-segments \
    -o "$output" guest.c machine.c screen.c serial.c
