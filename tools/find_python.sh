#!/usr/bin/env bash
# Runs Python 3.11 (Blender's module needs exactly that) with the given arguments.
set -eu
for candidate in "${PYTHON:-}" python3.11 /usr/bin/python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        exec "$candidate" "$@"
    fi
done
echo "MVIPER needs Python 3.11 with venv (Debian 12: apt-get install python3.11-venv), or set PYTHON=/path/to/python3.11" >&2
exit 1
