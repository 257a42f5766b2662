# Everything here sets itself up: a Debian or Ubuntu machine with Python 3.11 or newer, make and root is enough.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
WORKERS ?= 4
# What the tools make goes below the XDG cache folder, nothing outside of it but Debian packages.
export K3K_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/k3k-pulumi

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.venv/ready: devcluster/setup.sh requirements.lock pyproject.toml kubelet/pyproject.toml
	@devcluster/setup.sh

.PHONY: setup
setup: .venv/ready ## the Python environment (.venv) from requirements.lock

.PHONY: demo
demo: setup ## a host cluster, a virtual cluster in it, a workload in that
	@$(BIN)/python examples/demo.py up

.PHONY: demo-down
demo-down: setup ## removes what `make demo` made
	@$(BIN)/python examples/demo.py down

.PHONY: test
test: lint unit e2e ## everything: lint, types, unit, component and end-to-end tests

.PHONY: lint
lint: setup ## ruff, mypy, import contracts, go vet
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m devcluster go-check

.PHONY: unit
unit: setup ## unit and component tests: no cluster
	$(BIN)/pytest tests/unit tests/components kubelet/tests -n $(WORKERS) --dist loadgroup -q

.PHONY: e2e
e2e: setup ## end-to-end tests on a real host cluster
	$(BIN)/pytest tests/e2e -n $(WORKERS) --dist loadgroup

.PHONY: bench
bench: setup ## speed and size beside the bare host, measured here: docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

.PHONY: lock
lock: setup ## requirements.lock and kubelet/image/requirements.lock anew from the pyproject files
	devcluster/setup.sh lock

.PHONY: clean
clean: ## removes the environment; caches stay
	rm -rf .venv
