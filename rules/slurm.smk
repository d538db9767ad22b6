"""Beside Snakemake's SLURM plugin: answers it would misread (scripts/cream/cluster/states.py), and which jobs
SLURM stopped, told when a run ends (scripts/cream/cluster/stops.py)."""

from cream.cluster.states import understand
from cream.cluster.stops import sentences

# Loaded by Snakemake itself, before this file, wherever it is installed.
if "snakemake_executor_plugin_slurm" in sys.modules:
    understand(sys.modules["snakemake_executor_plugin_slurm"])


def show_stops(logs):
    """Name the jobs of this run that SLURM stopped and the limit each met; `logs` are Snakemake's own."""
    for path in logs if workflow.is_main_process else []:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for sentence in sentences(lines):
                print(sentence, file=sys.stderr)
