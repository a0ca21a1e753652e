# The one list of tasks: hooks, CI and people call these and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
DEMO_ARGS ?=
PYTEST_ARGS ?=
UV_ARGS ?=

.PHONY: help setup check test demo demo-live bench-pit bench-ingest constraints docs fmt clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with the pinned, hash-checked dependencies (PYTHON=... to choose the interpreter)
	@PYTHON="$(PYTHON)" bash scripts/setup.sh >&2

check: setup ## lint, types, layers and unit tests, in under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n logical -m "not slow and not e2e" tests/unit tests/architecture

test: setup ## every test; Redis comes from the machine or from PyPI
	$(BIN)/pytest $(PYTEST_ARGS)

demo: setup ## retail events to a served prediction (DEMO_ARGS=--once to stop after the requests)
	@$(BIN)/unskew demo $(DEMO_ARGS)

demo-live: setup ## a month replayed as if live, then audited: on LMDB, and on a Redis of its own
	@$(BIN)/unskew demo --live $(DEMO_ARGS)
	@$(BIN)/python -m scripts.with_redis $(BIN)/unskew demo --live --directory unskew-demo-live-redis --online {url} $(DEMO_ARGS)

bench-pit: setup ## the point-in-time join against three others; writes loadtests/results/
	$(BIN)/python -m loadtests.pit.run

bench-ingest: setup ## events in, realtime reads out, beside the raw stream; writes loadtests/results/
	$(BIN)/python -m loadtests.ingest.run

constraints: setup ## complete constraints.txt for pyproject.toml (UV_ARGS=--upgrade for newer versions)
	bash scripts/constraints.sh $(UV_ARGS)

docs: setup ## write the reference pages from the code
	$(BIN)/python -m scripts.reference_docs

fmt: setup ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and build products, keep .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find unskew lifecycle gateway featurestore tests -name __pycache__ -type d -prune -exec rm -rf {} +
