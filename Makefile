# One-word verbs; CI calls the same ones and nothing else. Everything happens inside .venv of this checkout.
RUN ?= runs/demo
COUNT ?= 12
VENV := .venv
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
PY := $(VENV)/bin/python
S2ST := $(VENV)/bin/s2st-aug
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)

export HF_HUB_OFFLINE ?= 1
export OMP_NUM_THREADS ?= 1
export FIFTYONE_DO_NOT_TRACK ?= 1
export FIFTYONE_DATABASE_VALIDATION ?= false
export RAY_USAGE_STATS_ENABLED ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help install demo test test-long coverage check format docs profiles bench measured wheel clean
.DEFAULT_GOAL := help

help:  ## what each verb does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv and install everything with the tested versions

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 to 3.13 is needed and none was found; install python3.11 and python3.11-venv" >&2; exit 2; }
	@test -x $(PY) || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing (about two minutes the first time)"
	@$(PY) -m pip install --quiet --no-compile -c constraints.txt -e '.[review,detect,bench,dev,docs]'
	@rm -f $(VENV)/.installed-* && touch $@

demo: $(STAMP)  ## procedural scenes to night and rain, on the embedded model (RUN=DIR)
	@test -f $(RUN)-scenes/pairs.parquet || $(S2ST) scenes $(RUN)-scenes --count $(COUNT) --format bdd100k --conditions day,night,rain --val-share 0
	@echo "translating to night and rain; Ctrl-C stops, the same command goes on"
	@$(S2ST) augment configs/demo.yaml --run $(RUN) --set dataset.root=$(RUN)-scenes/day >/dev/null
	@$(S2ST) report $(RUN)

test: $(STAMP)  ## the tests that run in minutes
	@$(PY) -m pytest -q

test-long: $(STAMP)  ## everything, what takes longer too
	@$(PY) -m pytest -q -m ''

coverage: $(STAMP)  ## the timed tests under coverage, with its gate
	@$(PY) -m pytest -q --cov --cov-report=term:skip-covered

check: $(STAMP)  ## format, lint, types, layers, docs
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

format: $(STAMP)  ## format and mend what ruff can
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

docs: $(STAMP)  ## the documentation on http://127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs serve

profiles: $(STAMP)  ## build the shipped domain profiles anew
	@$(PY) pipelines/build_domain.py configs/domains_street_mini.yaml

bench: $(STAMP)  ## every suite, quick, to runs/bench
	@mkdir -p runs/bench
	@for s in method scenes faults formats cluster feed; do $(PY) pipelines/benchmark.py --suite $$s --quick --json runs/bench/$$s.json; done

measured: $(STAMP)  ## every suite in full (hours), to docs/measured and README
	@for s in method scenes faults formats cluster feed; do $(PY) pipelines/benchmark.py --suite $$s --json docs/measured/$$s.json; done
	@$(PY) docs/hooks.py

wheel: $(STAMP)  ## sdist and wheel in dist/
	@$(PY) -m build --outdir dist .

clean:  ## what can be made again (not .venv, not runs)
	@rm -rf site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
