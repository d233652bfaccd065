#!/usr/bin/env bash
# Installs the shared libraries that Blender's module and OpenCV link against, or prints the command when not root.
set -eu
declare -A package_of=(
    [libX11.so.6]=libx11-6 [libXrender.so.1]=libxrender1 [libXfixes.so.3]=libxfixes3 [libXi.so.6]=libxi6
    [libxkbcommon.so.0]=libxkbcommon0 [libSM.so.6]=libsm6 [libGL.so.1]=libgl1 [libEGL.so.1]=libegl1
    [libgthread-2.0.so.0]=libglib2.0-0
)
known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
missing=()
for library in "${!package_of[@]}"; do
    case "$known" in *"$library "*) ;; *) missing+=("${package_of[$library]}") ;; esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system libraries that Blender and OpenCV need: ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "Blender's module and OpenCV need system libraries. On Debian or Ubuntu install them with:" >&2
    echo "    sudo apt-get install -y ${missing[*]}" >&2
    exit 1
fi
