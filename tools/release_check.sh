#!/usr/bin/env bash
# Installs a clean clone in a minimal Debian as in README, runs both README commands there, and prints the cost.
#
#   tools/release_check.sh [FOLDER]      (default: a temporary one, removed afterwards)
#
# BIND="DIR ..." also mounts folders of the host, e.g. those of a local package index for pip.
set -eu
[ "$(id -u)" = 0 ] || { echo "release_check.sh needs root: it makes a Debian root and mounts file systems in it" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "release_check.sh needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
source=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-$(mktemp -d)}
mounted=()
leave() {
    for place in "${mounted[@]}"; do umount -R "$root$place" || umount -Rl "$root$place"; done
    [ "${1:-}" = kept ] || rm -rf --one-file-system "$root"
}
trap 'leave "${KEEP:+kept}"' EXIT
show() { mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount --make-rslave "$root$1"; mounted=("$1" "${mounted[@]}"); }

seconds() { echo $((SECONDS - started)); }
started=$SECONDS
debootstrap --variant=minbase --include=python3,python3-venv,git,make,ca-certificates bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$root.log"
echo "Debian: $(seconds) s, $(du -sh --one-file-system "$root" | cut -f1)"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
for place in /proc /sys /dev ${BIND:-}; do show "$place"; done
git clone --quiet --no-hardlinks "$source" "$root/mviper"

for target in install demo test; do
    started=$SECONDS
    chroot "$root" /bin/sh -c "cd /mviper && make $target" 2>&1 | tee "$root/mviper/$target.log" | tail -n 3
    [ "${PIPESTATUS[0]}" = 0 ] || { echo "make $target failed: see $root/mviper/$target.log (KEEP=1 keeps it)"; exit 1; }
    echo "make $target: $(seconds) s, environment $(du -sh "$root/mviper/.venv" | cut -f1), checkout $(du -sh "$root/mviper" | cut -f1)"
done
