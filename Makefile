SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-sim test check evidence benchmark clean

IN_ENV := source ./env.sh &&

help: ## these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Debian packages, a venv and the catkin build, as far as they are missing; then: source env.sh
	@scripts/setup

demo: setup ## one policy learns in simulation and on an (emulated) arm at once, on two ROS masters, and shows that it works
	@$(IN_ENV) rosrun uniros bringup joint -- rosrun uniros train td3_joint __name:=learner --run-dir runs/demo-$$(date +%Y%m%d-%H%M%S)

demo-sim: setup ## the same in simulation alone: some seconds of training
	@$(IN_ENV) rosrun uniros bringup demo

test: setup ## all checks and tests
	@$(IN_ENV) scripts/run_tests

check: setup ## style, types, package files and launch files
	@$(IN_ENV) python3 -m pytest -q test/check

evidence: setup ## every figure this project claims, measured anew into docs/results.md
	@$(IN_ENV) python3 test/evidence/run.py

benchmark: setup ## how fast it is, beside what one would otherwise use, into docs/benchmarks.md: some minutes
	@$(IN_ENV) python3 test/benchmark/run.py

clean: ## removes what setup made (not the Debian packages); your runs/ stay
	rm -rf .venv .catkin_ws uniros.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
