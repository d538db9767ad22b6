"""What a study will cost before it runs, and how far off that was afterwards.

    python scripts/plan.py                                      the default study
    python scripts/plan.py studies/NAME.yaml --width 16         files laid over config.yaml, as by --configfile
    python scripts/plan.py studies/NAME.yaml --cores 8          on one machine, as snakemake --cores 8
    python scripts/plan.py studies/NAME.yaml --after            estimated against actual, and efficiency
    python scripts/plan.py studies/NAME.yaml --rates >my.yaml   this machine's rates, as a file to lay over a study

Jobs and what they ask for are Snakemake's own plan. Jobs whose results are there aren't counted, except with
--all. The width is how much runs at a time on a cluster: GPUs where the study uses GPUs (a job of two takes two),
else jobs. It is what you get of the cluster, up to `jobs` in slurm/profile.yaml; tables are made beside, by
this machine's cores. --after and --rates read the records under results/, and --after asks sacct.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from cream.cluster.jobs import Plan, plan
from cream.cluster.rates import UNIT
from cream.cluster.shown_afterwards import show_afterwards
from cream.cluster.shown_forecast import show_forecast
from cream.cluster.shown_rates import show_rates
from cream.cluster.study import read_study
from cream.errors import UserError
from cream.stage import input_path, parser


def parse() -> argparse.Namespace:
    flags = parser(__doc__)
    flags.add_argument("studies", nargs="*", type=input_path, metavar="STUDY", help="files laid over config.yaml")
    where = flags.add_mutually_exclusive_group()
    where.add_argument("--width", type=_places, help="GPUs or jobs at a time on a cluster (several widths)")
    where.add_argument("--cores", type=_places, help="cores of one machine that runs it all, without a cluster")
    what = flags.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="count jobs whose results are there, too")
    what.add_argument("--after", action="store_true", help="compare a study that has run with its estimate")
    what.add_argument("--rates", action="store_true", help="print section `cluster` as the records of a run have it")
    settings = flags.parse_args()
    if (settings.after or settings.rates) and (settings.width or settings.cores):
        flags.error("--width and --cores are about a study that is still to run")
    return settings


def main(settings: argparse.Namespace) -> None:
    # A wrong file is told of before Snakemake spends seconds on a plan.
    study = read_study(settings.studies)
    if settings.rates:
        show_rates(_plan(settings, UNIT), study["cluster"]["memory_mb"])
    elif settings.after:
        show_afterwards(_plan(settings))
    else:
        show_forecast(_plan(settings), settings)


def _plan(settings: argparse.Namespace, overlay: dict | None = None) -> Plan:
    with Console(stderr=True).status("Snakemake makes its plan"):
        return plan(settings.studies, settings.all or settings.after or settings.rates, overlay)


def _places(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of places: give 1 or more")
    return int(text)


if __name__ == "__main__":
    try:
        main(parse())
    except UserError as mistake:
        sys.exit(f"error: {mistake}")
    except OSError as problem:
        sys.exit(f"error: {problem.filename}: {problem.strerror}")
