#!/usr/bin/env bash
# Without their declared dependencies: the lock has them all but those of envs/overrides.txt.
set -euo pipefail
python -m pip install --quiet --require-hashes --no-deps --requirement envs/cpu.lock
