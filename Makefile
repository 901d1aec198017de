# Two commands for a newcomer: `make demo`, `make test`. All else serves them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := out/demo

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-client test-rest test-deployment lint readme

help:
	@echo "make demo     train 100 personal models with a federation in this machine"
	@echo "make test     lint, types and tests"
	@echo "make test-deployment  every process of a deployment, each killed once; minutes"
	@echo "make lint     lint and types alone"
	@echo "make readme   what a program writes in README.md: the tree and the results"
	@echo "make install  the environment in $(VENV), which the others make when missing"

install: $(INSTALLED)

# torch first and by itself: see constraints.txt.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e ".[quant,serve,simulation,dev]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/proper-sim run --world tagging --seed 0 --curve 0,4 --out $(DEMO)
	@echo
	@echo "The report: $(CURDIR)/$(DEMO)/report.html"
	@echo "A personal model of your own, from a history in a file:"
	@echo "  $(BIN)/proper-client train --history examples/my.json --release $(DEMO)/release"
	@echo "  $(BIN)/proper-client generate 'a quiet story of the sea and the old lighthouse'"
	@echo "  $(BIN)/proper-client status"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In two processes, one for each core; torch would take both for itself.
test: lint
	OMP_NUM_THREADS=1 $(MAKE) --jobs 2 test-client test-rest

test-client: $(INSTALLED)
	$(BIN)/pytest tests/client

test-rest: $(INSTALLED)
	$(BIN)/pytest --ignore tests/client

test-deployment: $(INSTALLED)
	$(BIN)/pytest -m deployment tests/deployment

readme: $(INSTALLED)
	$(BIN)/python tests/readme.py
