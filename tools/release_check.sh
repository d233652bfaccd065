#!/usr/bin/env bash
# Installs a clean clone in a minimal Debian as in README, runs both README commands there, and prints the cost.
#
#   tools/release_check.sh [FOLDER]
#
# FOLDER is kept, and a Debian system in it is reused; the default is a temporary folder. Of the host's environment
# variables only PIP_* and *_proxy are passed on. BIND="DIR ..." mounts folders of the host, e.g. those of a local
# package index or certificate that PIP_* names.
set -eu
[ "$(id -u)" = 0 ] || { echo "release_check.sh needs root: it makes a Debian root and mounts file systems in it" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "release_check.sh needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
source=$(cd "$(dirname "$0")/.." && pwd)
kept=${1:-}
root=$(realpath -m "${kept:-$(mktemp -d)}")
mounted=()
leave() {
    for place in "${mounted[@]}"; do umount -R "$root$place" || umount -Rl "$root$place"; done
    [ "$kept" ] || rm -rf --one-file-system "$root"
}
trap leave EXIT
show() { mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount --make-rslave "$root$1"; mounted=("$1" "${mounted[@]}"); }
seconds() { echo $((SECONDS - started)); }

mkdir -p "$root" && chmod 755 "$root"
if [ ! -x "$root/usr/bin/git" ]; then
    started=$SECONDS
    debootstrap --variant=minbase --include=python3,python3-venv,git,make,ca-certificates bookworm "$root" \
        "${MIRROR:-http://deb.debian.org/debian}" | tail -n 1
    echo "Debian: $(seconds) s, $(du -sh --one-file-system "$root" | cut -f1)"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true  # names of the network and of this machine
rm -rf "$root/mviper"
git clone --quiet --no-hardlinks "$source" "$root/mviper"
for place in /proc /sys /dev ${BIND:-}; do show "$place"; done
mapfile -t passed < <(env | grep -iE '^(PIP_|[a-z]+_proxy=)')

for target in install demo test; do
    started=$SECONDS
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        "${passed[@]}" make -C /mviper $target 2>&1 | tee "$root/mviper/$target.log" | tail -n 20
    [ "${PIPESTATUS[0]}" = 0 ] || { echo "make $target failed${kept:+: see $root/mviper/$target.log}" >&2; exit 1; }
    echo "make $target: $(seconds) s, environment $(du -sh "$root/mviper/.venv" | cut -f1), checkout $(du -sh "$root/mviper" | cut -f1)"
done
