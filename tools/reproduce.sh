#!/usr/bin/env bash
# Reproduce a row of the table in docs/results.md: prepare, train, test, report.
#
#     tools/reproduce.sh CONFIG [SEED [SPLIT]]      e.g. tools/reproduce.sh ssd_lite0_x15 0 val
#
# SPLIT is val or test. Each test adds a line to results/test_log.csv. Steps that are already finished are skipped.
# Further arguments, e.g. --amp, are passed to tools/train.py and tools/test.py. --tta is passed only to tools/test.py;
# it reproduces the rows with two views.
#
# OIL_STORAGE_FRACTION=0.25 trains on a quarter of the train scenes.
#
# OIL_STORAGE_SCENES is the folder of the scenes (default: airbus). The recorded runs used the split in
# configs/_base_/datasets/airbus_split.json. To use another split, set OIL_STORAGE_SPLIT to its file, and
# OIL_STORAGE_DATA to a new folder. OIL_STORAGE_GSD is the ground resolution of scenes without a georeference
# (default: 1.35 metres per pixel). Paths are relative to the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ] || [ ! -f "configs/oil/$1.py" ]; then
    echo "usage: tools/reproduce.sh CONFIG [SEED [SPLIT]]; CONFIG is one of $(basename -as .py configs/oil/*.py | xargs)" >&2
    exit 2
fi
name=$1 seed=${2:-0} split=${3:-val}
[ "$split" = val ] || [ "$split" = test ] || { echo "SPLIT $split: must be val or test" >&2; exit 2; }
shift $(($# < 3 ? $# : 3))
training=() fraction=${OIL_STORAGE_FRACTION:-1}
[ "$fraction" = 1 ] || training=(--cfg-options "+train_dataloader.dataset.scenes_fraction=$fraction")
for argument in "$@"; do
    [ "$argument" = --tta ] || training+=("$argument")
done
python=.venv/bin/python
[ -x $python ] || python=python
export OIL_STORAGE_DATA="${OIL_STORAGE_DATA:-data/reproduced}"
work_dir="work_dirs/reproduced/$(basename "$OIL_STORAGE_DATA")/${name}_$seed"
[ "$fraction" = 1 ] || work_dir="${work_dir}_$fraction"
geometry=$($python -c 'import sys; from mmengine.config import Config
tiles = Config.fromfile(sys.argv[1]).test_dataloader.dataset
print("--tile", tiles.tile, "--overlap", tiles.overlap)' "configs/oil/$name.py" | tail -n 1)

# shellcheck disable=SC2086  # geometry contains four words
$python tools/prepare_dataset.py "${OIL_STORAGE_SCENES:-airbus}" "$OIL_STORAGE_DATA" $geometry \
    --split-file "${OIL_STORAGE_SPLIT:-configs/_base_/datasets/airbus_split.json}" --source-gsd "${OIL_STORAGE_GSD:-1.35}"
$python tools/train.py "configs/oil/$name.py" --seed "$seed" --work-dir "$work_dir" --resume ${training[@]+"${training[@]}"}
checkpoint="$work_dir/$(basename "$(cat "$work_dir/last_checkpoint")")"
for part in $(printf '%s\n' val "$split" | uniq); do  # the score threshold is selected on val
    $python tools/test.py "configs/oil/$name.py" "$checkpoint" --split "$part" --work-dir "$work_dir" "$@"
done
$python tools/report.py "$work_dir" --split "$split"
