# Needs make and Python 3.11 or newer, nothing else. Everything is installed into .venv from the
# exact versions in requirements/; a stamp file per lock keeps the second run from calling pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test lint format demo oracles docs fuzz kill bench bench-quick bench-sklearn \
	bench-streaming screenshots lock clean

help: ## list what can be made
	@awk -F ': .*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up ---------------------------------------------------------------------------------

$(VENV)/venv.stamp:
	@command -v $(PYTHON) > /dev/null || { \
	  echo "Backlight needs Python 3.11 or newer, and '$(PYTHON)' is not there: install it or say 'make PYTHON=/path/to/python'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Backlight needs Python 3.11 or newer, and '$(PYTHON)' is older: say 'make PYTHON=python3.11', or another newer one." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "'$(PYTHON)' lacks the venv module: install it (on Debian and Ubuntu: apt install python3-venv) and try again." >&2; exit 1; }
	@echo "set-up: making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/core.stamp: requirements/core.txt pyproject.toml $(VENV)/venv.stamp
	@echo "set-up: installing Backlight and the pinned libraries of requirements/core.txt"
	@$(PIP) -r requirements/core.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/core.stamp
	@echo "set-up: installing the pinned test tools of requirements/test.txt"
	@$(PIP) -r requirements/test.txt
	@touch $@

$(VENV)/oracles.stamp: requirements/oracles.txt $(VENV)/docs.stamp
	@echo "set-up: installing the oracles of requirements/oracles.txt (PyTorch among them: large)"
	@$(PIP) -r requirements/oracles.txt
	@touch $@

$(VENV)/docs.stamp: requirements/docs.txt $(VENV)/test.stamp
	@echo "set-up: installing the pinned documentation tools of requirements/docs.txt"
	@$(PIP) -r requirements/docs.txt
	@touch $@

setup: $(VENV)/test.stamp ## prepare .venv for development
	@:

oracles: $(VENV)/oracles.stamp ## install PyTorch and TensorBoard for the tests to compare with
	@:

# ---- everyday -------------------------------------------------------------------------------

lint: $(VENV)/test.stamp ## ruff and mypy --strict
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy --strict src/backlight

test: lint ## lint, then every test and doctest
	$(BIN)/python -m pytest -q --doctest-modules tests src/backlight

demo: $(VENV)/core.stamp ## the tour: a derivation and a small training run
	@$(BIN)/python examples/demo.py

fuzz: $(VENV)/test.stamp ## the property tests with many more random examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -q -m hypothesis tests

kill: $(VENV)/test.stamp ## kill training 50 times at random moments, resume, and compare every bit
	BACKLIGHT_KILLS=50 $(BIN)/python -m pytest -q -m slow tests/train/test_kill.py

docs: $(VENV)/docs.stamp ## build the site in build/docs; every code block in it is run
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "The site is in build/docs/index.html"

screenshots: $(VENV)/test.stamp ## pictures of the studio for the documentation (needs chromium)
	$(BIN)/python tools/screenshots.py

# ---- measuring ------------------------------------------------------------------------------

$(BENCH)/bench.stamp: requirements/bench.txt pyproject.toml
	@echo "set-up: installing Backlight and its peers into $(BENCH) (PyTorch and JAX: large)"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check -r requirements/bench.txt
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

bench: $(BENCH)/bench.stamp ## Backlight beside its peers; writes benchmarks/results, README and docs
	$(BENCH)/bin/python -m benchmarks
	$(BENCH)/bin/python -m benchmarks.report

bench-quick: $(BENCH)/bench.stamp ## the same with fewer repetitions; writes nothing
	$(BENCH)/bin/python -m benchmarks --quick

bench-sklearn: $(BENCH)/bench.stamp ## the estimators beside scikit-learn's own
	$(BENCH)/bin/python benchmarks/sklearn_estimators.py

bench-streaming: $(VENV)/test.stamp ## train on a Parquet file of 5 million rows; reports peak memory
	$(BIN)/python -m benchmarks.streaming

format: $(VENV)/test.stamp ## let ruff format and fix what it can
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

lock: ## write requirements/*.txt anew from pyproject.toml
	requirements/lock.sh $(PYTHON)

clean: ## remove .venv, caches and build products
	rm -rf $(VENV) $(BENCH) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true
