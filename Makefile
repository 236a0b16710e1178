# One command to see it, one to prove it:  make demo   make test
SHELL := /bin/bash
.DEFAULT_GOAL := help
RUN := . scripts/environment.sh &&
# One worker a core; a file's tests stay together, for they share nodes and models. PYTEST_ARGS=-n0: without workers.
PYTEST := OMP_NUM_THREADS=1 python -m pytest tests -n $$(nproc) --maxprocesses 8 --dist loadscope --no-loadscope-reorder

.PHONY: help setup setup-test demo test test-fast faults lint format dataset train-tiny study clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup:  ## virtual environment, ROS (installed or from wheels), messages and nodes
	@PYTHON='$(PYTHON)' scripts/setup.sh demo

setup-test: setup
	@PYTHON='$(PYTHON)' scripts/setup.sh test

demo: setup  ## a simulated robot asks about space it cannot see; writes demo_out/report.html
	@$(RUN) python -m ipt_ros.demo --out demo_out

test: setup-test  ## every test, nodes as separate processes over DDS
	@$(RUN) $(PYTEST) $(PYTEST_ARGS)

test-fast: setup-test  ## for people at work: the tests that start no node and train nothing, in under a minute
	@$(RUN) $(PYTEST) -m 'not slow' $(PYTEST_ARGS)

faults: setup-test  ## 400 faults in random order against one node
	@$(RUN) IPT_FAULTS=400 python -m pytest -s tests/ros/test_faults.py

dataset: setup-test  ## 20,000 examples of the four tasks, with contact sheet and audits, into dataset_out
	@$(RUN) python -m ipt_training.datasets --count 20000 --size 128 --out dataset_out \
		--workers $$(nproc) --look --audit $(DATASET_ARGS)

# Datasets, checkpoints and finished runs are kept: the same command goes on where it was stopped.
TINY := runs/tiny
train-tiny: setup-test  ## the shipped model from nothing: data, VAE, tower, base, three runs, calibration, evaluation, card
	@$(RUN) set -e; export OMP_NUM_THREADS=1; \
	learn() { torchrun --nproc-per-node $$(nproc) -m ipt_training.train "$$@"; }; \
	python -m ipt_training.datasets --count 20000 --size 128 --out dataset_out --workers $$(nproc); \
	python -m ipt_training.datasets --count 2000 --size 64 --split validation --out runs/data/validation --workers $$(nproc); \
	python -m ipt_training.datasets --count 8000 --size 64 --split test --out runs/data/test --workers $$(nproc); \
	[ -f runs/vae/vae.json ] || python -m ipt_training.train_vae --data dataset_out --validation runs/data/validation \
		--out runs/vae --precision bfloat16 --threads $$(nproc); \
	[ -f runs/vit/vit.json ] || python -m ipt_training.train_vit --out runs/vit --threads $$(nproc); \
	learn config/training/base_tiny.yaml --out runs/base; \
	learn config/training/tiny_mixed.yaml --out runs/mixed; \
	more() { python -m ipt_training.datasets --size 64 --workers $$(nproc) \
		--tasks perspective=3,path=2,counting=1,clearance=2 "$$@"; }; \
	more --count 40000 --seed 1 --out runs/data/train; \
	learn config/training/ship_tiny.yaml --out runs/long; \
	more --count 8000 --seed 2 --out runs/data/own; \
	own() { python -m ipt_training.draw_own --model runs/long/final --data runs/data/own --out runs/own --part $$1/2; }; \
	[ -f runs/own/own-001.npz ] || { own 0 & first=$$!; own 1; wait $$first; }; \
	learn config/training/own_tiny.yaml --out $(TINY); \
	python -m ipt_training.evaluate --model $(TINY)/final --data runs/data/validation --calibrate --out $(TINY)/validation; \
	python -m ipt_training.evaluate --model $(TINY)/final --data runs/data/test --out $(TINY)/test; \
	python -m ipt_training.release --run $(TINY)/final --evaluation $(TINY)/test/evaluation.json --out ipt_model/weights/ipt_tiny

study: setup-test  ## the experiment of supervision and inference mode, small: minutes; STUDY_ARGS="--size one_task" or full for a table
	@$(RUN) python -m ipt_training.study --out runs/study $(STUDY_ARGS)

lint: setup-test  ## ruff and mypy
	@# mypy follows names on disk: show it training/ under the name that it is imported by
	@mkdir -p build/typing && ln -sfn ../../training build/typing/ipt_training
	@$(RUN) ruff check . && ruff format --check . && MYPYPATH=build/typing mypy

format: setup-test  ## let ruff put the files in order
	@$(RUN) ruff check --fix . && ruff format .

clean:  ## remove everything that was made here
	rm -rf .venv build install log demo_out .pytest_cache .mypy_cache .ruff_cache .hypothesis
