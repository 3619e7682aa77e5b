# Everything that a developer runs. Needs Python 3.10 or later with venv, and the network once; it makes its own .venv.
#
#   make demo    the demo: a research agent, a local model server, and what each call costs   (ARGS="--replay")
#   make test    the quick tests, in parallel: a few minutes                                 (ARGS="tests/core -x")
#   make test-all     all tests that need no other environment                              (ARGS="-m slow")
#   make neighbours   the tests beside other instrumentations, and under agent frameworks, in environments that have them
#   make frameworks   the tests of frameworks' tools, each with its oldest and its newest release   (ARGS="langchain")
#   make agent-neighbours   agents of frameworks beside other instrumentations, in environments (ARGS="langchain")
#   make matrix  all SDKs, HTTP clients and frameworks, oldest and newest, for docs/support.md   (ARGS="sdk-family")
#   make upstream     the own offline tests of SDKs and frameworks, without and with this package (ARGS="openai --quick")
#   make collector    builds the OpenTelemetry Collector that tests use (needs Go; kept in the user's cache)
#   make check   linters and type checkers
#   make bench   the benchmarks
#   make bench-peers   this package and others, side by side, for 20 minutes           (ARGS="--quick", ARGS="--write")
#   make boards  rewrites the boards and alerts for Grafana and vendors from the table of signals
#   make preview   serves the boards over sample data, without Grafana (needs Prometheus 2.42 or newer on the path)
#   make walk    how many files and functions of the package one call walks through              (ARGS="--files")
#   make docs    rewrites what is generated from the code: the README's tables, the list of variables

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := $(VENV)/bin
PARALLEL := -n auto --dist worksteal

# Tests start many interpreters. Without bytecode, each would compile the SDKs anew: for a second or more of CPU time.
# It is kept in the environment's folder, also where PYTHONDONTWRITEBYTECODE is set. A shell sets these two variables, and
# not `export`: frameworks' environments are temporary, and a benchmark of the start has bytecode of its own.
KEEP_BYTECODE = PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(abspath $(1))/bytecode

.PHONY: demo test test-all neighbours agent-neighbours frameworks matrix upstream collector check lint types docs boards \
	preview bench bench-peers walk clean

demo: $(VENV)/.demo
	@$(BIN)/agentcost demo $(ARGS)

# Which tests are slow, the table in tests/conftest.py says.
test: $(VENV)/.test
	$(call KEEP_BYTECODE,$(VENV)) $(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

test-all: $(VENV)/.test
	$(call KEEP_BYTECODE,$(VENV)) $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# An environment of its own: whatever is installed, `opentelemetry-instrument` loads, in all other tests too. Another
# one for instructor, which does not admit the newest SDKs.
neighbours:
	@$(MAKE) --no-print-directory $(VENV)-neighbours/.coexist VENV=$(VENV)-neighbours
	$(call KEEP_BYTECODE,$(VENV)-neighbours) $(VENV)-neighbours/bin/python -m pytest $(PARALLEL) tests/coexistence tests/calls/budgets/frameworks \
		tests/integrations/sdks/test_azure_ai_inference.py tests/integrations/sdks/test_mistralai.py \
		tests/integrations/sdks/test_openrouter.py tests/integrations/sdks/test_voyageai.py \
		tests/integrations/sdks/test_xai_sdk.py $(ARGS)
	@$(MAKE) --no-print-directory $(VENV)-instructor/.instructor VENV=$(VENV)-instructor
	$(call KEEP_BYTECODE,$(VENV)-instructor) $(VENV)-instructor/bin/python -m pytest tests/calls/budgets/frameworks/test_instructor.py $(ARGS)

# What passed is written into otel_agentcost/integrations/tested.json, from which `make docs` makes docs/support.md.
matrix: $(VENV)/.test
	$(BIN)/python -m tools.environments --matrix $(ARGS)

frameworks: $(VENV)/.test
	$(BIN)/python -m tools.environments $(ARGS)

agent-neighbours: $(VENV)/.test
	$(BIN)/python -m tools.neighbours $(ARGS)

upstream: $(VENV)/.test
	$(BIN)/python -m tools.upstream $(ARGS)

collector: $(VENV)/.test
	$(BIN)/python -m tools.collector $(ARGS)

check: lint types

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev
	$(BIN)/python -m tools.documents

boards: $(VENV)/.test
	$(BIN)/python -m grafana.boards
	$(BIN)/python -m grafana.alerts
	$(BIN)/python -m grafana.vendors

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.peers $(ARGS)

walk:
	@$(MAKE) --no-print-directory $(VENV)-walk/.walk VENV=$(VENV)-walk
	$(VENV)-walk/bin/python tools/walk.py $(ARGS)

preview: $(VENV)/.test
	$(BIN)/python -m grafana.preview $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-neighbours $(VENV)-instructor $(VENV)-walk .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp for each extra, renewed when pyproject.toml changes: the second run installs nothing.

$(VENV)/.demo: EXTRAS = demo,otlp
$(VENV)/.test: EXTRAS = test
$(VENV)/.dev: EXTRAS = dev
$(VENV)/.coexist: EXTRAS = test,coexist,frameworks
$(VENV)/.instructor: EXTRAS = test,instructor
$(VENV)/.walk: EXTRAS = walk

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev $(VENV)/.coexist $(VENV)/.instructor $(VENV)/.walk: $(BIN)/python pyproject.toml
	$(BIN)/python -m tools.packages '.[$(EXTRAS)]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "otel-agentcost needs Python 3.10 or later; none was found (set PYTHON=...)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
