#!/usr/bin/env bash
# Installs the shared libraries of system_libraries.txt that are missing, or prints the command when not root.
set -eu
known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
debian=() fedora=()
while read -r library deb rpm _; do
    case "$known" in *"$library "*) ;; *) debian+=("$deb") fedora+=("$rpm") ;; esac
done < <(grep -v '^#' "$(dirname "$0")/system_libraries.txt")
[ ${#debian[@]} -eq 0 ] && exit 0
unique() { printf '%s\n' "$@" | sort -u | tr '\n' ' '; }
debian="apt-get install -y --no-install-recommends $(unique "${debian[@]}")"
fedora="dnf install -y $(unique "${fedora[@]}")"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "System libraries are missing: $debian"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $debian -qq >/dev/null
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    echo "System libraries are missing: $fedora"
    $fedora --quiet
else
    echo "System libraries that Blender's module and OpenCV need are missing. Install them with:" >&2
    echo "    Debian, Ubuntu:  sudo $debian" >&2
    echo "    Fedora:          sudo $fedora" >&2
    exit 1
fi
