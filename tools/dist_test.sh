#!/usr/bin/env bash
# Test with one process per GPU, or with GPUS processes on the CPU if CUDA is not available:
#
#     tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of tools/test.py]
#
# On several machines, run the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -eu
[ $# -ge 3 ] || { echo "usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of tools/test.py]" >&2; exit 2; }
exec python -m oil_storage.cli.launch "$3" "$(dirname "$0")/test.py" "$1" "$2" "${@:4}"
