#!/usr/bin/env bash
# Repeat a row of README's table of real scenes: prepare, train, test, report.
#
#     tools/reproduce.sh CONFIG [SEED [SPLIT]]      e.g. tools/reproduce.sh ssd_lite0_x15 0 val
#
# The scenes lie in airbus/, or where OIL_STORAGE_SCENES says; what is prepared and trained already is not made again.
# OIL_STORAGE_SPLIT names another split than that of all recorded runs.
# SPLIT is val, or test: a look at test goes into results/test_log.csv. More arguments go to tools/train.py.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ] || [ ! -f "configs/oil/$1.py" ]; then
    echo "usage: tools/reproduce.sh CONFIG [SEED [SPLIT]]; CONFIG is one of" configs/oil/*.py >&2
    exit 2
fi
name=$1 seed=${2:-0} split=${3:-val}
[ "$split" = val ] || [ "$split" = test ] || { echo "SPLIT $split: must be val or test" >&2; exit 2; }
work_dir="work_dirs/reproduced/${name}_$seed"
export OIL_STORAGE_DATA="${OIL_STORAGE_DATA:-data/oil_storage}"
geometry=$(python -c 'import sys; from mmengine.config import Config
tiles = Config.fromfile(sys.argv[1]).test_dataloader.dataset
print("--tile", tiles.tile, "--overlap", tiles.overlap)' "configs/oil/$name.py" 2>/dev/null | tail -n 1)

# shellcheck disable=SC2086  # geometry is four words
python tools/prepare_dataset.py "${OIL_STORAGE_SCENES:-airbus}" "$OIL_STORAGE_DATA" $geometry \
    --split-file "${OIL_STORAGE_SPLIT:-configs/_base_/datasets/airbus_split.json}"
python tools/train.py "configs/oil/$name.py" --seed "$seed" --work-dir "$work_dir" --resume "${@:4}"
checkpoint="$work_dir/$(basename "$(cat "$work_dir/last_checkpoint")")"
python tools/test.py "configs/oil/$name.py" "$checkpoint" --split val --work-dir "$work_dir"  # chooses the threshold
if [ "$split" = test ]; then
    python tools/test.py "configs/oil/$name.py" "$checkpoint" --split test --work-dir "$work_dir"
fi
python tools/report.py "$work_dir" --split "$split"
