#!/bin/bash
# Whether this machine can build and run Porthole, as far as `make` cannot see to it itself: said before anything takes
# time, with what to do.
#
#   machine.sh          to build
#   machine.sh root     to run a stack as well
#
# SUDO is what commands are run with that need root; empty for root.
set -euo pipefail
runs=${1:-}
cd "$(dirname "$0")/.."
sudo=${SUDO:-}
problems=()
wants() { problems+=("$1"); }

[ "$(uname -sm)" = 'Linux x86_64' ] || wants "this is $(uname -sm): the guests and their libvirtd are for Linux on x86-64"

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    wants "Rust $rust or later is missing. Install it from https://rustup.rs:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
else
    here=$(cargo --version 2>&1 | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    if [ -z "$here" ]; then
        wants "cargo does not run: $(cargo --version 2>&1 | head -n 1)"
    elif [ "$(printf '%s\n%s\n' "$rust" "$here" | sort -V | head -n 1)" != "$rust" ]; then
        wants "Rust is $here ($(command -v cargo)), and $rust or later is needed: rustup update stable"
    fi
fi

# Where there is none yet, Debian's is installed.
if command -v node >/dev/null && [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -lt 18 ]; then
    wants "Node is $(node --version 2>&1 | head -n 1) ($(command -v node)), and 18 or later is needed to build the pages"
fi

if [ "$runs" = root ] && [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
    wants "you are $(id -un), and there is no sudo: root is needed for packages and for a libvirtd in namespaces of its own.
    Run make as root, or install sudo"
fi

# From nothing, the debug build takes about this much; later ones little.
if [ ! -x target/debug/stack ]; then
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge 8 ] || wants "$free GiB are free in $PWD, and the first build takes about 6: free some, or clone elsewhere"
fi

if [ "${#problems[@]}" -gt 0 ]; then
    printf 'This machine is not ready:\n' >&2
    printf '  - %s\n' "${problems[@]}" >&2
    exit 1
fi

if [ "$runs" != root ]; then
    exit 0
fi
# A password is best asked for now, and not after the build.
if [ -n "$sudo" ] && ! sudo -n true 2>/dev/null; then
    echo 'Root is needed for packages and for a libvirtd in namespaces of its own, so sudo may ask for your password.'
    sudo -v || { echo 'sudo does not let you: run make as root, or as a user who may use sudo' >&2; exit 1; }
fi
if ! error=$($sudo unshare --mount --pid --uts --fork --propagation private true 2>&1); then
    echo "namespaces cannot be made here ($error): in a container, it must be a privileged one" >&2
    exit 1
fi
