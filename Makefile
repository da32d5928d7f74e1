# Everything starts here: `make run` for the demonstration, `make test` for all checks.
# Needs Python 3.11 or newer, make and a package registry; the tests install Debian's peers on top.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2

.PHONY: help run install test check lint types peers unit conformance fuzz bench format registry samples clean

help:
	@echo "make run          set up, then the demonstration: a storage node, an echo, a study sent and compared"
	@echo "make test         set up, then every check and test"
	@echo "make check        ruff and mypy"
	@echo "make unit         the tests that need no peer: seconds"
	@echo "make conformance  the tests against DCMTK, pynetdicom, Orthanc and tshark"
	@echo "make fuzz         fuzzing, DCMNET_FUZZ_SECONDS=60 by default here"
	@echo "make bench        the benchmarks against DCMTK and pynetdicom"
	@echo "make format       let ruff rewrite the layout"
	@echo "make registry     generate the UID registry again, from pydicom's dictionary"
	@echo "make samples      generate the sample study again"

$(BIN)/dcmnet: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dcmnet needs Python 3.11 or newer; this is %d.%d. Say PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/dcmnet requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

install: $(BIN)/dcmnet

run: install
	$(BIN)/dcmnet demo

peers:
	@sh tools/install_peers.sh

check: lint types

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

test: check peers
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile

unit: $(VENV)/.dev
	$(BIN)/pytest tests/test_layers.py tests/unit tests/procedures tests/faces

conformance: $(VENV)/.dev peers
	$(BIN)/pytest tests/conformance

fuzz: $(VENV)/.dev
	DCMNET_FUZZ_SECONDS=$${DCMNET_FUZZ_SECONDS:-60} $(BIN)/pytest tests/fuzz

bench: $(VENV)/.dev peers
	$(BIN)/python benchmarks/run.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

registry: $(VENV)/.dev
	$(BIN)/python tools/generate_registry.py

samples: $(VENV)/.dev
	$(BIN)/python tools/make_sample_study.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
