#!/usr/bin/env bash
# Train with one process per GPU, or with the same number of CPU processes without CUDA:
#
#     tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]
#
# For several machines, run the command on each with NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment.
set -eu
[ $# -ge 2 ] || { echo "usage: tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]" >&2; exit 2; }
exec python -m oil_storage.cli.launch "$2" "$(dirname "$0")/train.py" "$1" "${@:3}"
