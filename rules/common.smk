"""What the whole plan shares: the checked config, the study's files, and flags for scripts."""

import atexit
import contextlib
import gc
import json
import os
import shlex
import sys
from functools import cache
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from cream.errors import UserError
from cream.exports import model_name, pairs_name, selected
from cream.fingerprint import code_digest, environment_digest
from cream.launching import launcher
from cream.lease import Held, lease
from cream.methods import tables_needed
from cream.paths import Owner, policy
from cream.settings import check_config

# The plan of a large study is millions of objects that stay: looking through them for garbage takes a
# quarter of the planning time.
gc.freeze()
gc.set_threshold(1_000_000, 50, 1000)

# Jobs run with the very Python that runs Snakemake, also where its environment isn't activated.
os.environ.update(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")

try:
    if not Path("scripts/cream").is_dir():
        raise UserError("snakemake must run in the project's own folder, where Snakefile and scripts/ are")
    # Every row of the method table with all its keys.
    METHOD_TABLE = check_config(config, Path(workflow.basedir) / "schemas/config.schema.json")
    METHODS = [name for name in config["study"]["methods"] if not METHOD_TABLE[name].get("stop_at_m1")]
    # The policies that `snakemake export` lays out: (method, t).
    EXPORTED = selected(config["export"]["policies"], METHODS, config["study"]["iterations"])
except UserError as mistake:
    sys.exit(f"error: {mistake}")


wildcard_constraints:
    model="[a-z0-9][a-z0-9._-]*",
    method="[a-z0-9][a-z0-9._-]*",
    task="[a-z0-9][a-z0-9._-]*",
    reward_model="[a-z0-9][a-z0-9._-]*",
    seed=r"\d+",
    t=r"\d+",
    k=r"\d+",
    shard=r"\d+",
    instructions="[a-z0-9][a-z0-9._-]*",
    other="[a-z0-9][a-z0-9._-]*",


RUNNING = contextlib.ExitStack()
atexit.register(RUNNING.close)
# M0, M1 or a method's own model.
ANY_POLICY = r"base/M0|seed\d+/[a-z0-9._-]+/M\d+"
# The chain of models is what takes long: its jobs go before evaluations that nothing waits for.
CHAIN_FIRST = 10


def rival(name):
    """A policy that a study names as METHOD/M{t}, as (method, t)."""
    method, model = name.split("/")
    return method, int(model.removeprefix("M"))


STUDY = config["study"]
# For `snakemake --sdm conda`; without, jobs run in the environment that runs Snakemake.
ENVIRONMENT = f"../envs/{config['compute']['platform']}.yaml"
SHARDS = STUDY["shards"]
ROUNDS = range(1, STUDY["iterations"] + 1)
RUNS = list(product(STUDY["models"], STUDY["seeds"]))
# Every policy of the study, as the folder it lives in; M0 and M1 once, however many methods.
TRAINED = [policy(m, s, method, t + 1) for m, s in RUNS for method in METHODS for t in ROUNDS]
POLICIES = [policy(m, None, None, 0) for m in STUDY["models"]] + [policy(m, s, None, 1) for m, s in RUNS] + TRAINED
# Every iteration of every method: (model, seed, method, t), and its folder.
ITERATIONS = list(product(STUDY["models"], STUDY["seeds"], METHODS, ROUNDS))
ITERATION_FOLDERS = [f"results/{m}/seed{s}/{method}/iter{t}" for m, s, method, t in ITERATIONS]

REWARD_MODELS = sorted(
    {
        f"results/reward_models/{name}/model.json"
        for method in METHODS
        for name in tables_needed(METHOD_TABLE[method], 1)["external"]
    }
)
BASE_MODELS = [f"{policy(m, None, None, 0)}/model.json" for m in STUDY["models"]]
SPLIT_CHECKS = [f"results/tables/splits/{m}.csv" for m in STUDY["models"]]
SPLITS = [
    f"results/{m}/data/{split}.parquet"
    for m in STUDY["models"]
    for split in [
        "sft",
        *(f"prompts/iter{t}" for t in ROUNDS),
        *(f"eval/{task}" for task in STUDY["evaluate"] if task in config["tasks"]),
    ]
]
SFT_MODELS = [f"{policy(m, s, None, 1)}/model.json" for m, s in RUNS]
# Several methods share M1's samples and scores: each file once.
SAMPLES = sorted({f"{policy(*at)}/samples.parquet" for at in ITERATIONS})
VERDICTS = sorted({f"{policy(*at)}/verdicts.parquet" for at in ITERATIONS})
LOGPROBS = sorted(
    {
        f"{policy(m, s, method, t)}/logprobs/M{scorer}.parquet"
        for m, s, method, t in ITERATIONS
        for scorer in {0, t - 1, t, *tables_needed(METHOD_TABLE[method], t)["logprobs"]}
    }
)
# Every method's responses are scored by M0, the model before and the model itself; what else an
# ensemble asks for has a job of its own. (t, models that score the responses of M{t})
SCORING_JOBS = []
for t in ROUNDS:
    always = {0, t - 1, t}
    asked = {k for method in METHODS for k in tables_needed(METHOD_TABLE[method], t)["logprobs"]}
    SCORING_JOBS += [(t, sorted(always)), *((t, [k]) for k in sorted(asked - always))]
# Verdicts for all; votes and a reward model's scores where a method asks for them.
OPINIONS = sorted(
    {
        f"{policy(m, s, method, t)}/{name}.parquet"
        for m, s, method, t in ITERATIONS
        for needed in [tables_needed(METHOD_TABLE[method], t)]
        for name in [
            "verdicts",
            *(f"judgements/M{k}" for k in needed["judgements"]),
            *(f"external/{reward_model}" for reward_model in needed["external"]),
        ]
    }
)
CONSISTENCIES = [f"{folder}/consistency.parquet" for folder in ITERATION_FOLDERS]
AGREEMENTS = [f"{folder}/agreement.parquet" for folder in ITERATION_FOLDERS]
PAIRS = [f"{folder}/pairs.parquet" for folder in ITERATION_FOLDERS]
TRAINED_MODELS = [f"{folder}/model.json" for folder in TRAINED]
EVALUATIONS = [f"{folder}/eval/{task}.json" for folder in POLICIES for task in STUDY["evaluate"]]
# (model, seed, ours, theirs), a policy as (method, t): every model against M1, every method's M{t}
# against the baseline's, and what else the study names.
CONTESTS = sorted(
    {
        (m, s, (method, t + 1), other)
        for m, s, method, t in ITERATIONS
        for other in [("sft", 1), *((name, t + 1) for name in {STUDY["baseline"]} & {*METHODS} - {method})]
    }
    | {(m, s, rival(ours), rival(theirs)) for m, s in RUNS for ours, theirs in STUDY["contests"]}
)
JUDGED = [
    f"{policy(m, s, *ours)}/judged/{name}/{theirs[0]}-M{theirs[1]}.parquet"
    for name in STUDY["instructions"]
    for m, s, ours, theirs in CONTESTS
]
WIN_RATES = ["results/tables/win_rates.csv"] if JUDGED else []
# These are about models that preference training made.
COMPARISONS = ["results/tables/comparisons.csv"] if METHODS else []
DRIFT = ["results/tables/drift.csv"] if METHODS else []
REWARD_QUALITY = ["results/tables/reward_quality.csv"] if METHODS else []
TABLES = [
    "results/tables/accuracy.csv",
    "results/tables/consistency.csv",
    "results/tables/iterations.csv",
    *COMPARISONS,
    *DRIFT,
    *WIN_RATES,
    *REWARD_QUALITY,
    "results/tables/summary.txt",
]
# Their folders, those of the pairs that led to them, and M0 for adapters that stay adapters. Weights
# trained whole have no adapter to merge.
ADAPTERS = config["lora"]["rank"] > 0
MERGED = ADAPTERS and config["export"]["merge"]
EXPORTS = [
    *(f"results/export/models/{model_name(Owner(m, s, *at), MERGED)}" for m, s in RUNS for at in EXPORTED),
    *(f"results/export/models/{m}-M0" for m in STUDY["models"] if ADAPTERS and not MERGED),
    *(
        f"results/export/datasets/{pairs_name(Owner(m, s, method, t))}"
        for m, s, method, t in ITERATIONS
        if any(method == name and t < last for name, last in EXPORTED)
    ),
]
# What scripts/cream/report/figures.py can draw of this study.
CHARTS = ["iterations", *(f"accuracy-{task}" for task in STUDY["evaluate"]), "sft-loss"]
if METHODS:
    CHARTS += ["consistency", "tau", "margins", "training-loss", "training-margin"]
    CHARTS += ["win-rates"] if WIN_RATES else []
    CHARTS += ["response-length", "cut-off", "distinct-bigrams", "log-ratio"]
REPORT = ["results/report/index.html"]
AUDIT = ["results/report/audit.html"]


def flags(**settings):
    """Command-line flags with their names: Snakemake compares params as a set of bare values, so
    two settings that swap their numbers would go unseen as separate params. What is None is left
    out."""
    words = []
    for name, value in settings.items():
        if value is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words.append(f"{flag}={json.dumps(value, sort_keys=True) if isinstance(value, dict | bool) else value}")
    return shlex.join(words)


def run_flags(stage):
    """The flags of a stage that runs a model."""
    compute = config["compute"]
    engine = engine_of(stage)
    serving = compute["vllm"] if engine == "vllm" else None
    return flags(
        engine=engine,
        serving=serving,
        precision=compute["precision"],
        threads=compute["threads"][stage],
        gpus=sizes.gpus(config, stage) or None,
    )


def engine_of(stage):
    """Training and external reward models know no other engine than transformers."""
    return config["compute"]["engine"].get(stage, "transformers")


def sharded(path):
    """Where a job that does one shard writes: the file itself where nothing is shared out, else its
    number in a folder that says of how many."""
    stem, extension = path.rsplit(".", 1)
    return path if SHARDS == 1 else f"{stem}.shards/{{shard}}-of-{SHARDS}.{extension}"


def shard_flags(wildcards):
    return flags(shard=f"{wildcards.shard}/{SHARDS}") if SHARDS > 1 else ""


def training_flags(stage, seed):
    """The flags that both kinds of training share."""
    lora = {f"lora_{name}": value for name, value in config["lora"].items()}
    return flags(**config[stage], **lora, seed=seed)


def cpus(stage):
    """CPU cores that a training stage takes, all its processes together."""
    return config["compute"]["processes"][stage] * config["compute"]["threads"][stage]


def made_by(script, engine="transformers"):
    """The code and the packages a stage's result depends on, neither of which Snakemake watches.

    A function, so that a cluster job works out only its own rule's.
    """
    return lambda wildcards: digests(script, engine)


@cache
def digests(script, engine):
    path = Path(workflow.basedir) / "scripts" / script
    return f"code {code_digest(path, engine)} packages {environment_digest(path, engine)}"


def weights(folder):
    """A model as input: its folder must be there, but only its digests say whether it changed."""
    return {"model": ancient(f"{folder}/model"), "digests": f"{folder}/model.json"}


def base_of(wildcards):
    """M0 as input of a stage that may read an adapter."""
    folder = policy(wildcards.model, None, None, 0)
    return {"base": ancient(f"{folder}/model"), "base_digests": f"{folder}/model.json"}


def in_report(table):
    """A CSV table of the study, as an output that Snakemake's own report shows with its caption."""
    return report(
        f"results/tables/{table}.csv",
        caption=f"../report/captions/{table}.rst",
        category="Tables",
        labels={"name": table},
    )


def hold_results():
    """Let no other Snakemake work on these results while this one does: its own lock is in .snakemake/, and two
    clones may share one results folder. Preflight alone may look on: it makes no result."""
    if not workflow.is_main_process or set(workflow.dag_settings.targets) == {"preflight"}:
        return
    try:
        RUNNING.enter_context(lease(Path("results/.running")))
    except Held as other:
        sys.exit(
            f"error: another Snakemake works on results/: {other}; wait until it ends, or end it (one that was killed "
            "on another machine counts as gone after 90 seconds)"
        )
    except OSError as problem:
        sys.exit(
            f"error: results/ can't be written ({problem.strerror}): change its rights or work in a folder of yours"
        )


def show_summary():
    """Print what was found, once, from the Snakemake the user started."""
    summary = Path("results/tables/summary.txt")
    if workflow.is_main_process and summary.exists():
        print("", summary.read_text(encoding="utf-8"), sep="\n", file=sys.stderr)
