# Every target sets itself up: a virtual environment in .venv, pinned constraints, the package itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: setup demo check lint types test test-slow test-kills test-gpu check-minimum browser test-browser format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "outofsight needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[worlds,lora,explore,cameras,dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/outofsight demo --out demo

check: lint types test

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks examples integrations
	$(BIN)/ruff format --check src tests benchmarks examples integrations

types: $(STAMP)
	$(BIN)/mypy

# In how many processes: make test WORKERS=2; 0: in one, with output as it comes.
WORKERS ?= auto

test: $(STAMP)
	$(PYTEST) -n $(WORKERS) --maxprocesses 8 --dist loadfile -m "not slow and not gpu and not browser"

test-slow: $(STAMP)
	$(PYTEST) -m "slow and not gpu"

# How often each verb is killed: make test-kills KILLS=10
KILLS ?= 100

test-kills: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kills.py --kills $(KILLS)

test-gpu: $(STAMP)
	$(PYTEST) -m gpu

# The lowest versions that pyproject.toml promises (uv reads them there), and fast tests with them. The lowest torch is a
# CUDA build of 3 GB on x86; with another: make check-minimum TORCH=2.13.0+cpu. All rooms: make check-minimum ROOMS=.
MINIMUM := .venv-minimum
ROOMS ?= backbone codec flow geometry memory nn sampling
TORCH ?=

check-minimum:
	$(PYTHON) -m venv $(MINIMUM)
	$(MINIMUM)/bin/python -m pip install --quiet uv
	echo '$(TORCH:%=torch==%)' > $(MINIMUM)/other.txt
	$(MINIMUM)/bin/uv pip install --quiet --python $(MINIMUM)/bin/python --compile-bytecode --resolution lowest-direct \
	  --override $(MINIMUM)/other.txt -r pyproject.toml --all-extras
	$(MINIMUM)/bin/uv pip install --quiet --python $(MINIMUM)/bin/python --no-deps --editable .
	$(MINIMUM)/bin/python -m pytest -m "not slow and not gpu and not browser" $(ROOMS:%=tests/%)

# Chromium from the system's packages, where it is not there and may be installed.
browser: $(STAMP)
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq --yes chromium >/dev/null; } || \
	  { echo "the explorer's page is tested in chromium; install it: apt-get install chromium" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'

test-browser: browser
	$(PYTEST) -m browser

format: $(STAMP)
	$(BIN)/ruff check --fix src tests benchmarks examples integrations
	$(BIN)/ruff format src tests benchmarks examples integrations

clean:
	rm -rf $(VENV) $(MINIMUM) build dist .mypy_cache .pytest_cache .ruff_cache
