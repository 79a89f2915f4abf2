# Ostatok. `make run` and `make test` need Python 3.11 or newer, make and a network, nothing else.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CODE := bench ostatok http stream db tests requirements

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long chaos bench bench-report pictures check fix lock sbom advisories clean

help: ## what this file can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: .venv/local ## build .venv and fetch what `make run` needs
	@$(BIN)/ostatok fetch

run: .venv/local ## the whole system on this machine; ARGS='--port 8123' passes arguments on
	@exec $(BIN)/ostatok up $(ARGS)

test: check .venv/browser ## format, lint, types and tests: what CI runs; ARGS='-k balance' passes arguments on
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not long' $(ARGS)

test-long: .venv/browser ## the tests that take minutes
	$(BIN)/pytest -m long $(ARGS)

chaos: .venv/dev ## faults by chance against the whole system, then what must hold; ARGS='--help' lists options
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

bench: .venv/dev ## how fast it is, each figure against a peer; ONLY=applied asks one question, ARGS='--size tiny' passes arguments on
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-report: .venv/bench ## docs/benchmarks.md anew, from what make bench measured last
	@$(BIN)/python -m bench.report

pictures: .venv/browser ## the console's pictures in docs/console, anew
	@PYTHONPATH=tests $(BIN)/python -m support.pictures

check: .venv/dev ## format, lint and types, changing nothing
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

fix: .venv/dev ## let ruff put format and lint right
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lock: .venv/dev ## choose versions anew and write requirements/*.txt
	$(BIN)/python requirements/lock.py

sbom: .venv/dev ## the software bill of materials, dist/ostatok.cdx.json (CycloneDX 1.6); ARGS=FILE names another
	@$(BIN)/python requirements/sbom.py $(ARGS)

advisories: .venv/dev ## ask whether security advisories speak of a locked package; ARGS='--must-ask' fails when nobody answers
	@$(BIN)/python requirements/advisories.py $(ARGS)

clean: ## remove .venv and what tools left; data folders stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Ostatok needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@echo 'Making .venv'
	@$(PYTHON) -m venv .venv || { echo 'Python is there without its venv module: on Debian, apt install python3-venv' >&2; rm -rf .venv; exit 1; }

# The stamps are made last, so that an installation that broke off is done again.
.venv/local: requirements/local.txt pyproject.toml | .venv/bin/python
	@echo 'Installing packages (locked by hash)'
	@$(PIP) install --require-hashes -r requirements/local.txt
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

.venv/dev: requirements/dev.txt .venv/local
	@echo 'Installing the tools for tests'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# A Chromium, for the console's tests. Made again with the environment, in case it was removed since.
.venv/browser: tests/support/browser.py .venv/dev
	@PYTHONPATH=tests $(BIN)/python tests/support/browser.py
	@touch $@

.venv/bench: requirements/bench.txt .venv/dev
	@echo 'Installing what draws the plots'
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@
