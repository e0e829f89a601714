#!/usr/bin/env bash
# Train as a Slurm job step, one task per GPU:
#
#     GPUS=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [flags of tools/train.py]
#
# Environment variables and defaults: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), PORT (from the job id), SRUN_ARGS.
# The training saves a checkpoint when Slurm warns of the time limit. A requeued job continues from it with --resume.
set -eu
[ $# -ge 3 ] || { echo "usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [flags of tools/train.py]" >&2; exit 2; }
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
[ "$per_node" -le "$gpus" ] || per_node=$gpus
# shellcheck disable=SC2016,SC2086  # expand the variables in the inner shell; split SRUN_ARGS into words
exec srun --partition="$1" --job-name="$2" --gres=gpu:"$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} bash -c '
        export MASTER_ADDR=$(scontrol show hostnames "$SLURM_NODELIST" | head -n 1)
        export MASTER_PORT=${PORT:-$((20000 + SLURM_JOB_ID % 20000))}
        exec python -u "$@" --launcher slurm' bash "$(dirname "$0")/train.py" "${@:3}"
