# `make demo` and `make test` do all their own set-up: a virtual environment in .venv and pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt
JOBS ?= 2

.PHONY: help demo test test-kill test-fleet test-releases test-engines test-long aarch64 check lint types floors format clean

help:
	@echo "make demo       install what it needs, train twenty devices with and without noise, print the report's path (minutes)"
	@echo "make test       install what it needs, run the tests (minutes)"
	@echo "make test-kill  real runs and the demo killed at random times, and resumed (minutes)"
	@echo "make test-fleet real agents killed, frozen, cut off and attacked (minutes; some of it as root)"
	@echo "make test-releases  updates cut off, killed and rolled back; releases to a real fleet (minutes)"
	@echo "make test-engines  Ray for real; the pages for researchers and the notebook, followed (minutes)"
	@echo "make test-long  the slow tests too"
	@echo "make aarch64    ask the package index whether all that a device installs has a wheel for 64-bit ARM"
	@echo "make check      formatting, lint, types, import floors, tests"
	@echo "make format     let ruff rewrite"
	@echo "make clean      remove .venv and caches (runs/ stays)"

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "covey needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv module: on Debian and Raspberry Pi OS, apt install python3-venv"; exit 2; }

$(VENV)/.sim: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing covey[sim] into $(VENV) (a few minutes the first time)"
	@$(INSTALL) --editable '.[sim]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing covey[dev] into $(VENV) (a few minutes the first time)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.sim

demo: $(VENV)/.sim
	@$(BIN)/covey demo

test: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m "not long"

# The share of the slow tests that continuous integration runs: kills of real processes, some minutes.
test-kill: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m long tests/e2e/test_crash.py

# Real agents under users of their own, in networks of their own, that are killed, frozen, cut off and attacked.
test-fleet: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m long $(patsubst %,tests/e2e/test_%.py,hostile_bundle agent_faults network_faults \
	  session_attacks full_server_disk certificates wrong_clocks supernode_watch both_ways units pilot_page) $(FLEET)

# Power cuts at every step of an update, real kills, the demo's rollouts, the page, and a release to a real fleet.
test-releases: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m long tests/client/test_update_power_cuts.py tests/client/test_update_commands.py \
	  $(patsubst %,tests/e2e/test_%.py,update_kills releases_page release_fleet) tests/simulations/rollout $(RELEASES)

# The engine "ray" through Flower's simulation runtime, docs/research.md, docs/experiments.md and the notebook.
test-engines: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m long tests/simulations/engines $(patsubst %,tests/e2e/test_%_page.py,research experiments)

test-long: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS)

# Every package of a device, as pinned, has a wheel for 64-bit ARM: asked of the package index.
aarch64: $(VENV)/.dev
	$(BIN)/python tests/aarch64/resolve.py

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

floors: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types floors test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
