# `make demo` and `make test` install everything that they need; PYTHON is the interpreter that creates .venv.
PYTHON ?= python3

VENV := .venv/bin/python
# Environment without the training stack, and the rendered scene and its detections, of `make look`.
LIGHT := data/demo/light
LOOK := data/demo/look
SCENES := data/demo/scenes
SCENE_COUNT := 30
SCENE_SIZE := 1280
PREPARED := data/demo/prepared
WORK := work_dirs/demo
CONFIG := configs/oil/ssd_lite0.py
# A shorter schedule than for the real data: under 15 minutes on 2 cores.
DEMO_OPTIONS := train_cfg.max_iters=300 train_cfg.val_interval=150 param_scheduler.1.end=300

# The tests of a file run in one process and share trained detectors.
PYTEST := $(VENV) -m pytest -n logical --maxprocesses 4 --dist loadfile

# Appended to a command: if it fails, name the command that checks the installation.
OR_DOCTOR := || { echo "to check the installation: $(VENV) -m oil_storage.cli.main doctor" >&2; exit 1; }

# The same before .venv exists; the command then runs in the clone without an installation.
OR_EARLY_DOCTOR := $(subst $(VENV),$(PYTHON),$(OR_DOCTOR))

# Output folder of `make detect`.
FOUND := work_dirs/detected
ifeq ($(filter detect,$(MAKECMDGOALS))$(SCENE),detect)
$(error SCENE is not set; run: make detect SCENE=path)
endif

.DEFAULT_GOAL := help
.PHONY: help install look demo detect test test-all lint docs clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install:  ## create .venv, or update it to the versions in setup.cfg
	@$(PYTHON) tools/install.py

look:  ## find tanks in a rendered scene with the shipped detector; needs no compiler
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check . $(OR_EARLY_DOCTOR)
	rm -rf $(LOOK)
	$(LIGHT)/bin/oil-storage synth $(LOOK)/scene --scenes 1 --size 1280 --seed 1 $(OR_EARLY_DOCTOR)
	$(LIGHT)/bin/oil-storage detect $(LOOK)/scene/images --source-gsd 1.2 --out $(LOOK)/found $(OR_EARLY_DOCTOR)
	@echo "picture: $$(echo $(LOOK)/found/pictures/*)"

demo: look  ## the same, then install the training stack, train a detector on rendered scenes, and test it
	@cores=$$(nproc); avx=$$(grep -qw avx512f /proc/cpuinfo && echo 12 || echo 38); \
	echo "next: the training stack, $$(((17 + cores) / cores)) minutes on $$cores cores if mmcv must be compiled;"; \
	echo "then training and test, up to $$avx minutes on two cores"
	@$(MAKE) --no-print-directory install
	rm -rf $(SCENES) $(PREPARED) $(WORK)
	$(VENV) tools/make_synthetic.py $(SCENES) --scenes $(SCENE_COUNT) --size $(SCENE_SIZE) --seed 0 $(OR_DOCTOR)
	$(VENV) tools/prepare_dataset.py $(SCENES) $(PREPARED) $(OR_DOCTOR)
	OIL_STORAGE_DATA=$(PREPARED) $(VENV) tools/train.py $(CONFIG) --work-dir $(WORK) --seed 0 --cfg-options $(DEMO_OPTIONS) $(OR_DOCTOR)
	OIL_STORAGE_DATA=$(PREPARED) $(VENV) tools/test.py $(CONFIG) "$$(cat $(WORK)/last_checkpoint)" \
	    --split val --work-dir $(WORK) --show-dir $(WORK)/pictures $(OR_DOCTOR)
	@echo "next: train on your own images, see docs/quickstart.md"

detect: install  ## find tanks in SCENE=path (an image, a folder or a list) with the trained detector in weights/
	$(VENV) -m oil_storage.cli.main detect "$(SCENE)" --out $(FOUND)

test: install  ## run the fast tests, which cover each folder and each tool
	$(PYTEST) $(OR_DOCTOR)

test-all: install  ## run all tests except those that need a GPU
	$(PYTEST) -m "" $(OR_DOCTOR)

lint: install  ## run ruff and mypy
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy

docs: install  ## build the documentation site in build/site
	$(VENV) -m pip install --quiet --no-build-isolation --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(VENV) -m mkdocs build --strict

clean:  ## remove caches and the demo's folders, but not .venv, data and training runs
	rm -rf data/demo $(WORK) build .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
