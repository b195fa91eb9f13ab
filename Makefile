# Everything a person does with this checkout is one word here: `make help` lists them.
#
# Nothing is installed outside the checkout: the environment is .venv, the database's mongod with it; Debian packages
# that mongod or the tests need are unpacked below .tools; .make holds a stamp for each step so that the second run is
# quick.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where it is set, as in many containers, each start of a program would compile all of its modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Any CPython from 3.11 on: make run PYTHON=python3.13
PYTHON ?= python3
# Tests run in this many processes at once: twice as many as two cores, since many of them wait. Arguments for pytest:
# make test ARGS='tests/unit -k query'
WORKERS ?= 4
ARGS ?=
# Per cent of the code that the tests as a whole have to reach, counting what runs in their own processes only.
COVERAGE ?= 90
# Seconds a fuzz target runs and rounds a chaos test goes through.
FUZZ_SECONDS ?= 600
CHAOS_ROUNDS ?= 50

BIN := .venv/bin
# Modules are compiled when they are first imported: most of what is installed never is.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-compile --constraint constraints.txt

# Where tools/mongod_libraries.py had to write a starter for the wheel's mongod, it is found here: after any mongod that
# the machine has, and before the wheel's own.
export PATH := $(PATH):$(CURDIR)/.tools/mongod

# What builds packages: the first two this one, the others grpcurl's, which has no wheel to download.
BACKENDS := hatchling editables setuptools wheel

##@ Use

.PHONY: run
run: .make/mongod ## Set up, serve on an embedded mongod, make a first webhook and print how to use it
	@exec $(BIN)/event-service serve $(ARGS)

##@ Check

.PHONY: test
test: ## Set up and run every check: linters, types, imports, protos, tests on a mongod with coverage
	@$(MAKE) --no-print-directory --jobs=2 before-tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --cov --cov-report=term $(if $(ARGS),$(ARGS),--cov-fail-under=$(COVERAGE))

.PHONY: before-tests
before-tests: test-tools lint .make/mongod .make/compiled

.PHONY: lint
lint: .make/dev ## Run the checks that need no test: ruff, mypy, import-linter, buf, generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint_protos.py
	$(BIN)/python tools/generate_stubs.py --check
	$(BIN)/python tools/api_reference.py --check

.PHONY: format
format: .make/dev ## Put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: chaos
chaos: .make/dev .make/mongod test-tools ## Kill, starve, flood and attack it at length (CHAOS_ROUNDS); wants a quiet machine
	EVENT_SERVICE_TEST_ROUNDS=$(CHAOS_ROUNDS) $(BIN)/pytest --timeout=3600 -m chaos $(ARGS)

.PHONY: fuzz
fuzz: .make/dev .make/mongod ## Search longer for input that breaks something (FUZZ_SECONDS)
	EVENT_SERVICE_FUZZ_SECONDS=$(FUZZ_SECONDS) HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest --timeout=0 -m 'fuzz or hypothesis' $(ARGS)

.PHONY: bench
bench: .make/dev .make/mongod test-tools ## Measure what a request costs
	$(BIN)/python -m bench $(ARGS)

.PHONY: test-tools
test-tools: .make/test-tools ## Unpack programs that tests use below .tools; no root needed

##@ Make

.PHONY: proto
proto: .make/dev ## Generate the stubs from proto/
	$(BIN)/python tools/generate_stubs.py

.PHONY: docs
docs: .make/dev ## Write the parts of the documentation that are made from the code
	$(BIN)/python tools/settings_table.py
	$(BIN)/python tools/api_reference.py

.PHONY: dist
dist: .make/dev ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/hatchling build

.PHONY: constraints
constraints: ## Resolve the dependencies anew and pin them in constraints.txt
	$(PYTHON) tools/pin_dependencies.py

.PHONY: clean
clean: ## Remove what was built; the environment and the tools too
	rm -rf .venv .tools .make dist build .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment. Its stamps are worth nothing once .venv is gone.
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

# Where a library cannot be had there is no stamp and the next run tries again: with a MongoDB by URI none is needed.
.make/mongod: .make/run tools/mongod_libraries.py
	@if $(BIN)/python tools/mongod_libraries.py; then touch $@; fi

# spaceone-api goes in without its dependencies: they are versions of grpcio and protobuf that are years old.
.make/dev: .make/run pyproject.toml constraints.txt
	@echo "Installing what the checks need"
	@$(INSTALL) --group dev
	@$(INSTALL) --no-deps spaceone-api
	@touch $@

# Left to themselves, the processes of the tests would each compile all that they import, at the same time. What else
# goes wrong here, the tests say better.
.make/compiled: .make/dev
	@$(BIN)/pytest --collect-only -q > /dev/null || true
	@touch $@

.make/test-tools: tools/debian_packages.py tools/debian_packages.txt tools/helm_binary.py .make/venv
	@$(BIN)/python tools/debian_packages.py
	@$(BIN)/python tools/helm_binary.py
	@touch $@
