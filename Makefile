# make run         the default study, from nothing to its report
# make test        every test
# make faults      kills, limits, dead nodes: minutes each, written to docs/faults.md
# make benchmark   measures the engines on this machine (benchmarks/)
# make env         only the environment; make lock makes the locks anew
# PLATFORM=cuda with any of them takes the environment for NVIDIA GPUs

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PLATFORM ?= cpu
# The lock for processors pins PyTorch's CPU build, which PyPI doesn't carry. A folder of wheels named in
# PIP_FIND_LINKS is used if there is one, PyTorch's own index if not.
TORCH := $(if $(filter cpu,$(PLATFORM)),$(if $(PIP_FIND_LINKS),,--extra-index-url https://download.pytorch.org/whl/cpu))

.PHONY: run test test-here test-slurm faults benchmark env lock

run: env
	$(BIN)/snakemake --cores all

# SLURM's tests mostly wait: they run beside the others, and say at their end what they have to say.
test: env
	$(MAKE) --no-print-directory --jobs 2 test-here test-slurm

# The longest file first, so that the others run beside it.
test-here:
	$(BIN)/python -m pytest -n 2 tests/test_style.py tests/unit tests/browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/workflow/test_methods.py tests/workflow

test-slurm:
	@said=$$($(BIN)/python -m pytest -rs tests/slurm 2>&1); code=$$?; printf '%s\n' "$$said"; exit $$code

faults: env
	$(BIN)/python -m pytest -m "faults or row" --faults-table docs/faults.md tests

benchmark: env
	$(BIN)/snakemake --cores all sft sample
	$(BIN)/python benchmarks/run.py --out benchmarks/$(PLATFORM).md

env: .venv/made-from-$(PLATFORM)-lock

.venv/made-from-$(PLATFORM)-lock: envs/$(PLATFORM).lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "error: Python 3.11 is needed, $(PYTHON) is $$($(PYTHON) --version): set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in .venv from $< (about 4 GB, some minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps $(TORCH) --requirement $<
	@touch $@

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	$(call locked,cpu,$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),$(TORCH)))
	env -u PIP_FIND_LINKS $(call locked,cuda,--python-platform x86_64-manylinux_2_28)
	rm -r .venv-lock

locked = .venv-lock/bin/uv pip compile envs/$(1).in --override envs/overrides.txt --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet $(2) --output-file envs/$(1).lock
