# Every target sets itself up: a virtual environment in .venv, pinned constraints, the package itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: setup demo check lint types test test-slow test-kills test-gpu format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "outofsight needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[worlds,lora,dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/outofsight demo --out demo

check: lint types test

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples

types: $(STAMP)
	$(BIN)/mypy

test: $(STAMP)
	$(PYTEST) -m "not slow and not gpu"

test-slow: $(STAMP)
	$(PYTEST) -m "slow and not gpu"

# How often each verb is killed: make test-kills KILLS=10
KILLS ?= 100

test-kills: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kills.py --kills $(KILLS)

test-gpu: $(STAMP)
	$(PYTEST) -m gpu

format: $(STAMP)
	$(BIN)/ruff check --fix src tests benchmarks examples
	$(BIN)/ruff format src tests benchmarks examples

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
