#!/bin/bash
# Installs from Debian what is missing, saying what and why. Quick where nothing is.
#
#   packages.sh WHY 'PACKAGE…' [WHY 'PACKAGE…']…
#
# SUDO is what commands are run with that need root; empty for root.
set -euo pipefail
sudo=${SUDO:-}
missing=() reasons=()
while [ "$#" -ge 2 ]; do
    why=$1 lacking=()
    for package in $2; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || lacking+=("$package")
    done
    if [ "${#lacking[@]}" -gt 0 ]; then
        missing+=("${lacking[@]}")
        reasons+=("$why: ${lacking[*]}")
    fi
    shift 2
done
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi

echo 'Missing here, and installed now from Debian:'
printf '  %s\n' "${reasons[@]}"
if ! command -v apt-get >/dev/null; then
    echo 'There is no apt-get, so this is no Debian: install these (or what they are called here) by hand.' >&2
    exit 1
fi
if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
    echo "You are $(id -un), and there is no sudo: install these as root, then try again." >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed() {
    tail -n 15 "$log" >&2
    echo "$1" >&2
    exit 1
}
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >"$log" 2>&1 || failed 'Package lists cannot be fetched: is there a network, and are the apt sources right?'
install=(apt-get install -y --no-install-recommends "${missing[@]}")
$sudo env LC_ALL=C "${install[@]}" --assume-no 2>&1 | sed -n 's/^\(Need to get\|After this\)/  &/p' || true
$sudo env DEBIAN_FRONTEND=noninteractive "${install[@]}" -qq >"$log" 2>&1 ||
    failed 'The packages cannot be installed: see above (network, disk space, another apt-get that runs?).'
echo '  done'
