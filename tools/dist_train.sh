#!/usr/bin/env bash
# Trains in several processes on one machine: one a GPU, or on the CPU.
#   tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py ...]
# The batch size of the config is that of one process.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run --standalone --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
