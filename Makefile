# Vọng Gác: every job by name. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
SIGMA_CLI := .venv-sigma-cli
BIN := $(VENV)/bin
PYTHON ?= python3
DATA ?= var
SIMULATE ?= 0
AGENCY ?= so-thong-tin-va-truyen-thong
FUZZ_EXAMPLES ?= 5000
SECONDS_EACH ?= 60
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: help run unsimulate test e2e fuzz fuzz-guided lint types bench docs lock clean debian-packages assets server dev sigma-cli

help: ## list the jobs
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: server assets ## start collector and console, enrol this machine, run its agent (SIMULATE=500 adds simulated ones)
	@$(BIN)/vonggac quickstart --data $(DATA) --agency $(AGENCY) --simulate $(SIMULATE)

unsimulate: server ## remove every simulated endpoint with all that came from it
	@$(BIN)/vonggac simulate --data $(DATA) --remove

test: dev sigma-cli assets debian-packages lint types ## lint, types, contracts, documentation and the whole test suite
	$(BIN)/pytest

e2e: dev assets debian-packages ## only the tests that start the real processes
	$(BIN)/pytest tests/e2e tests/browser

lint: dev ## ruff, import contracts, ansible-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint --offline -q

fuzz: dev ## give every parser broken input for some minutes (FUZZ_EXAMPLES=5000 a parser, each time others)
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest -q tests/fuzz

fuzz-guided: dev .fuzz/.atheris ## the same led by coverage, Linux x86-64 (PARSERS="auth. read_feed" for some, SECONDS_EACH=60)
	PYTHONPATH=.fuzz/atheris nice $(BIN)/python -m tests.fuzz.guided $(PARSERS) --seconds $(SECONDS_EACH)

.fuzz/.atheris: requirements/fuzz.txt | $(VENV)/bin/pip
	@mkdir -p .fuzz
	@$(PIP) --require-hashes --only-binary :all: --target .fuzz/atheris --upgrade -r requirements/fuzz.txt
	@touch $@

types: dev ## strict types of all packages and tests
	$(BIN)/mypy

bench: server ## measure speed and memory on this machine (BENCH="agent.idle" for one), results in bench-results/
	@mkdir -p bench-results
	$(BIN)/vonggac bench $(BENCH) --json bench-results/bench.json

docs: dev ## write the generated tables of README and docs, and check the documentation
	$(BIN)/python -m soc_api.docs_tables --write
	$(BIN)/pytest -q tests/test_docs.py

lock: $(VENV)/bin/pip ## renew the locked requirements from pyproject.toml
	@[ -x $(BIN)/uv ] || $(PIP) uv
	for kind in agent: probe:--extra=probe server:--extra=server dev:--extra=server,--extra=probe,--extra=dev; do \
	  extras=$${kind#*:}; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-find-links $${extras//,/ } pyproject.toml --output-file requirements/$${kind%%:*}.txt || exit 1; \
	done
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-find-links requirements/sigma-cli.in --output-file requirements/sigma-cli.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-find-links requirements/fuzz.in --output-file requirements/fuzz.txt

clean: ## remove the environment, caches and built assets (the data directory stays)
	rm -rf $(VENV) $(SIGMA_CLI) .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis dashboards/static/vendor dashboards/assets/node_modules

# -- the environment: locked, hashes checked ------------------------------------------------------------------------

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else echo "python3-venv is missing: sudo apt-get install python3-venv"; exit 1; fi; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.server: $(VENV)/bin/pip requirements/server.txt pyproject.toml
	@echo "installing the locked dependencies (about 1.2 GB on disk, once)…"
	@$(PIP) --require-hashes -r requirements/server.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/pip requirements/dev.txt pyproject.toml
	@echo "installing the locked dependencies and the tools of development…"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.server

server: $(VENV)/.server
dev: $(VENV)/.dev

sigma-cli: $(SIGMA_CLI)/.done ## sigma-cli in an environment of its own, for converting rules to other systems

$(SIGMA_CLI)/.done: requirements/sigma-cli.txt | $(VENV)/bin/pip
	@echo "installing sigma-cli beside the project…"
	@$(PYTHON) -m venv --clear $(SIGMA_CLI)
	@if $(SIGMA_CLI)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sigma-cli.txt; \
	then touch $@; elif [ -n "$$CI" ]; then exit 1; \
	else rm -rf $(SIGMA_CLI); echo "sigma-cli could not be installed: the tests that need it will be skipped"; fi

assets: ## build the console's style, scripts and fonts from the locked npm packages
	@[ -x $(BIN)/python ] || $(MAKE) --no-print-directory server
	@$(BIN)/python -m dashboards.build

debian-packages:
	@missing=$$(grep -v '^#' tests/debian-packages.txt | while read -r package; do \
	    dpkg -s "$$package" >/dev/null 2>&1 || echo "$$package"; done); \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ]; then echo "installing Debian packages for the tests:" $$missing; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "for all tests, install: sudo apt-get install" $$missing; fi
