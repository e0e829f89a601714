#!/usr/bin/env bash
# Test with one process per GPU, or with the same number of CPU processes without CUDA:
#
#     tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of tools/test.py]
#
# For several machines, run the command on each with NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment.
set -eu
[ $# -ge 3 ] || { echo "usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of tools/test.py]" >&2; exit 2; }
exec python -m oil_storage.cli.launch "$3" "$(dirname "$0")/test.py" "$1" "$2" "${@:4}"
