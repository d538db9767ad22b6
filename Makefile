# make run    the default study, from nothing to its tables and figure
# make test   every test
# make env    only the environment; make lock makes its lock anew

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# The lock pins PyTorch's CPU build, which PyPI doesn't carry. A folder of wheels named in
# PIP_FIND_LINKS is used if there is one, PyTorch's own index if not.
TORCH := $(if $(PIP_FIND_LINKS),,--extra-index-url https://download.pytorch.org/whl/cpu)

.PHONY: run test env lock

run: env
	$(BIN)/snakemake --cores all

test: env
	$(BIN)/python -m pytest

env: .venv/made-from-lock

.venv/made-from-lock: envs/cpu.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "error: Python 3.11 is needed, $(PYTHON) is $$($(PYTHON) --version): set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in .venv from envs/cpu.lock (about 4 GB, some minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps $(TORCH) --requirement envs/cpu.lock
	@touch $@

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile envs/cpu.in --override envs/overrides.txt --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) $(TORCH) --output-file envs/cpu.lock
	rm -r .venv-lock
