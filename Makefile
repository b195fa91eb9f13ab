# All tasks of this checkout: `make help` lists them.
#
# Nothing is installed outside the checkout: the environment with its mongod is in .venv, Debian packages for mongod and
# tests are unpacked below .tools, and .make has a stamp for each finished step.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Many containers set it, and each start of a program would then compile all its modules again.
unexport PYTHONDONTWRITEBYTECODE

# CPython 3.11 or newer: make run PYTHON=python3.13
PYTHON ?= python3
# Parallel test processes: twice the number of cores, since many tests wait. Arguments for pytest:
# make test ARGS='tests/unit -k query'
WORKERS ?= 4
ARGS ?=
# Minimum coverage of all tests in per cent; other processes are not counted.
COVERAGE ?= 90
# Seconds per fuzz target, and rounds per chaos test.
FUZZ_SECONDS ?= 600
CHAOS_ROUNDS ?= 50

BIN := .venv/bin
# Compile modules at their first import: most installed modules are never imported.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-compile --constraint constraints.txt

# tools/mongod_libraries.py may write a starter for the wheel's mongod here: after any installed mongod on PATH, and before
# the wheel's own.
export PATH := $(PATH):$(CURDIR)/.tools/mongod

# Build backends: the first two of this package, the others of grpcurl, which has no wheel.
BACKENDS := hatchling editables setuptools wheel

##@ Use

.PHONY: run
run: .make/mongod ## Install, serve on an embedded mongod, create a first webhook and print commands to try
	@exec $(BIN)/event-service serve $(ARGS)

##@ Check

.PHONY: test
test: ## Install and run all checks: linters, types, imports, protos, tests on a mongod with coverage
	@$(MAKE) --no-print-directory --jobs=2 before-tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --cov --cov-report=term $(if $(ARGS),$(ARGS),--cov-fail-under=$(COVERAGE))

.PHONY: before-tests
before-tests: test-tools lint .make/mongod .make/compiled

.PHONY: lint
lint: .make/dev ## Run static checks: ruff, mypy, import-linter, buf, generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint_protos.py
	$(BIN)/python tools/generate_stubs.py --check
	$(BIN)/python tools/api_reference.py --check

.PHONY: format
format: .make/dev ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: chaos
chaos: .make/dev .make/mongod test-tools ## Run the long chaos tests (CHAOS_ROUNDS); needs an idle machine
	EVENT_SERVICE_TEST_ROUNDS=$(CHAOS_ROUNDS) $(BIN)/pytest --timeout=3600 -m chaos $(ARGS)

.PHONY: clients
clients: .make/dev .make/mongod .make/clients ## Run clients with dependencies of their own; needs node and npm
	EVENT_SERVICE_TEST_CLIENTS=$(CURDIR)/.tools/clients $(BIN)/pytest tests/e2e/clients tests/e2e/test_examples.py $(ARGS)

.PHONY: fuzz
fuzz: .make/dev .make/mongod ## Run the long fuzz tests (FUZZ_SECONDS)
	EVENT_SERVICE_FUZZ_SECONDS=$(FUZZ_SECONDS) HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest --timeout=0 -m 'fuzz or hypothesis' $(ARGS)

.PHONY: bench
bench: .make/dev .make/mongod test-tools ## Measure the cost of requests
	$(BIN)/python -m bench $(ARGS)

.PHONY: test-tools
test-tools: .make/test-tools ## Unpack programs for tests below .tools; needs no root

##@ Make

.PHONY: proto
proto: .make/dev ## Generate the stubs from proto/
	$(BIN)/python tools/generate_stubs.py

.PHONY: docs
docs: .make/dev ## Generate docs/api.md and the README's table of settings
	$(BIN)/python tools/settings_table.py
	$(BIN)/python tools/api_reference.py

.PHONY: dist
dist: .make/dev ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/hatchling build

.PHONY: constraints
constraints: ## Resolve and pin the dependencies in constraints.txt
	$(PYTHON) tools/pin_dependencies.py

.PHONY: clean
clean: ## Remove build results, the environment and the tools
	rm -rf .venv .tools .make dist build .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment. Its stamps are invalid without .venv.
ifeq ($(wildcard $(BIN)/python),)
$(shell rm -f .make/venv .make/run .make/mongod .make/dev .make/compiled)
endif

.make/venv:
	@$(PYTHON) tools/check_python.py
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(INSTALL) pip $(BACKENDS)
	@mkdir -p .make && touch $@

.make/run: .make/venv pyproject.toml constraints.txt
	@echo "Installing the service and its embedded database"
	@$(INSTALL) --no-build-isolation --group run --editable '.[embedded]'
	@touch $@

# Without a library there is no stamp, so that the next run tries again; a MongoDB by URI needs no library.
.make/mongod: .make/run tools/mongod_libraries.py
	@if $(BIN)/python tools/mongod_libraries.py; then touch $@; fi

# Install spaceone-api without its dependencies, which are outdated versions of grpcio and protobuf.
.make/dev: .make/run pyproject.toml constraints.txt
	@echo "Installing what the checks need"
	@$(INSTALL) --group dev
	@$(INSTALL) --no-deps spaceone-api
	@touch $@

# Compile modules once before the parallel test processes start. Errors are ignored, since the tests report them.
.make/compiled: .make/dev
	@$(BIN)/pytest --collect-only -q > /dev/null || true
	@touch $@

CLIENTS := tests/e2e/clients

.make/clients: .make/venv $(wildcard $(CLIENTS)/*.txt) $(CLIENTS)/package.json examples/node/package.json examples/typescript/package.json
	@for list in $(CLIENTS)/*.txt; do \
	  echo "Installing $$(basename $$list .txt)"; \
	  environment=.tools/clients/$$(basename $$list .txt); \
	  $(PYTHON) -m venv $$environment; \
	  $$environment/bin/python -m pip --disable-pip-version-check -qq install --requirement $$list; \
	done
	@mkdir -p .tools/clients/node && cp $(CLIENTS)/package.json .tools/clients/node/
	@npm install --silent --no-audit --no-fund --prefix .tools/clients/node
	@for example in node typescript; do npm install --silent --no-audit --no-fund --no-package-lock --prefix examples/$$example; done
	@touch $@

.make/test-tools: tools/debian_packages.py tools/debian_packages.txt tools/helm_binary.py .make/venv
	@$(BIN)/python tools/debian_packages.py
	@$(BIN)/python tools/helm_binary.py
	@touch $@
