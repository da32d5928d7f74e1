# Everything starts here: `make run` for the demonstration, `make test` for all checks.
# Needs Python 3.11 or newer, make and a package registry; the tests install Debian's peers on top.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2

.PHONY: help run install test check lint types peers unit coverage conformance fuzz soak bench format registry samples clean

help:
	@echo "make run          set up, then the demonstration: a storage node, an echo, a study sent and compared"
	@echo "make test         set up, then every check and test"
	@echo "make check        ruff and mypy"
	@echo "make unit         the tests that need no peer, PYTEST_WORKERS=2 at a time"
	@echo "make coverage     the layers without I/O must be covered whole, every branch, by tests without sockets"
	@echo "make conformance  the tests against DCMTK, pynetdicom, Orthanc and tshark"
	@echo "make fuzz         fuzzing, DCMNET_FUZZ_SECONDS=60 by default here"
	@echo "make soak         the tests of quantities at full size: 4 GiB over the wire, 100,000 odd associations"
	@echo "make bench        the benchmarks against DCMTK and pynetdicom; BENCH='--quick echo' passes options on"
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

# The rest of the tests; `coverage` runs those of tests/unit and tests/procedures.
test: check peers coverage
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile tests/test_*.py tests/faces tests/conformance tests/fuzz

unit: $(VENV)/.dev
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile tests/test_layers.py tests/unit tests/procedures tests/faces

coverage: $(VENV)/.dev
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile tests/unit tests/procedures --cov-branch \
		--cov=dcmnet.ul --cov=dcmnet.acse --cov=dcmnet.acse_contexts --cov=dcmnet.asconfig \
		--cov=dcmnet.asconfig_lists --cov=dcmnet.asconfig_text --cov=dcmnet.dimse \
		--cov=dcmnet.procedures --cov=dcmnet.services --cov-report=term-missing:skip-covered --cov-fail-under=100

soak: $(VENV)/.dev
	DCMNET_HUGE_BYTES=4294971393 DCMNET_ODD_ROUNDS=9100 $(BIN)/pytest tests/faces/test_quantities.py

conformance: $(VENV)/.dev peers
	$(BIN)/pytest tests/conformance

fuzz: $(VENV)/.dev
	DCMNET_FUZZ_SECONDS=$${DCMNET_FUZZ_SECONDS:-60} $(BIN)/pytest tests/fuzz

bench: $(VENV)/.dev peers
	$(BIN)/python benchmarks/run.py $(BENCH)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

registry: $(VENV)/.dev
	$(BIN)/python tools/generate_registry.py

samples: $(VENV)/.dev
	$(BIN)/python tools/make_sample_study.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
