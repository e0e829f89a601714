#!/usr/bin/env bash
# Train with one process per GPU, or with GPUS processes on the CPU if CUDA is not available:
#
#     tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]
#
# On several machines, run the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -eu
[ $# -ge 2 ] || { echo "usage: tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]" >&2; exit 2; }
exec python -m oil_storage.cli.launch "$2" "$(dirname "$0")/train.py" "$1" "${@:3}"
