#!/usr/bin/env bash
# Trains in several processes on one machine: one per GPU, or on the CPU.
#   tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py ...]
# The batch size in the config is per process. PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$1 processes=$2
shift 2
# Without an active environment, use the one made by make install.
for python in "${PYTHON:-}" python "$tools/../.venv/bin/python"; do
    if [ -n "$python" ] && "$python" -c 'import importlib.util as i; exit(not (i.find_spec("torch") and i.find_spec("mviper")))' 2>/dev/null; then
        exec "$python" -m torch.distributed.run --standalone --nproc_per_node="$processes" \
            "$tools/train.py" "$config" --launcher pytorch "$@"
    fi
    if [ -n "$python" ] && [ "$python" = "${PYTHON:-}" ]; then
        break
    fi
done
echo "Error: ${PYTHON:-python} has no mviper: run make install, activate its environment, or set PYTHON=/path/to/python" >&2
exit 1
