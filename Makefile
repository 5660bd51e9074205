# One-word verbs; CI calls the same ones and nothing else. Everything happens inside .venv of this checkout.
RUN ?= runs/demo
COUNT ?= 12
VENV := .venv
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
PY := $(VENV)/bin/python
S2ST := $(VENV)/bin/s2st-aug
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)

export HF_HUB_OFFLINE ?= 1
export OMP_NUM_THREADS ?= 1
export FIFTYONE_DO_NOT_TRACK ?= 1
export FIFTYONE_DATABASE_VALIDATION ?= false
export RAY_USAGE_STATS_ENABLED ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help install demo test test-long coverage check format docs profiles bench measured pictures wheel clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## create .venv and install the tested versions of everything

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 to 3.14 is needed and none was found; install python3.11 and python3.11-venv" >&2; exit 2; }
	@test -x $(PY) || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing (about two minutes the first time)"
	@$(PY) -m pip install --quiet --no-compile -c constraints.txt -e '.[review,detect,bench,dev,docs]'
	@rm -f $(VENV)/.installed-* && touch $@

demo: $(STAMP)  ## translate procedural scenes to night and rain with the embedded model (RUN=DIR)
	@test -f $(RUN)-scenes/pairs.parquet || $(S2ST) scenes $(RUN)-scenes --count $(COUNT) --format bdd100k --conditions day,night,rain --val-share 0
	@echo "translating to night and rain; Ctrl-C stops it, the same command resumes it"
	@$(S2ST) augment configs/demo.yaml --run $(RUN) --set dataset.root=$(RUN)-scenes/day >/dev/null
	@$(S2ST) report $(RUN)

test: $(STAMP)  ## run the tests that take minutes
	@$(PY) -m pytest -q -n 2

test-long: $(STAMP)  ## run all tests, the long ones too
	@$(PY) -m pytest -q -m ''

coverage: $(STAMP)  ## run the tests under coverage; fails below the limit
	@$(PY) -m pytest -q --cov --cov-report=term:skip-covered

check: $(STAMP)  ## check format, lint, types, import layers and docs
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

format: $(STAMP)  ## format, and fix what ruff can
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

docs: $(STAMP)  ## serve the documentation on http://127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs serve

profiles: $(STAMP)  ## rebuild the shipped domain profiles (needs S2ST_AUG_DATA)
	@$(PY) pipelines/build_domain.py configs/domains_street_mini.yaml

bench: $(STAMP)  ## run every benchmark suite, quick, into runs/bench
	@mkdir -p runs/bench
	@for s in method scenes faults formats cluster feed; do $(PY) pipelines/benchmark.py --suite $$s --quick --json runs/bench/$$s.json; done

measured: $(STAMP)  ## run every suite in full (hours), into docs/measured and README
	@for s in method scenes faults formats cluster feed; do $(PY) pipelines/benchmark.py --suite $$s --json docs/measured/$$s.json; done
	@$(PY) docs/hooks.py

pictures: demo  ## draw the pictures of the docs from the shipped weights, and bring tables up to date (minutes)
	@$(PY) docs/figures.py
	@$(PY) docs/demo_sheet.py $(RUN)
	@$(PY) docs/image_path.py
	@$(PY) docs/notebook_pages.py python
	@$(PY) docs/hooks.py

wheel: $(STAMP)  ## build sdist and wheel into dist/
	@$(PY) -m build --outdir dist .

clean:  ## remove what can be rebuilt (not .venv, not runs)
	@rm -rf site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
